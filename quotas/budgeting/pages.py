"""Budgets drawn for pages: charts of the month with what is expected, and the ways to what a number is made of."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Context, Decimal
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
    outlook = page.now.outlook
    expected = list(outlook.days) if outlook else []
    so_far = page.daily.get(today, ZERO)
    days = [*past, *([day for day, _ in expected] or [today])]
    spent = [page.daily.get(day, ZERO) for day in past]
    middle = [one.middle for _, one in expected]
    by_day: list[Value | None] = [
        *spent,
        *([_shown(so_far + middle[0]), *map(_shown, middle[1:])] if middle else [so_far]),
    ]
    estimated = len(past) if outlook else None
    labels = [f"{day:%-d %b}" for day in days]
    look: dict[str, Any] = {
        "format_value": lambda value: amount(value, currency),
        "format_tick": tick_formatter("cost", currency),
    }
    return {
        "days": line_chart(labels, [Series("Spend", by_day, estimated_from=estimated)], **look),
        "month": line_chart(
            labels, _growing(page, past, estimated=estimated), references=_references(page), **look
        ),
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


def _growing(page: BudgetPage, past: list[date], *, estimated: int | None) -> list[Series]:
    """Add up the days; what is used and not in a roll-up of the month stands on its first day."""
    used = page.now.standing.used if page.now.standing else ZERO
    with exact():
        today_and_before: list[Value | None] = []
        total = ZERO
        for day in past:
            total += page.daily.get(day, ZERO)
            today_and_before.append(_shown(min(total, used)))
    outlook = page.now.outlook
    if outlook is None:
        return [Series("Spent", [*today_and_before, _shown(used)])]
    lines: dict[str, list[Value | None]] = {}
    for name in ("low", "middle", "high"):
        total = used
        values: list[Value | None] = []
        for _, one in outlook.days:
            with exact():
                total += getattr(one, name)
            values.append(_shown(total))
        lines[name] = values
    gap: list[Value | None] = [None] * len(past)
    return [
        Series("Spent, then expected", [*today_and_before, *lines["middle"]], estimated_from=estimated),
        Series("At least", [*gap, *lines["low"]], tone="neutral", estimated_from=0),
        Series("At most", [*gap, *lines["high"]], tone="warn", estimated_from=0),
    ]


def _references(page: BudgetPage) -> list[Reference]:
    return [Reference("Budget", page.now.standing.limit.limit_value)] if page.now.standing else []


def _shown(value: Decimal) -> Decimal:
    return round(value, 12)
