"""The audit trail of the story: what people did before anybody could watch."""

import uuid
from collections.abc import Iterable
from datetime import datetime
from random import Random
from typing import Any

from django.db.models import Model

from marketplace.accounts.models import User
from marketplace.core.models import AuditEntry, Notice
from marketplace.core.notice_kinds import Kind


class Chronicle:
    """Collects audit entries and notices in any order and writes them in that of time."""

    def __init__(self) -> None:
        self._entries: list[AuditEntry] = []
        self._notices: list[Notice] = []

    def note(
        self,
        action: str,
        subject: Model,
        *,
        at: datetime,
        by: User | None = None,
        old: dict[str, Any] | None = None,
        new: dict[str, Any] | None = None,
        reason: str = "",
    ) -> None:
        """Remember one entry."""
        self._entries.append(
            AuditEntry(
                at=at,
                action=action,
                actor=by,
                subject_type=subject._meta.label_lower,
                subject_id=str(subject.pk),
                old=old or {},
                new=new or {},
                reason=reason,
            )
        )

    def moved(
        self, action: str, subject: Model, *, states: tuple[str, str], at: datetime, by: User | None = None,
        reason: str = "",
    ) -> None:  # fmt: skip
        """Remember a change of state."""
        self.note(
            action, subject, at=at, by=by, old={"state": states[0]}, new={"state": states[1]}, reason=reason
        )

    def tell(
        self, people: Iterable[User], text: str, *, at: datetime, path: str, key: str, read_at: datetime | None = None,
        kind: str = Kind.OTHER,
    ) -> None:  # fmt: skip
        """Remember a notice to each of these people; not yet read unless said otherwise."""
        self._notices += [
            Notice(
                recipient=p,
                text=text,
                path=path,
                idempotency_key=key,
                created_at=at,
                read_at=read_at,
                kind=kind,
            )
            for p in dict.fromkeys(people)
        ]

    def write(self) -> None:
        """Write everything remembered."""
        AuditEntry.objects.bulk_create(sorted(self._entries, key=lambda entry: entry.at))
        Notice.objects.bulk_create(sorted(self._notices, key=lambda notice: notice.created_at))


def dated_id(at: datetime, rng: Random) -> uuid.UUID:
    """Make the version 7 UUID that something made at this time would have had; the same for the same seed."""
    value = (int(at.timestamp() * 1000) << 80) | rng.getrandbits(80)
    value = (value & ~(0xF << 76)) | (7 << 76)
    value = (value & ~(0x3 << 62)) | (2 << 62)
    return uuid.UUID(int=value)
