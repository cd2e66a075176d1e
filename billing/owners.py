"""To whom creators' parts go when an app changed hands: to each owner what was earned in its time.

A contract is priced as a whole, so its lines are not cut; the creators' part of each is split: a fee by the time each
team owned the app, what is charged for usage by the usage of each one's time. The parts sum to the whole.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db.models import F, Sum

from billing.billable import MONTH_OF_USE
from billing.models import Invoice, InvoiceLine
from marketplace.catalog.owning import AppOwnership
from marketplace.core.money import allocate
from marketplace.core.periods import month_of, parse_month
from metering.models import DailyRollup

FEE, COST = "fee", "cost"
# App, subscription, plan, first moment of the month.
UsageKey = tuple[int, UUID | None, int | None, datetime]


@dataclass(frozen=True)
class Tenure:
    """That a team owned an app from one moment to another; the first and the last have no such end."""

    team_id: int
    starts_at: datetime | None
    ends_at: datetime | None

    def seconds_of(self, starts_at: datetime, ends_at: datetime) -> int:
        """Count the seconds of a period in which the team owned the app."""
        first = max(starts_at, self.starts_at or starts_at)
        last = min(ends_at, self.ends_at or ends_at)
        return max(0, int((last - first).total_seconds()))


@dataclass
class _Used:
    requests: int = 0
    cost: Decimal = Decimal(0)


def creator_parts(invoice: Invoice) -> dict[tuple[int, int], int]:
    """Sum the creators' part of an invoice by app and team (two queries, and one where an app changed hands)."""
    # What is of no app has no creator: a line that finance added, a discount on the whole.
    lines = list(invoice.lines.exclude(app=None).order_by("position"))
    tenures = _tenures({line.app_id for line in lines if line.app_id})
    moved = {app_id for app_id, found in tenures.items() if len(found) > 1}
    used = _used(invoice, moved) if moved else {}
    parts: dict[tuple[int, int], int] = defaultdict(int)
    for line in lines:
        app_id = line.app_id or 0
        for team_id, creator_minor in split_line(line, tenures[app_id], used).items():
            parts[app_id, team_id] += creator_minor
    return dict(parts)


def split_line(
    line: InvoiceLine, tenures: list[Tenure], used: Mapping[UsageKey, Mapping[int, _Used]]
) -> dict[int, int]:
    """Split the creators' part of one line among the teams that owned the app."""
    if len(tenures) == 1:
        return {tenures[0].team_id: line.creator_minor}
    by_time: dict[int, int] = defaultdict(int)
    for tenure in tenures:
        by_time[tenure.team_id] += tenure.seconds_of(line.service_starts_at, line.service_ends_at)
    weights: Mapping[int, int | Decimal] = {team: seconds for team, seconds in by_time.items() if seconds}
    charge = line.code.split(":")[0]
    month = month_of(line.service_starts_at).starts_at
    of_usage = used.get((line.app_id or 0, line.subscription_id, line.plan_id, month), {})
    if charge != FEE and of_usage:
        measured = {team: one.cost if charge == COST else one.requests for team, one in of_usage.items()}
        weights = measured if any(weight > 0 for weight in measured.values()) else weights
    teams = sorted(weights) or [tenures[-1].team_id]
    shares = allocate(line.creator_minor, [max(weights.get(team, 0), 0) for team in teams])
    return {team: share for team, share in zip(teams, shares, strict=True) if share or len(teams) == 1}


def _tenures(app_ids: Iterable[int]) -> dict[int, list[Tenure]]:
    found: dict[int, list[AppOwnership]] = defaultdict(list)
    for one in AppOwnership.objects.filter(app__in=set(app_ids)).order_by("app", "starts_at"):
        found[one.app_id].append(one)
    return {
        app_id: [
            Tenure(one.team_id, one.starts_at if number else None, one.ends_at)
            for number, one in enumerate(of_app)
        ]
        for app_id, of_app in found.items()
    }


def _used(invoice: Invoice, app_ids: Iterable[int]) -> dict[UsageKey, dict[int, _Used]]:
    """Sum what was billed in the invoice's month by contract, month of use and owner of that time."""
    rows: Iterable[Mapping[str, Any]] = (
        DailyRollup.objects.filter(
            period=parse_month(invoice.period_id).starts_at.date(),
            attribution__app__in=set(app_ids),
            attribution__organization=invoice.organization_id,
        )
        .exclude(attribution__environment="sandbox")
        .values(
            app=F("attribution__app_id"),
            subscription=F("attribution__subscription_id"),
            plan=F("attribution__plan_id"),
            team=F("attribution__owner_team_id"),
            month=MONTH_OF_USE,
        )
        .annotate(requests_sum=Sum("requests"), cost_sum=Sum("cost"))
        .order_by()
    )
    found: dict[UsageKey, dict[int, _Used]] = defaultdict(dict)
    for row in rows:
        of_contract = found[row["app"], row["subscription"], row["plan"], row["month"]]
        of_contract[row["team"]] = _Used(int(row["requests_sum"]), row["cost_sum"])
    return found
