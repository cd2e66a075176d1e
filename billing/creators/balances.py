"""What teams have: held, available, on its way, and what a payout of a day would pay."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from django.db.models import Q, Sum

from billing.creators.accruing import Owed
from billing.creators.plans import LONGEST_HOLD, next_date
from billing.models import CreatorMovement, Payout, PayoutPlan

# A plan may let money wait this long, and its next day may be a month away.
LONGEST_WAIT = LONGEST_HOLD + 31
ON_ITS_WAY = (Payout.State.SCHEDULED, Payout.State.HELD)


@dataclass(frozen=True)
class Balance:
    """What a team has in a currency, in minor units; below zero it is carried forward."""

    team_id: int
    currency: str
    held_minor: int = 0
    available_minor: int = 0
    on_its_way_minor: int = 0

    @property
    def owed_minor(self) -> int:
        """What the books owe."""
        return self.held_minor + self.available_minor

    @property
    def free_minor(self) -> int:
        """What is available and in no payout yet."""
        return self.available_minor - self.on_its_way_minor


def balances_of(team_ids: Iterable[int]) -> list[Balance]:
    """Sum what teams have by currency, by team (two queries)."""
    on_its_way = {
        (team, currency): int(total)
        for team, currency, total in Payout.objects.filter(team__in=team_ids, state__in=ON_ITS_WAY)
        .values_list("team", "currency")
        .annotate(total=Sum("amount_minor"))
        .order_by()
    }
    sums = (
        CreatorMovement.objects.filter(team__in=team_ids)
        .values_list("team", "currency")
        .annotate(held=Sum("held_minor"), available=Sum("available_minor"))
        .order_by("team", "currency")
    )
    return [
        Balance(team, currency, int(held), int(available), on_its_way.get((team, currency), 0))
        for team, currency, held, available in sums
    ]


def balance_of(team_id: int, currency: str) -> Balance:
    """Sum what a team has in a currency."""
    found = [one for one in balances_of([team_id]) if one.currency == currency]
    return found[0] if found else Balance(team_id, currency)


def owed_at(team_id: int, currency: str, *, at: datetime) -> Owed:
    """Say what a team had at a moment, that moment excluded."""
    sums = CreatorMovement.objects.filter(team=team_id, currency=currency, at__lt=at).aggregate(
        held=Sum("held_minor", default=0), available=Sum("available_minor", default=0)
    )
    return Owed(int(sums["held"]), int(sums["available"]))


def payable_minor(plan: PayoutPlan, *, due_date: date, least_hold_days: int = 0) -> int:
    """Say what a payout of a day may pay: what was released long enough before, less all that was taken back since."""
    days = max(plan.hold_days, least_hold_days)
    cutoff = datetime.combine(due_date, time(), UTC) - timedelta(days=days)
    counts = Q(at__lt=cutoff) | Q(available_minor__lt=0)
    rows = CreatorMovement.objects.filter(counts, team=plan.team_id, currency=plan.currency)
    available = int(rows.aggregate(total=Sum("available_minor", default=0))["total"])
    waiting = Payout.objects.filter(plan=plan, state__in=ON_ITS_WAY)
    return available - int(waiting.aggregate(total=Sum("amount_minor", default=0))["total"])


@dataclass(frozen=True)
class Outlook:
    """When a team is paid next, and how much by what has been released so far; None for who chose no plan."""

    plan: PayoutPlan
    due_date: date
    minor: int

    @property
    def is_below_threshold(self) -> bool:
        return self.minor < max(self.plan.threshold_minor, 1)


def outlooks(
    plans_: Iterable[PayoutPlan], balances: Iterable[Balance], *, on: date, least_hold_days: int = 0
) -> dict[tuple[int, str], Outlook]:
    """Estimate the next payout of each plan by team and currency (one query)."""
    there = {(one.team_id, one.currency): one for one in balances}
    wanted = {(one.team_id, one.currency): one for one in plans_}
    due = {key: next_date(plan, after=on) for key, plan in wanted.items()}
    since = datetime.combine(on, time(), UTC) - timedelta(days=LONGEST_WAIT)
    recent = CreatorMovement.objects.filter(
        team__in={team for team, _ in wanted}, available_minor__gt=0, at__gte=since
    ).values_list("team", "currency", "at", "available_minor")
    free = {key: there[key].free_minor if key in there else 0 for key in wanted}
    for team, currency, at, minor in recent:
        key = (team, currency)
        if key in wanted:
            days = max(wanted[key].hold_days, least_hold_days)
            if at >= datetime.combine(due[key], time(), UTC) - timedelta(days=days):
                free[key] -= int(minor)
    return {key: Outlook(plan, due[key], max(0, free[key])) for key, plan in wanted.items()}
