"""What the pages of one thing show: thirty days beside the thirty before, from one question to usage."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import cached_property

from metering.comparing import Change, ComparedRow, compare_groups, compare_totals, sum_rows
from metering.forecasts import Forecast, to_month_end
from metering.latencies import Histogram
from metering.queries import MixedCurrencies, usage
from metering.scopes import UsageScope
from metering.usage_reports import UsageReport, bucket_start

DAYS = 30
TOP = 20


@dataclass(frozen=True)
class Ranked:
    """A group by its place among those that cost most; ``place_before`` is None for what is new."""

    place: int
    place_before: int | None
    row: ComparedRow
    share: Decimal | None

    @property
    def climbed(self) -> int:
        """By how many places it went up; negative when it went down, 0 for what is new."""
        return 0 if self.place_before is None else self.place_before - self.place


@dataclass(frozen=True)
class Board:
    """Thirty days by day and one dimension, with today as far as it came, beside as long a time before.

    ``currencies`` are those there are to choose from, when there are several.
    """

    report: UsageReport
    at: datetime
    currencies: tuple[str, ...]

    @cached_property
    def total(self) -> ComparedRow:
        return compare_totals(self.report)

    @cached_property
    def ranked(self) -> Sequence[Ranked]:
        """All groups that cost or were used, the dearest first; those that are gone come last."""
        rows = compare_groups(self.report)
        was = sorted((row for row in rows if row.before.events), key=lambda row: -row.before.cost)
        places = {row.parts: place for place, row in enumerate(was, start=1)}
        whole = self.total.now.cost
        return [
            Ranked(place, places.get(row.parts), row, row.now.cost / whole if whole else None)
            for place, row in enumerate(rows, start=1)
        ]

    @property
    def top(self) -> Sequence[Ranked]:
        return self.ranked[:TOP]

    @property
    def others(self) -> ComparedRow | None:
        """What is beyond the top, as one row; None when there is nothing."""
        rest = [one.row for one in self.ranked[TOP:]]
        return sum_rows(rest, label=f"{len(rest):,} more") if rest else None

    @property
    def latency(self) -> Histogram:
        return self.report.latency

    def latency_change(self, percent: int) -> Change:
        """Compare a percentile with that of the days before."""
        before = self.report.before
        return Change(
            self.latency.percentile(percent), before.latency.percentile(percent) if before else None
        )

    @cached_property
    def forecast(self) -> Forecast | None:
        """What the month will have cost at its end; None on a 31st, from which thirty days do not reach its first."""
        today = self.at.astimezone(UTC).date()
        daily = {row.starts_at.date(): row.measures.cost for row in self.report.over_time}
        return to_month_end(daily, today=today) if today.replace(day=1) in daily else None


def ask(
    *,
    by: str,
    filters: Mapping[str, Sequence[str]],
    visible: UsageScope,
    at: datetime,
    currency: str = "",
    usual_currency: str,
) -> Board:
    """Ask for thirty days of something (five queries). Where it cost several currencies: of the one asked for, else the usual one."""
    today = bucket_start(at, "day")

    def report(of_currency: str) -> UsageReport:
        return usage(
            from_at=today - timedelta(days=DAYS - 1),
            to_at=bucket_start(at, "hour") + timedelta(hours=1),
            granularity="day",
            group_by=[by],
            filters={**filters, **({"currency": of_currency} if of_currency else {})},
            visible=visible,
            compare="previous",
            latencies="stretches",
        )

    try:
        # Of one that was chosen the way back is shown; what else there is, nobody asked the database.
        return Board(report(currency), at, tuple(sorted({currency, usual_currency})) if currency else ())
    except MixedCurrencies as error:
        chosen = usual_currency if usual_currency in error.currencies else error.currencies[0]
        return Board(report(chosen), at, error.currencies)
