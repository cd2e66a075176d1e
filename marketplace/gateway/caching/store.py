"""Kept answers in the database, sealed: where other processes find them, and what is left after a start."""

from datetime import datetime

from django.db import connection
from msgspec import DecodeError

from marketplace.core.ids import uuid7
from marketplace.gateway import sealing
from marketplace.gateway.caching.entries import Entry, pack, unpack
from marketplace.gateway.caching.keys import Scope
from marketplace.gateway.caching.questions import Question
from marketplace.gateway.saving_models import CachedAnswer

# One that is kept anew (its first life is over, or two processes asked at once) takes the place of the old one.
_KEEP = """
INSERT INTO gateway_cachedanswer (id, key, organization_id, app_id, sealed, neighborhood, embedding, kept_at, expires_at)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s)
ON CONFLICT (key) DO UPDATE SET sealed = excluded.sealed, neighborhood = excluded.neighborhood,
  embedding = excluded.embedding, kept_at = excluded.kept_at, expires_at = excluded.expires_at
"""


def find(key: bytes, *, at: datetime) -> tuple[Entry, datetime] | None:
    """Return the entry of a key and its end (one query). One that cannot be opened any more is as if it were not there."""
    row = CachedAnswer.objects.filter(key=key, expires_at__gt=at).values_list("sealed", "expires_at").first()
    if row is None:
        return None
    try:
        return unpack(sealing.unseal_bytes(row[0], purpose=sealing.CACHED_ANSWER)), row[1]
    except (sealing.CannotOpen, DecodeError):
        return None


def keep(
    key: bytes,
    scope: Scope,
    entry: Entry,
    *,
    at: datetime,
    expires_at: datetime,
    question: Question | None = None,
) -> None:
    """Keep an entry until it expires; with its ``question`` it is found by similar ones."""
    sealed = sealing.seal_bytes(pack(entry), purpose=sealing.CACHED_ANSWER)
    compared = (question.neighborhood, question.vector) if question else (None, None)
    values = [uuid7(), key, scope.organization_id, scope.app_id, sealed, *compared, at, expires_at]
    with connection.cursor() as cursor:
        cursor.execute(_KEEP, values)


def purge_expired(*, at: datetime) -> int:
    """Delete what has expired; returns how many there were."""
    count, _ = CachedAnswer.objects.filter(expires_at__lte=at).delete()
    return count
