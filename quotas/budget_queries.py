"""Where budgets stand: what is spent and held, what the month will come to, who spends most, what was before."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db.models import Exists, OuterRef, Q

from marketplace.accounts.models import User
from marketplace.core.money import exact
from metering.forecasts import DAYS_OF_ERRORS
from metering.models import ClosedPeriod
from metering.queries import usage
from metering.scopes import EVERYTHING
from metering.usage_questions import MOST_VALUES
from metering.usage_reports import UsageReport, UsageRow
from quotas.budget_models import Budget, BudgetVersion
from quotas.budget_outlook import Outlook, outlook
from quotas.budgets import in_force, owner_of_budget, who_answers
from quotas.limit_alerts import passed_percents
from quotas.models import Limit, LimitCounter
from quotas.owners import RELATED, Owner
from quotas.queries import LimitStanding, standing, with_counters

ZERO = Decimal(0)
# What limits without an environment count; see ``quotas.limits``.
COUNTED = ("production", "staging")
TOP_SPENDERS = 10
EARLIER_MONTHS = 6
Daily = Mapping[date, Decimal]
OwnerKey = tuple[str, Any]


@dataclass(frozen=True)
class BudgetStanding:
    """A budget now. ``standing`` is None when no limit is in force; ``outlook`` when there is too little history."""

    budget: Budget
    owner: Owner
    person: User
    standing: LimitStanding | None
    outlook: Outlook | None
    today: Decimal
    coming: BudgetVersion | None = None

    @property
    def currency(self) -> str:
        return self.standing.limit.currency if self.standing else ""

    @property
    def marks(self) -> list[tuple[int, bool]]:
        """The thresholds, each with whether what is used has passed it."""
        if self.standing is None:
            return [(percent, False) for percent in self.budget.thresholds]
        passed = passed_percents(self.standing.used, self.standing.limit.limit_value, self.budget.thresholds)
        return [(percent, percent in passed) for percent in self.budget.thresholds]


@dataclass(frozen=True)
class BudgetMonth:
    """A month of the past: what there was and what was used of it. ``is_final`` when it takes no more usage."""

    starts_at: datetime
    amount: Decimal
    used: Decimal
    is_final: bool


@dataclass(frozen=True)
class BudgetPage:
    """Everything about one budget."""

    now: BudgetStanding
    daily: Daily
    spenders: Sequence[UsageRow]
    versions: Sequence[BudgetVersion]
    months: Sequence[BudgetMonth]


def standings(budgets: Sequence[Budget], *, at: datetime, currency: str) -> list[BudgetStanding]:
    """Return where budgets stand, in their order (six queries; budgets come with ``budgets.RELATED``)."""
    limits = _limits_of(budgets, at=at)
    daily = daily_spend(budgets, at=at, currency=currency)
    return [_standing(one, limits.get(one.owner_key), daily.get(one.owner_key, {}), at=at) for one in budgets]


def page_of(budget: Budget, *, at: datetime, currency: str) -> BudgetPage:
    """Return everything about one budget (six queries)."""
    report = _report_by_app(budget, at=at, currency=currency)
    daily = {row.starts_at.date(): row.measures.cost for row in report.over_time}
    versions = list(budget.versions.select_related("made_by", "move").order_by("-starts_at", "-pk"))
    versions = [one for one in versions if one.ends_at != one.starts_at]
    limit = next(iter(_limits_of([budget], at=at).values()), None)
    later = [one for one in versions if one.starts_at > at]
    now = _standing(budget, limit, daily, at=at, coming=later[-1] if later else None)
    return BudgetPage(now, daily, _spenders(report, at=at), versions, _months(budget, at=at))


def daily_spend(budgets: Sequence[Budget], *, at: datetime, currency: str) -> dict[OwnerKey, Daily]:
    """Return what each day of seventy came to, for each budget by its owner (five queries).

    Asked once for all: a code or slug is known together with its organization, because several may use the same.
    """
    owners = [owner_of_budget(one) for one in budgets]
    organizations = {one.instance.organization.slug for one in owners}
    report = usage(
        from_at=_since(at),
        to_at=_until(at),
        granularity="day",
        group_by=["organization", "cost_center", "team"],
        filters={
            **({"organization": tuple(sorted(organizations))} if len(organizations) <= MOST_VALUES else {}),
            "environment": COUNTED,
            "currency": currency,
        },
        visible=EVERYTHING,
    )
    keys: dict[tuple[str, str | None, str | None], OwnerKey] = {}
    for one in owners:
        for id_ in (one.id, one.qualified_id):
            keys[one.kind, one.instance.organization.slug, id_] = (one.kind, one.pk)
    found: dict[OwnerKey, dict[date, Decimal]] = {key: {} for key in keys.values()}
    for row in report.rows:
        organization, *parts = row.parts
        for part in parts:
            key = keys.get((part.dimension, organization.id, part.id))
            if key is not None:
                with exact():
                    day = row.starts_at.date()
                    found[key][day] = found[key].get(day, ZERO) + row.measures.cost
    return dict(found.items())


def _standing(
    budget: Budget,
    limit: LimitStanding | None,
    daily: Daily,
    *,
    at: datetime,
    coming: BudgetVersion | None = None,
) -> BudgetStanding:
    today = at.astimezone(UTC).date()
    expected = None
    if limit is not None:
        expected = outlook(daily, used=limit.used, limit=limit.limit.limit_value, today=today)
    return BudgetStanding(
        budget=budget,
        owner=owner_of_budget(budget),
        person=who_answers(budget),
        standing=limit,
        outlook=expected,
        today=daily.get(today, ZERO),
        coming=coming,
    )


def _limits_of(budgets: Sequence[Budget], *, at: datetime) -> dict[OwnerKey, LimitStanding]:
    of_any = Q(cost_center__in=[one.cost_center_id for one in budgets if one.cost_center_id])
    of_any |= Q(team__in=[one.team_id for one in budgets if one.team_id])
    found = with_counters(in_force(at=at).filter(of_any), at=at).select_related(*RELATED).order_by("pk")
    return {(one.owner_kind, one.owner_id): standing(one, at=at) for one in found}


def _since(at: datetime) -> datetime:
    midnight = at.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return midnight - timedelta(days=DAYS_OF_ERRORS)


def _until(at: datetime) -> datetime:
    return at.astimezone(UTC).replace(minute=0, second=0, microsecond=0) + timedelta(hours=1)


def _report_by_app(budget: Budget, *, at: datetime, currency: str) -> UsageReport:
    return usage(
        from_at=_since(at),
        to_at=_until(at),
        granularity="day",
        group_by=["app"],
        filters={
            budget.owner_kind: owner_of_budget(budget).qualified_id,
            "environment": COUNTED,
            "currency": currency,
        },
        visible=EVERYTHING,
    )


def _spenders(report: UsageReport, *, at: datetime) -> list[UsageRow]:
    """Return the apps that cost most this month."""
    first = at.astimezone(UTC).date().replace(day=1)
    of_month = [row for row in report.rows if row.starts_at.date() >= first]
    folded = UsageReport(
        report.from_at,
        report.to_at,
        "total",
        report.group_by,
        tuple(of_month),
        report.currency,
        report.newest_hour,
    )
    return list(folded.folded[:TOP_SPENDERS])


def _months(budget: Budget, *, at: datetime) -> list[BudgetMonth]:
    """Return the months that are over, the newest first (one query)."""
    closed = ClosedPeriod.objects.filter(period=OuterRef("window_starts_at__date"))
    limits = Limit.objects.filter(budget_versions__budget=budget)
    over = LimitCounter.objects.filter(limit__in=limits, window_ends_at__lte=at).select_related("limit")
    return [
        BudgetMonth(one.window_starts_at, _amount_then(one), one.spent + one.overrun, one.is_closed)
        for one in over.annotate(is_closed=Exists(closed)).order_by("-window_starts_at")[:EARLIER_MONTHS]
    ]


def _amount_then(counter: LimitCounter) -> Decimal:
    """Return what the limit was when it was last counted against; a soft one keeps no ceiling below what is used."""
    return counter.ceiling if counter.is_hard else counter.limit.limit_value
