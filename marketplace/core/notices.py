"""Notices to people inside the product."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from marketplace.core.models import Notice


def notify(recipients: Iterable[Any], *, text: str, at: datetime, key: str, path: str = "") -> None:
    """Tell each person once: a second call with the same key changes nothing. ``path`` links to the thing."""
    Notice.objects.bulk_create(
        [
            Notice(recipient=person, text=text[:300], path=path, idempotency_key=key, created_at=at)
            for person in recipients
        ],
        ignore_conflicts=True,
    )


def mark_read(recipient: Any, *, at: datetime) -> int:
    """Mark everything a person has been told as read; returns how many were new."""
    return Notice.objects.filter(recipient=recipient, read_at=None).update(read_at=at)
