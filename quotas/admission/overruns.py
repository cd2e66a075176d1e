"""What was used beyond a hold or a limit, written down."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from django.db import connection

from quotas.counters import Counter


@dataclass(slots=True)
class Overrun:
    counter: Counter
    amount: Decimal
    cause: str
    hold_id: UUID | None


def insert_overruns(overruns: Sequence[Overrun], *, at: datetime) -> None:
    if not overruns:
        return
    with connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO quotas_overrunentry (limit_id, window_starts_at, amount, cause, hold_id, created_at) "
            "VALUES (%s, %s, %s, %s, %s, %s)",
            [
                (o.counter.limit.id, o.counter.window_starts_at, o.amount, o.cause, o.hold_id, at)
                for o in overruns
            ],
        )
