from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from marketplace.core.errors import InvalidInput
from metering import ingest
from metering.comparing import Change, compare_groups, compare_rows, compare_totals, earlier, sum_rows
from metering.measures import Measures, total
from metering.queries import usage
from metering.scopes import EVERYTHING
from metering.usage_reports import Part, UsageReport, UsageRow
from tests.factories import NOW
from tests.metering.usage_world import TODAY, World, used

APPS = [Part("app", name, name) for name in ("a", "b", "c")]


def at(month: int, day: int, hour: int = 0, *, year: int = 2026) -> datetime:
    return datetime(year, month, day, hour, tzinfo=UTC)


def report(from_at: datetime, to_at: datetime, rows: list[UsageRow], **fields: Any) -> UsageReport:
    values: dict[str, Any] = {
        "granularity": "day",
        "group_by": ("app",),
        "currency": "USD",
        "newest_hour": None,
    }
    return UsageReport(from_at=from_at, to_at=to_at, rows=tuple(rows), **values | fields)


@st.composite
def rows_of(draw: st.DrawFn, from_at: datetime, days: int) -> list[UsageRow]:
    """Some apps on some days, each at most once a day."""
    keys = draw(
        st.lists(st.tuples(st.integers(0, days - 1), st.sampled_from(APPS)), unique=True, max_size=12)
    )
    return [
        UsageRow(
            from_at.replace(day=from_at.day + day),
            (part,),
            Measures(events=1, requests=draw(st.integers(1, 9)), cost=Decimal(draw(st.integers(0, 99))) / 7),
        )
        for day, part in keys
    ]


class TestEarlier:
    @pytest.mark.parametrize(
        ("now", "before"),
        [
            # whole months: as many months, whatever their length
            ((at(3, 1), at(4, 1)), (at(2, 1), at(3, 1))),
            ((at(1, 1), at(4, 1)), (at(10, 1, year=2025), at(1, 1))),
            # else as long
            ((at(11, 14), at(11, 16)), (at(11, 12), at(11, 14))),
            ((at(11, 14, 6), at(11, 14, 9)), (at(11, 14, 3), at(11, 14, 6))),
            # into a day under way: the same days and hours, fifteen days earlier
            ((at(11, 1), at(11, 15, 13)), (at(10, 17), at(10, 31, 13))),
        ],
    )
    def test_is_the_period_before(
        self, now: tuple[datetime, datetime], before: tuple[datetime, datetime]
    ) -> None:
        assert earlier(*now, compare="previous") == before

    def test_is_the_same_dates_a_year_before(self) -> None:
        assert earlier(at(11, 1), at(11, 16), compare="year_before") == (
            at(11, 1, year=2025),
            at(11, 16, year=2025),
        )
        assert earlier(at(2, 29, year=2024), at(3, 1, year=2024), compare="year_before") == (
            at(2, 28, year=2023),
            at(3, 1, year=2023),
        )

    @pytest.mark.parametrize("compare", ["last_week", "year_before"])
    def test_refuses_what_it_does_not_know_and_years_that_overlap(self, compare: str) -> None:
        with pytest.raises(InvalidInput) as error:
            earlier(at(1, 1, year=2024), at(2, 1, year=2026), compare=compare)

        assert error.value.field == "compare"


class TestChange:
    def test_is_exact_and_a_share_of_what_was(self) -> None:
        change = Change(Decimal("1.50"), Decimal("1.20"))

        assert change.difference == Decimal("0.30")
        assert change.share == Decimal("0.25")

    def test_has_no_share_of_nothing(self) -> None:
        assert Change(5, 0).share is None
        assert Change(5, 0).difference == 5
        assert Change(None, 3).difference is None


class TestCompareRows:
    def test_puts_the_first_day_beside_the_first_day(self) -> None:
        before = report(at(2, 1), at(3, 1), [UsageRow(at(2, 2), (APPS[0],), Measures(events=1, requests=3))])
        now = report(
            at(3, 1),
            at(4, 1),
            [UsageRow(at(3, 2), (APPS[0],), Measures(events=1, requests=5))],
            before=before,
        )

        (row,) = compare_rows(now)

        assert (row.starts_at, row.requests.now, row.requests.before) == (at(3, 2), 5, 3)

    def test_puts_the_last_days_of_a_longer_month_beside_the_last_of_a_shorter(self) -> None:
        before = report(at(1, 1), at(2, 1), [UsageRow(at(1, 31), (APPS[0],), Measures(events=1, requests=3))])
        now = report(at(2, 1), at(3, 1), [], before=before)

        (row,) = compare_rows(now)

        assert (row.starts_at, row.standing, row.before.requests) == (at(2, 28), "gone", 3)

    @given(st.data())
    def test_keeps_both_totals(self, data: st.DataObject) -> None:
        before = report(at(10, 1), at(10, 4), data.draw(rows_of(at(10, 1), 3)))
        now = report(at(11, 1), at(11, 3), data.draw(rows_of(at(11, 1), 2)), before=before)

        for pairs in (compare_rows(now), compare_groups(now)):
            assert total(row.now for row in pairs) == now.totals
            assert total(row.before for row in pairs) == before.totals
        if pairs:
            together = sum_rows(pairs, label="all")
            assert together.cost == compare_totals(now).cost


class TestUsage:
    def test_compares_groups_and_says_what_is_new_and_gone(self, world: World) -> None:
        ingest.record(
            [used(world.people_subscription, "old", at=at(11, 12, 5), input_tokens=500_000)], at=NOW
        )

        shown = usage(
            from_at=at(11, 14), to_at=at(11, 16), group_by=["team"], visible=EVERYTHING, compare="previous"
        )

        found = {
            row.parts[0].id: (row.cost.now, row.cost.before, row.standing) for row in compare_groups(shown)
        }
        # of the two days before there are 500,000 tokens at 0.20 a million
        assert found == {
            "strangers": (Decimal("0.80"), 0, "new"),
            "team-people": (Decimal("0.40"), Decimal("0.10"), ""),
            "team-ops": (Decimal("0.37"), 0, "new"),
        }
        assert compare_totals(shown).cost.before == Decimal("0.10")

    def test_keeps_days_of_a_week_that_both_periods_touch_apart(self, world: World) -> None:
        # Saturday the 14th and Sunday the 15th are of one week.
        shown = usage(
            from_at=TODAY, to_at=at(11, 16), granularity="week", visible=EVERYTHING, compare="previous"
        )

        assert shown.totals.cost == Decimal("1.37")
        assert compare_totals(shown).cost.before == Decimal("0.20")
        (row,) = compare_rows(shown)
        assert row.cost.difference == Decimal("1.17")
