"""What apps brought their teams, by month and app: earned, taken back, released, and what waits."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from django.db.models import Q, Sum
from django.db.models.functions import TruncMonth

from billing.models import CreatorMovement

Kind = CreatorMovement.Kind
EARNED = (Kind.EARNED, Kind.TOPPED_UP, Kind.RECOVERED)
NOT_EARNED = (Kind.PAID, Kind.RETURNED, Kind.RELIEVED, Kind.TAXED)


@dataclass(frozen=True)
class Earning:
    """An app in a month, in minor units; `earned` less `taken` is what moved into `released` and `held`."""

    team_id: int
    team: str
    app: str
    app_slug: str
    month: str
    currency: str
    earned_minor: int
    taken_minor: int
    released_minor: int
    held_minor: int

    @property
    def net_minor(self) -> int:
        return self.earned_minor + self.taken_minor


def earnings(team_ids: Iterable[int]) -> list[Earning]:
    """List earnings of teams by month and app, the newest month first (one query)."""
    earned = Q(kind__in=EARNED)
    release = Q(kind__in=[Kind.RELEASED, Kind.HELD_BACK])
    rows = (
        CreatorMovement.objects.filter(team__in=team_ids)
        .exclude(kind__in=NOT_EARNED)
        .annotate(month=TruncMonth("at"))
        .values("team", "team__name", "app__name", "app__slug", "month", "currency")
        .annotate(
            earned=_both(earned),
            taken=_both(~earned & ~release),
            released=Sum("available_minor"),
            held=Sum("held_minor"),
        )
        .order_by("-month", "team__name", "app__name", "currency")
    )
    return [_earning(row) for row in rows]


def _both(which: Q) -> Any:
    return Sum("held_minor", filter=which, default=0) + Sum("available_minor", filter=which, default=0)


def _earning(row: Mapping[str, Any]) -> Earning:
    return Earning(
        team_id=row["team"],
        team=row["team__name"],
        app=row["app__name"] or "",
        app_slug=row["app__slug"] or "",
        month=f"{row['month']:%Y-%m}",
        currency=row["currency"],
        earned_minor=int(row["earned"]),
        taken_minor=int(row["taken"]),
        released_minor=int(row["released"]),
        held_minor=int(row["held"]),
    )
