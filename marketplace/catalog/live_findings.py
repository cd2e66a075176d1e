"""New findings of live apps: they go to the makers and to the queue of approvers, not straight to a takedown."""

from datetime import datetime

from django.db import transaction
from django.db.models import QuerySet

from marketplace.accounts.models import User
from marketplace.catalog import check_states
from marketplace.catalog.app_people import approvers_of, makers_of
from marketplace.catalog.check_models import CheckFinding, CheckRun
from marketplace.catalog.waivers import path_of
from marketplace.core import audit
from marketplace.core.errors import Conflict, InvalidInput
from marketplace.core.notices import Kind, notify


def tell(run: CheckRun, *, at: datetime) -> None:
    """Tell makers and approvers of a live app that its rescan found something new which would hold it up."""
    if run.state not in (CheckRun.State.WARNED, CheckRun.State.FAILED):
        return
    known = _known_prints(run) | check_states.waived_prints(run.version, at=at)
    new = [
        one
        for one in run.findings.all()
        if one.fingerprint not in known and one.severity not in ("info", "low")
    ]
    if not new:
        return
    CheckRun.objects.filter(pk=run.pk).update(facts={**run.facts, "new": len(new)})
    app = run.version.app
    text = f"{run.get_name_display()} of {app}, which is live: {len(new)} new finding{'s' if len(new) > 1 else ''}."
    people = (makers_of(app) | approvers_of(app)).distinct()
    notify(
        people,
        text=text,
        at=at,
        key=f"rescan:{run.pk}",
        path=path_of(run),
        kind=Kind.APPS,
        team=app.owner_team,
    )


def unseen(runs: QuerySet[CheckRun]) -> QuerySet[CheckRun]:
    """Narrow runs to those of live versions that found something new which no approver has looked at."""
    return runs.filter(is_rescan=True, seen_at=None, facts__has_key="new", version__state="listed")


@transaction.atomic
def mark_seen(run: CheckRun, *, note: str, by: User, at: datetime) -> None:
    """Keep what an approver decided about a live app's findings. Raises InvalidInput without a note, Conflict."""
    if not note.strip():
        raise InvalidInput(
            "note", "Say what happens now: the log keeps it, and its makers read it.", code="required"
        )
    seen = CheckRun.objects.filter(pk=run.pk, seen_at=None).update(
        seen_by=by, seen_at=at, seen_note=note.strip()
    )
    if not seen:
        raise Conflict("Somebody has looked at this already.", code="seen_already")
    audit.record("catalog.scan.seen", subject=run, at=at, by=by, reason=note.strip())
    text = f"{run.version.app}: {by} looked at the findings: {note.strip()}"
    notify(
        makers_of(run.version.app),
        text=text,
        at=at,
        key=f"rescan:{run.pk}:seen",
        path=path_of(run),
        kind=Kind.APPS,
        team=run.version.app.owner_team,
    )


def _known_prints(run: CheckRun) -> frozenset[str]:
    """Fingerprints that other runs of this check found in this version."""
    others = CheckRun.objects.filter(version=run.version_id, name=run.name).exclude(pk=run.pk)
    return frozenset(CheckFinding.objects.filter(run__in=others).values_list("fingerprint", flat=True))
