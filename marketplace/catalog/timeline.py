"""The history of an app in words: every state its versions and checks went through, from the audit trail."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Q, TextField
from django.db.models.functions import Cast

from marketplace.catalog.models import SmokeRun, Version
from marketplace.core.models import AuditEntry

# Action -> what happened, icon, tone. Left out: what another entry of the same moment says already.
_WORDS = {
    "catalog.version.created": ("Version {number} started", "file-plus", "neutral"),
    "catalog.version.edited": ("Version {number} edited", "pencil", "neutral"),
    "catalog.version.submitted": ("Version {number} submitted", "send", "info"),
    "catalog.version.checked_again": ("Another check asked for", "rotate-cw", "info"),
    "catalog.version.check_failed": ("Version {number} needs changes", "triangle-alert", "warn"),
    "catalog.version.in_review": ("Version {number} waits for a decision", "hourglass", "info"),
    "catalog.version.changes_requested": ("Changes requested", "message-square", "warn"),
    "catalog.version.rejected": ("Version {number} rejected", "x", "danger"),
    "catalog.version.listed": ("Version {number} approved and live, found in search", "rocket", "ok"),
    "catalog.version.deprecated": ("Version {number} replaced", "archive", "neutral"),
    "catalog.version.suspended": ("Version {number} suspended", "octagon-alert", "danger"),
    "catalog.version.withdrawn": ("Version {number} withdrawn", "undo-2", "neutral"),
    "catalog.check.passed": ("Check passed", "check", "ok"),
    "catalog.check.warned": ("Check passed with a warning", "triangle-alert", "warn"),
    "catalog.check.failed": ("Check failed", "x", "danger"),
    "catalog.check.could_not_check": ("Check could not be finished", "circle-question-mark", "warn"),
}


@dataclass(frozen=True)
class TimelineEntry:
    """One thing that happened, and who did it (empty: the marketplace itself)."""

    at: datetime
    title: str
    by: str
    reason: str
    icon: str
    tone: str
    smoke_run_id: str


def timeline(versions: Sequence[Version]) -> list[TimelineEntry]:
    """Tell the history of these versions, newest first (one query)."""
    number_by_version = {str(version.pk): version.number for version in versions}
    runs = SmokeRun.objects.filter(version__in=[version.pk for version in versions])
    run_ids = runs.annotate(text=Cast("pk", TextField())).values("text")
    entries = (
        AuditEntry.objects.filter(
            Q(subject_type="catalog.version", subject_id__in=number_by_version)
            | Q(subject_type="catalog.smokerun", subject_id__in=run_ids),
            action__in=_WORDS,
        )
        .select_related("actor")
        .order_by("-at", "-id")
    )
    return [_in_words(entry, number_by_version) for entry in entries]


def _in_words(entry: AuditEntry, number_by_version: dict[str, int]) -> TimelineEntry:
    title, icon, tone = _WORDS[entry.action]
    return TimelineEntry(
        at=entry.at,
        title=title.format(number=number_by_version.get(entry.subject_id, "")),
        by=str(entry.actor) if entry.actor else "",
        reason=entry.reason,
        icon=icon,
        tone=tone,
        smoke_run_id=entry.subject_id if entry.subject_type == "catalog.smokerun" else "",
    )
