"""The alarm for tokens that cost nothing: a price of zero is nearly always a mistake."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from django.db.models import F, Q, QuerySet, Sum
from django.db.models.functions import TruncDate
from django.urls import reverse

from marketplace.accounts import access
from marketplace.accounts.access import Role
from marketplace.core.notices import Kind, notify
from metering.models import UsageRollup

# Longer than the hour between two looks: reports come late, and nobody is told of the same thing twice.
LOOK_BACK = timedelta(hours=25)


@dataclass(frozen=True)
class FreeUsage:
    """Tokens of one app, model and day that cost nothing."""

    app_id: int
    app: str
    model_id: int
    model: str
    day: date
    tokens: int


def find_free_usage(*, at: datetime) -> Sequence[FreeUsage]:
    """Find hours since a day ago whose tokens cost nothing, summed by app, model and day in UTC (one query)."""
    since = at.replace(minute=0, second=0, microsecond=0) - LOOK_BACK
    rows: QuerySet[Any, Any] = (
        UsageRollup.objects.filter(Q(input_tokens__gt=0) | Q(output_tokens__gt=0), hour__gte=since, cost=0)
        .values(
            app_id=F("attribution__app_id"),
            app=F("attribution__app__name"),
            model_id=F("attribution__model_id"),
            model=F("attribution__model__name"),
            day=TruncDate("hour"),
        )
        .annotate(tokens=Sum(F("input_tokens") + F("output_tokens")))
        .filter(model_id__isnull=False)
        .order_by("app_id", "model_id", "day")
    )
    return [FreeUsage(**row | {"tokens": int(row["tokens"])}) for row in rows]


def tell_operators(*, at: datetime) -> int:
    """Tell the platform's operators of tokens without cost, once for each app, model and day; returns how many there are."""
    found = find_free_usage(at=at)
    operators = list(access.platform_people(Role.OPERATOR)) if found else []
    for one in found:
        notify(
            operators,
            text=f"{one.tokens:,} tokens of {one.model} in {one.app} cost nothing on {one.day:%Y-%m-%d}. Is its price right?",
            at=at,
            key=f"free-usage:{one.app_id}:{one.model_id}:{one.day:%Y-%m-%d}",
            path=reverse("metering:rate-card", args=[one.model]),
            kind=Kind.USAGE,
            is_of_platform=True,
        )
    return len(found)
