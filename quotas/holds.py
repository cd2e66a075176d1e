"""Holds whose process died: found when they expire, booked with what was counted, never silently free."""

import logging
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from django.db import DataError, IntegrityError, connection, transaction

from marketplace.core.errors import InvalidInput
from quotas import admission
from quotas.admission import Settlement
from quotas.models import Hold, LimitCounter

BATCH = 500

logger = logging.getLogger(__name__)


def count_output(counted: Sequence[tuple[UUID, int]], *, expires_at: datetime) -> None:
    """Note how many output tokens streams have delivered so far, for the case that their process dies.

    A stream that still delivers has not died, so its hold lasts until ``expires_at`` at least.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE quotas_hold h SET counted_output_tokens = v.tokens, "
            "expires_at = greatest(h.expires_at, %s) "
            "FROM unnest(%s::uuid[], %s::bigint[]) AS v(id, tokens) WHERE h.id = v.id AND h.state = 'held'",
            [expires_at, [hold_id for hold_id, _ in counted], [tokens for _, tokens in counted]],
        )


def sweep(*, at: datetime) -> int:
    """Book every hold that expired (input and counted output) and mark it expired; returns how many.

    Rows another sweeper works on are skipped, so any number may run. A hold that cannot be booked stays held, is
    logged, and does not keep the others.
    """
    swept = 0
    left: set[UUID] = set()
    while True:
        with transaction.atomic():
            expired = _lock_expired(at=at, without=left)
            if not expired:
                return swept
            left |= _book(expired, at=at)
        swept += sum(hold.pk not in left for hold in expired)


def _lock_expired(*, at: datetime, without: Collection[UUID]) -> list[Hold]:
    return list(
        Hold.objects.select_for_update(skip_locked=True)
        .filter(state=Hold.State.HELD, expires_at__lte=at)
        .exclude(pk__in=without)
        .order_by("id")[:BATCH]
    )


def _book(expired: Sequence[Hold], *, at: datetime) -> set[UUID]:
    """Book holds together, or each alone when that fails; returns those that cannot be booked."""
    try:
        with transaction.atomic():
            settlements = [
                Settlement(
                    hold.pk,
                    admission.usage_from_json(hold.pk, hold.usage, output_tokens=hold.counted_output_tokens),
                )
                for hold in expired
            ]
            admission.settle(settlements, at=at)
            Hold.objects.filter(pk__in=[hold.pk for hold in expired]).update(state=Hold.State.EXPIRED)
    except (InvalidInput, DataError, IntegrityError):
        if len(expired) == 1:
            logger.exception("hold %s cannot be booked", expired[0].pk)
            return {expired[0].pk}
        return set().union(*(_book([hold], at=at) for hold in expired))
    return set()


def purge(*, at: datetime, keep: timedelta = timedelta(days=3)) -> int:
    """Remove what only describes the past: ended holds and counters of minutes that are over."""
    ended, _ = Hold.objects.filter(ended_at__lt=at - keep).delete()
    LimitCounter.objects.filter(limit__window="minute", window_ends_at__lt=at - keep, held=0).delete()
    return ended
