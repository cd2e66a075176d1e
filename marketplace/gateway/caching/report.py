"""What an app's page says about saved calls: totals, a chart by day, and what is known of similar questions."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

from marketplace.catalog.models import App
from marketplace.core.charts import Chart, Series, bar_chart
from marketplace.core.money import exact
from marketplace.core.templatetags.money import amount
from marketplace.gateway.caching import similar
from marketplace.gateway.caching.judging import MOST_WRONG, Measured
from marketplace.gateway.saving_models import CachedAnswer, CallSaving
from metering import saved_usage
from metering.saved_usage import Saved

DAYS = 30
TITLES = {"cache": "Same question", "similar": "Similar question", "batch": "Packed together"}


@dataclass(frozen=True)
class Means:
    """What one means saved in all: calls, tokens, and their cost."""

    title: str
    calls: int
    tokens: int
    cost: Decimal


@dataclass(frozen=True)
class SavingReport:
    """The last days of an app, and what is kept for it now."""

    currency: str
    means: Sequence[Means]
    total: Means
    chart: Chart
    answers_kept: int
    measured: Measured

    @property
    def wrong_percent(self) -> str:
        """The measured rate of wrong answers, with its interval."""
        rate, low, high = (
            f"{value:.2%}".replace("%", " %") for value in (self.measured.rate, *self.measured.interval)
        )
        return f"{rate}, and with 95 % certainty between {low} and {high}"

    @property
    def most_wrong_percent(self) -> str:
        return f"{MOST_WRONG:.0%}".replace("%", " %")


def report(app: App, saving: CallSaving | None, *, currency: str, at: datetime) -> SavingReport:
    """Sum the last days in UTC, today among them, in the currency that costs are counted in (three queries)."""
    last = at.astimezone(UTC).date()
    first = last - timedelta(days=DAYS - 1)
    starts_at = datetime(first.year, first.month, first.day, tzinfo=UTC)
    rows = saved_usage.by_day(app.pk, starts_at=starts_at, ends_at=at)
    rows = [row for row in rows if row.currency == currency]
    means = [
        _sum(title, [row for row in rows if row.by == by])
        for by, title in TITLES.items()
        if any(row.by == by for row in rows)
    ]
    return SavingReport(
        currency=currency,
        means=means,
        total=_sum("All", rows),
        chart=_chart(rows, first=first, currency=currency),
        answers_kept=CachedAnswer.objects.filter(app=app, expires_at__gt=at).count(),
        measured=similar.measured(saving) if saving else Measured(0, 0),
    )


def _sum(title: str, rows: Sequence[Saved]) -> Means:
    with exact():
        cost = sum((row.cost for row in rows), Decimal(0))
    return Means(title, sum(row.calls for row in rows), sum(row.tokens for row in rows), cost)


def _chart(rows: Sequence[Saved], *, first: date, currency: str) -> Chart:
    days = [first + timedelta(days=number) for number in range(DAYS)]
    found = {(row.day, row.by): row.cost for row in rows}
    series = [
        Series(title, [found.get((day, by), Decimal(0)) for day in days])
        for by, title in TITLES.items()
        if by == "cache" or any(row.by == by for row in rows)
    ]
    return bar_chart(
        [f"{day:%-d %b}" for day in days],
        series,
        format_value=lambda value: amount(value, currency),
        format_tick=lambda value: amount(value, currency),
    )
