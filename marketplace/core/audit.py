"""The audit trail: written in the transaction of the change it tells of, never altered."""

from datetime import datetime
from typing import Any

from django.db.models import Model

from marketplace.core.models import AuditEntry


def record(
    action: str,
    *,
    subject: Model,
    at: datetime,
    by: Any = None,
    acting_for: Any = None,
    old: dict[str, Any] | None = None,
    new: dict[str, Any] | None = None,
    reason: str = "",
) -> AuditEntry:
    """Write one entry. ``by`` is the acting User, or None for the system. Values must be JSON-ready."""
    return AuditEntry.objects.create(
        at=at,
        action=action,
        actor=by,
        acting_for=acting_for,
        subject_type=subject._meta.label_lower,
        subject_id=str(subject.pk),
        old=old or {},
        new=new or {},
        reason=reason,
    )


def history(subject: Model) -> list[AuditEntry]:
    """Return the entries of one thing, oldest first, with their actors."""
    return list(
        AuditEntry.objects.filter(subject_type=subject._meta.label_lower, subject_id=str(subject.pk))
        .select_related("actor", "acting_for")
        .order_by("at", "id")
    )
