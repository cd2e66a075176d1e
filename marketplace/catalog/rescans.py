"""Live apps are looked at again when rules or advisories changed; ``live_findings`` says what comes of it."""

from collections.abc import Callable, Iterable
from datetime import datetime

from django.db.models import Exists, OuterRef

from marketplace.catalog import check_runs, scanning
from marketplace.catalog.check_models import CheckRun
from marketplace.catalog.models import Listing, Version
from marketplace.core.errors import Conflict

BATCH = 200
Name = CheckRun.Name
# Endpoints are judged again at every call; answers and margins are measured, not scanned.
RESCANNED = (Name.HYGIENE, Name.SECRETS, Name.TEMPLATE, Name.CODE, Name.DEPENDENCIES)


def queue_due(*, at: datetime, hash_of: Callable[[str], str] = scanning.rules_hash) -> int:
    """Queue the checks of live versions whose rules are no longer those of their last run; returns how many."""
    queued = 0
    for name in RESCANNED:
        known = hash_of(name)
        for version in _due(name, known):
            try:
                check_runs.run_again(version, name=name, by=None, at=at, is_rescan=True)
            except Conflict:
                continue
            queued += 1
    return queued


def _due(name: str, known: str) -> Iterable[Version]:
    listed = Version.objects.filter(pk__in=Listing.objects.values("version")).select_related("app")
    if name in (Name.CODE, Name.DEPENDENCIES):
        listed = listed.exclude(archive=None)
    current = CheckRun.objects.filter(version=OuterRef("pk"), name=name, rules_hash=known)
    active = CheckRun.objects.filter(version=OuterRef("pk"), name=name, state__in=CheckRun.ACTIVE)
    return listed.filter(~Exists(current), ~Exists(active)).order_by("pk")[:BATCH]
