"""That a budget refuses calls, written down once, so that its owner and finance hear of it.

A hard budget may refuse long before it is used up: what is left is less than what the next call may use. No threshold tells.
"""

import logging
from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal

from django.db import DatabaseError, connection

from quotas.admission import Admitted, Refused
from quotas.book import LimitFacts
from quotas.budget_history import OWNER_KINDS

Key = tuple[int, datetime, Decimal]
MOST_REMEMBERED = 10_000

logger = logging.getLogger(__name__)
_noted: set[Key] = set()


def note(answers: Iterable[Admitted | Refused], *, at: datetime) -> None:
    """Write down which budgets refused, each once for a window and amount; what this process has noted costs nothing.

    The answers are committed: nothing here may fail them. What cannot be written is written with the next refusal.
    """
    new = {}
    for answer in answers:
        if isinstance(answer, Refused) and _is_budget(answer.standing.limit):
            limit = answer.standing.limit
            key = (limit.id, limit.bounds(at)[0], limit.value)
            if key not in _noted:
                new[key] = answer
    if not new:
        return
    try:
        _insert(new, at=at)
    except DatabaseError:
        logger.warning("refusals of budgets could not be written down", exc_info=True)
        return
    if len(_noted) > MOST_REMEMBERED:
        _noted.clear()
    if not connection.in_atomic_block:
        _noted.update(new)


def forget() -> None:
    """Drop what this process has noted."""
    _noted.clear()


def _is_budget(limit: LimitFacts) -> bool:
    is_monthly_cost = limit.measure == "cost" and limit.window == "month" and not limit.environment
    return is_monthly_cost and limit.owner[0] in OWNER_KINDS


def _insert(new: dict[Key, Refused], *, at: datetime) -> None:
    with connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO quotas_limitrefusal (limit_id, window_starts_at, limit_value, used, asked, first_at) "
            "VALUES (%s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING",
            [(*key, refused.standing.used, refused.asked, at) for key, refused in sorted(new.items())],
        )
