"""What was not bought: events that say how much they saved, summed by day.

An event of a call that was answered without being bought, or was bought together with others, says so in tags that
nobody else may write. They are summed from the events themselves, so what a page shows as saved ties
with what was recorded.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from django.db.models import BigIntegerField, Count, DecimalField, F, QuerySet, Sum
from django.db.models.fields.json import KT
from django.db.models.functions import Cast, TruncDate

from metering.models import UsageEvent
from metering.reported import RESERVED_TAGS

SAVED_BY = f"{RESERVED_TAGS}saved_by"
SAVED_COST = f"{RESERVED_TAGS}saved_cost"
SERVED_INPUT = f"{RESERVED_TAGS}served_input_tokens"
SERVED_OUTPUT = f"{RESERVED_TAGS}served_output_tokens"


@dataclass(frozen=True)
class Saved:
    """What was saved on a day in UTC by one means: calls, tokens that were not bought, and what they would have cost."""

    day: date
    by: str
    currency: str
    calls: int
    tokens: int
    cost: Decimal


def tags(*, by: str, saved_cost: str, input_tokens: int, output_tokens: int) -> dict[str, str]:
    """Return the tags of an event that saved something: its means, and the tokens that its caller was served."""
    return {
        SAVED_BY: by,
        SAVED_COST: saved_cost,
        SERVED_INPUT: str(input_tokens),
        SERVED_OUTPUT: str(output_tokens),
    }


def by_day(app_id: int, *, starts_at: datetime, ends_at: datetime) -> Sequence[Saved]:
    """Sum what an app's events saved by day, means and currency, in that order (one query)."""
    events: QuerySet[Any, Any] = UsageEvent.objects.filter(
        app=app_id, occurred_at__gte=starts_at, occurred_at__lt=ends_at, tags__has_key=SAVED_BY
    )
    rows = (
        events.values("currency", day=TruncDate("occurred_at"), by=KT(f"tags__{SAVED_BY}"))
        .annotate(
            calls=Count("*"),
            # Served, less what was bought: nothing for a kept answer, a part for one that was bought with others.
            tokens=Sum(
                _number(SERVED_INPUT) + _number(SERVED_OUTPUT) - F("input_tokens") - F("output_tokens")
            ),
            cost=Sum(Cast(KT(f"tags__{SAVED_COST}"), DecimalField(max_digits=38, decimal_places=18))),
        )
        .order_by("day", "by", "currency")
    )
    return [Saved(**row) for row in rows]


def _number(name: str) -> Cast:
    return Cast(KT(f"tags__{name}"), BigIntegerField())
