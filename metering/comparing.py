"""A period beside an earlier one: when that was, and what became more, less, new or nothing."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Literal, get_args

from marketplace.core.errors import InvalidInput
from marketplace.core.money import exact
from metering.measures import Measures, total
from metering.usage_reports import Part, UsageReport, UsageRow, dearest_first

Compared = Literal["previous", "year_before"]
COMPARED: tuple[str, ...] = get_args(Compared)
NOTHING = Measures()
DAY = timedelta(days=1)


@dataclass(frozen=True)
class Change:
    """A value now and before. ``share`` is the difference in a share of the value before; None when that was zero."""

    now: Decimal | int | None
    before: Decimal | int | None

    @property
    def difference(self) -> Decimal | int | None:
        """Exact; None when one of the two is not known."""
        if self.now is None or self.before is None:
            return None
        with exact():
            return self.now - self.before

    @property
    def share(self) -> Decimal | None:
        if self.difference is None or not self.before:
            return None
        return Decimal(self.difference) / Decimal(self.before)


@dataclass(frozen=True)
class ComparedRow:
    """What one combination of parts used in a stretch of time, and in the same stretch of the earlier period."""

    starts_at: datetime
    parts: tuple[Part, ...]
    now: Measures
    before: Measures

    @property
    def is_new(self) -> bool:
        return bool(self.now.events) and not self.before.events

    @property
    def is_gone(self) -> bool:
        return bool(self.before.events) and not self.now.events

    @property
    def standing(self) -> str:
        """New, gone, or empty for what was there in both."""
        return "new" if self.is_new else "gone" if self.is_gone else ""

    @property
    def requests(self) -> Change:
        return Change(self.now.requests, self.before.requests)

    @property
    def tokens(self) -> Change:
        return Change(self.now.tokens, self.before.tokens)

    @property
    def cost(self) -> Change:
        return Change(self.now.cost, self.before.cost)

    @property
    def cost_per_1000(self) -> Change:
        return Change(self.now.cost_per_1000, self.before.cost_per_1000)


def earlier(from_at: datetime, to_at: datetime, *, compare: str) -> tuple[datetime, datetime]:
    """Return the period to compare with.

    ``previous``: as long, and ending where this one begins; of whole months as many months; from midnight into a day under
    way so many days earlier, to the same time of day, so that days stand beside days. ``year_before``: the same dates a
    year earlier. Raises InvalidInput.
    """
    if compare not in COMPARED:
        raise InvalidInput("compare", f"{compare!r} is not one of {', '.join(COMPARED)}")
    from_at, to_at = from_at.astimezone(UTC), to_at.astimezone(UTC)
    if compare == "previous":
        if months := _whole_months(from_at, to_at):
            return _months_before(from_at, months), from_at
        shift = _days_up(to_at - from_at) if from_at.hour == 0 else to_at - from_at
        return from_at - shift, to_at - shift
    begin, end = _year_before(from_at), _year_before(to_at)
    if end > from_at:
        raise InvalidInput("compare", "a year before works for at most a year", code="too_much")
    return begin, end


def compare_rows(report: UsageReport) -> tuple[ComparedRow, ...]:
    """Pair each row with that of the same parts in the same stretch before, in order of time, the dearest first.

    Stretches are counted from the start of their period, so that the first day stands beside the first day; what has no
    counterpart, as the 31st day of a month has none in February, stands with the last one. Both sides sum to their totals.
    """
    before = _require_before(report)
    starts = list(report.stretches())
    now_rows = {(row.starts_at, row.parts): row.measures for row in report.rows}
    before_rows = _moved(before, starts)
    pairs = [
        ComparedRow(
            *key, now_rows.get(key, NOTHING), total(before_rows[key]) if key in before_rows else NOTHING
        )
        for key in now_rows.keys() | before_rows.keys()
    ]
    return tuple(sorted(pairs, key=lambda row: (row.starts_at, *_dearest_first(row))))


def compare_groups(report: UsageReport) -> tuple[ComparedRow, ...]:
    """Pair the groups of both periods, summed over time, the dearest first; those that are gone come last."""
    now_rows = {row.parts: row.measures for row in report.folded}
    before_rows = {row.parts: row.measures for row in _require_before(report).folded}
    pairs = [
        ComparedRow(report.from_at, parts, now_rows.get(parts, NOTHING), before_rows.get(parts, NOTHING))
        for parts in now_rows.keys() | before_rows.keys()
    ]
    return tuple(sorted(pairs, key=_dearest_first))


def compare_totals(report: UsageReport) -> ComparedRow:
    """Pair the totals of both periods."""
    return ComparedRow(report.from_at, (), report.totals, _require_before(report).totals)


def sum_rows(rows: Iterable[ComparedRow], *, label: str) -> ComparedRow:
    """Add up at least one row into one that is called so."""
    found = list(rows)
    parts = (Part("", None, label),)
    return ComparedRow(
        found[0].starts_at, parts, total(row.now for row in found), total(row.before for row in found)
    )


def _require_before(report: UsageReport) -> UsageReport:
    if report.before is None:
        raise ValueError("this report was not asked to compare")
    return report.before


def _dearest_first(row: ComparedRow) -> tuple[object, ...]:
    cost, requests, labels = dearest_first(UsageRow(row.starts_at, row.parts, row.now))
    return cost, requests, -row.before.cost, labels


def _moved(
    before: UsageReport, starts: Sequence[datetime]
) -> dict[tuple[datetime, tuple[Part, ...]], list[Measures]]:
    """Put the rows of the earlier period into the stretches of this one."""
    places = {start: starts[min(place, len(starts) - 1)] for place, start in enumerate(before.stretches())}
    moved: dict[tuple[datetime, tuple[Part, ...]], list[Measures]] = {}
    for row in before.rows:
        moved.setdefault((places[row.starts_at], row.parts), []).append(row.measures)
    return moved


def _days_up(length: timedelta) -> timedelta:
    return DAY * -(-length // DAY)


def _whole_months(from_at: datetime, to_at: datetime) -> int:
    """Count the months between two firsts of months at midnight; 0 for all other times."""
    for at in (from_at, to_at):
        if (at.day, at.hour) != (1, 0):
            return 0
    return (to_at.year - from_at.year) * 12 + to_at.month - from_at.month


def _months_before(at: datetime, months: int) -> datetime:
    months_since_zero = at.year * 12 + at.month - 1 - months
    return at.replace(year=months_since_zero // 12, month=months_since_zero % 12 + 1)


def _year_before(at: datetime) -> datetime:
    is_leap_day = (at.month, at.day) == (2, 29)
    return at.replace(year=at.year - 1, day=28 if is_leap_day else at.day)
