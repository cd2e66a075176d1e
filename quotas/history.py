"""What was done to limits: who changed what, when and why; and what is scheduled."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from marketplace.accounts.models import User
from marketplace.core.models import AuditEntry
from quotas.models import Limit
from quotas.owners import Owner

MOST = 100
_VERBS = {
    "quotas.limit.set": "Set",
    "quotas.limit.changed": "Changed",
    "quotas.limit.ended": "Ended",
}
FIELDS = (
    "limit",
    "currency",
    "mode",
    "measure",
    "window",
    "model_class",
    "time_zone",
    "starts_at",
    "ends_at",
)


@dataclass(frozen=True)
class Step:
    """One change of a limit. ``changed`` are the fields that differ: name, before, after."""

    limit: Limit
    verb: str
    at: datetime
    by: User | None
    reason: str
    old: dict[str, Any]
    new: dict[str, Any]

    @property
    def changed(self) -> list[tuple[str, str | None, str | None]]:
        return [
            (name, self.old.get(name), self.new.get(name))
            for name in FIELDS
            if self.old and self.old.get(name) != self.new.get(name)
        ]


def of_owner(owner: Owner) -> list[Step]:
    """Return what was done to all limits of an owner, newest first, ended ones included (two queries)."""
    return _steps(list(Limit.objects.filter(**{f"{owner.kind}_id": owner.pk})))


def of_limit(limit: Limit) -> list[Step]:
    """Return what was done to one limit, newest first."""
    return _steps([limit])


def _steps(limits: list[Limit]) -> list[Step]:
    by_id = {str(limit.pk): limit for limit in limits}
    entries = (
        AuditEntry.objects.filter(subject_type=Limit._meta.label_lower, subject_id__in=by_id)
        .select_related("actor")
        .order_by("-at", "-id")[:MOST]
    )
    return [
        Step(
            limit=by_id[entry.subject_id],
            verb=_VERBS.get(entry.action, "Changed"),
            at=entry.at,
            by=entry.actor,
            reason=entry.reason,
            old=entry.old,
            new=entry.new,
        )
        for entry in entries
    ]
