"""Budgets drawn for pages: charts of the month with what is expected, and the ways to what a number is made of."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Context, Decimal
from itertools import accumulate
from typing import Any

from marketplace.core.charts import Chart, Reference, Series, Value, line_chart
from marketplace.core.money import exact
from marketplace.core.templatetags.money import amount
from metering import usage_addresses
from metering.periods import month, next_month
from metering.usage_pages import tick_formatter
from quotas.budget_models import Budget
from quotas.budget_queries import COUNTED, BudgetPage, BudgetStanding
from quotas.owners import Owner

ZERO = Decimal(0)
MONTHS_AHEAD = 6
BAND = ("low", "middle", "high")


@dataclass(frozen=True)
class Row:
    """A budget as a row of the list, amounts that are estimates cut to what can be known."""

    one: BudgetStanding
    expected: tuple[Decimal, Decimal, Decimal] | None

    @property
    def about(self) -> tuple[Decimal, Decimal, Decimal] | None:
        """What the month is expected to come to, in three digits."""
        return None if self.expected is None else tuple(map(about, self.expected))  # type: ignore[return-value]


def row_of(one: BudgetStanding) -> Row:
    """Make a row."""
    month_end = one.outlook.month if one.outlook else None
    return Row(one, (month_end.low, month_end.middle, month_end.high) if month_end else None)


def about(value: Decimal) -> Decimal:
    """Cut an estimate to three digits."""
    return Context(prec=3).create_decimal(value)


def charts(page: BudgetPage, *, at: datetime, currency: str) -> dict[str, Chart]:
    """Draw the month: what each day came to and is expected to, and what has come together, against the budget."""
    today = at.astimezone(UTC).date()
    first = today.replace(day=1)
    past = [first + timedelta(days=place) for place in range((today - first).days)]
    expected = [day for day, _ in page.now.outlook.days] if page.now.outlook else [today]
    labels = [f"{day:%-d %b}" for day in [*past, *expected]]
    look: dict[str, Any] = {
        "format_value": lambda value: amount(value, currency),
        "format_tick": tick_formatter("cost", currency),
    }
    return {
        "days": line_chart(labels, _by_day(page, past, today=today), **look),
        "month": line_chart(labels, _growing(page, past), references=_references(page), **look),
    }


def spenders(page: BudgetPage, *, at: datetime) -> list[tuple[Any, Decimal | None, str]]:
    """Give each app that costs most, its share of what is used, and the address of its usage of this budget."""
    first = month(at)
    today = at.astimezone(UTC).date()
    whole = page.now.standing.used if page.now.standing else ZERO
    asked = {
        "first": str(first),
        "last": str(today),
        page.now.owner.kind: (page.now.owner.qualified_id,),
        "environment": COUNTED,
    }
    return [
        (
            row,
            row.measures.cost / whole if whole else None,
            usage_addresses.explore(**asked, app=(row.parts[0].id,), group_by="model")
            if row.parts[0].id
            else "",
        )
        for row in page.spenders
    ]


def usage_url(budget: BudgetStanding, *, at: datetime) -> str:
    """Return the address of the usage that a budget counts this month."""
    asked: dict[str, Any] = {
        budget.owner.kind: (budget.owner.qualified_id,),
        "environment": COUNTED,
        "group_by": "app",
    }
    return usage_addresses.explore(first=str(month(at)), last=str(at.astimezone(UTC).date()), **asked)


def coming_months(at: datetime) -> list[tuple[str, str]]:
    """List the months that a budget may begin with."""
    first: date = month(at)
    found = [next_month(first, by=number) for number in range(1, MONTHS_AHEAD + 1)]
    return [(f"{one:%Y-%m}", f"1 {one:%B %Y}") for one in found]


def choices(owners: Sequence[Owner]) -> list[tuple[str, str]]:
    """Name owners to choose from; with their organization where there are several."""
    organizations = {one.organization_id for one in owners}
    return [
        (
            f"{one.kind}:{one.pk}",
            f"{one.title} {one.label}"
            + (f", {one.instance.organization.name}" if len(organizations) > 1 else ""),
        )
        for one in owners
    ]


def key_of(budget: Budget) -> str:
    """Return how forms write whose a budget is."""
    return f"{budget.owner_kind}:{budget.owner_pk}"


def _by_day(page: BudgetPage, past: list[date], *, today: date) -> list[Series]:
    """Give what each day came to; of today what there is and what is still expected."""
    spent: list[Value | None] = [page.daily.get(day, ZERO) for day in past]
    so_far = page.daily.get(today, ZERO)
    outlook = page.now.outlook
    if outlook is None:
        return [Series("Spend", [*spent, so_far])]
    lines = {
        name: [_shown(getattr(one, name) + (so_far if day == today else ZERO)) for day, one in outlook.days]
        for name in BAND
    }
    return _with_band("Spend, then expected", spent, lines)


def _growing(page: BudgetPage, past: list[date]) -> list[Series]:
    """Add up the days, and what is expected on top of what is used."""
    used = page.now.standing.used if page.now.standing else ZERO
    spent: list[Value | None] = []
    total = ZERO
    for day in past:
        with exact():
            total += page.daily.get(day, ZERO)
        spent.append(_shown(min(total, used)))
    outlook = page.now.outlook
    if outlook is None:
        return [Series("Spent", [*spent, _shown(used)])]
    lines: dict[str, list[Decimal]] = {}
    for name in BAND:
        with exact():
            growing = accumulate((getattr(one, name) for _, one in outlook.days), initial=used)
            lines[name] = [_shown(value) for value in list(growing)[1:]]
    return _with_band("Spent, then expected", spent, lines)


def _with_band(label: str, spent: list[Value | None], lines: dict[str, list[Decimal]]) -> list[Series]:
    gap: list[Value | None] = [None] * len(spent)
    return [
        Series(label, [*spent, *lines["middle"]], estimated_from=len(spent)),
        Series("At least", [*gap, *lines["low"]], tone="neutral", estimated_from=0),
        Series("At most", [*gap, *lines["high"]], tone="warn", estimated_from=0),
    ]


def _references(page: BudgetPage) -> list[Reference]:
    return [Reference("Budget", page.now.standing.limit.limit_value)] if page.now.standing else []


def _shown(value: Decimal) -> Decimal:
    return round(value, 12)
