from datetime import UTC, datetime, timedelta, timezone
from fractions import Fraction

import pytest

from marketplace.core.errors import InvalidInput
from marketplace.core.periods import Period, month_of, parse_instant, parse_month, window_bounds


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[arg-type,misc]


class TestPeriod:
    def test_includes_its_start_and_excludes_its_end(self) -> None:
        october = parse_month("2026-10")

        assert october.contains(utc(2026, 10, 1))
        assert october.contains(utc(2026, 10, 31, 23, 59, 59))
        assert not october.contains(utc(2026, 11, 1))

    def test_knows_its_neighbors_over_the_new_year(self) -> None:
        december = parse_month("2026-12")

        assert december.next().name == "2027-01"
        assert december.previous().name == "2026-11"
        assert parse_month("2027-01").previous() == december

    def test_has_neighbors_of_its_length_when_it_is_no_month(self) -> None:
        week = Period(utc(2026, 10, 5), utc(2026, 10, 12))

        assert week.next() == Period(utc(2026, 10, 12), utc(2026, 10, 19))
        assert week.previous() == Period(utc(2026, 9, 28), utc(2026, 10, 5))
        assert week.name == "2026-10-05/2026-10-12"

    @pytest.mark.parametrize(
        ("month", "days"), [("2026-10", 31), ("2026-11", 30), ("2026-02", 28), ("2028-02", 29)]
    )
    def test_counts_days(self, month: str, days: int) -> None:
        assert parse_month(month).days == days

    @pytest.mark.parametrize(
        ("start", "end", "share"),
        [
            (utc(2026, 11, 10), utc(2026, 12, 1), Fraction(21, 30)),
            (utc(2026, 11, 1), utc(2026, 12, 1), Fraction(1)),
            # Beyond the period counts what is inside.
            (utc(2026, 10, 10), utc(2027, 12, 1), Fraction(1)),
            (utc(2026, 12, 1), utc(2026, 12, 3), Fraction(0)),
            # A change on the 16th at two in the afternoon: the day belongs to what comes after.
            (utc(2026, 11, 1), utc(2026, 11, 16, 14), Fraction(15, 30)),
            (utc(2026, 11, 16, 14), utc(2026, 12, 1), Fraction(15, 30)),
        ],
    )
    def test_gives_its_share_of_a_month_in_days(
        self, start: datetime, end: datetime, share: Fraction
    ) -> None:
        assert Period(start, end).share_of(parse_month("2026-11")) == share

    def test_is_kept_in_utc(self) -> None:
        east = timezone(timedelta(hours=2))

        period = Period(datetime(2026, 10, 1, 2, tzinfo=east), datetime(2026, 11, 1, 2, tzinfo=east))

        assert period == parse_month("2026-10")
        assert period.name == "2026-10"

    def test_refuses_to_end_before_it_starts(self) -> None:
        with pytest.raises(InvalidInput):
            Period(utc(2026, 10, 2), utc(2026, 10, 2))

    def test_refuses_times_without_zone(self) -> None:
        with pytest.raises(ValueError, match="time zone"):
            month_of(datetime(2026, 10, 1))  # noqa: DTZ001


class TestMonthOf:
    def test_goes_by_utc(self) -> None:
        # Half past one on 1 November in Berlin is still October in UTC.
        berlin = timezone(timedelta(hours=1))

        assert month_of(datetime(2026, 11, 1, 0, 30, tzinfo=berlin)).name == "2026-10"


class TestParseMonth:
    @pytest.mark.parametrize(
        "text", ["2026-13", "2026-1", "26-01", "2026-10-01", "", "0000-01", "٢٠٢٦-10", None]
    )
    def test_refuses_what_is_no_month(self, text: str) -> None:
        with pytest.raises(InvalidInput) as refused:
            parse_month(text)

        assert refused.value.field == "period"


class TestParseInstant:
    @pytest.mark.parametrize(
        ("text", "instant"),
        [
            ("2026-11-10", utc(2026, 11, 10)),
            ("2026-11-10T00:00:00Z", utc(2026, 11, 10)),
            ("2026-11-10T02:30:00+02:00", utc(2026, 11, 10, 0, 30)),
        ],
    )
    def test_reads_days_and_times(self, text: str, instant: datetime) -> None:
        assert parse_instant(text, field="start") == instant

    @pytest.mark.parametrize(
        "text", ["2026-11-31", "2026-11-10T00:00:00", "10.11.2026", "20261110", "2026-W46-2", "", 5, None]
    )
    def test_refuses_the_rest(self, text: object) -> None:
        with pytest.raises(InvalidInput) as refused:
            parse_instant(text, field="period.start")

        assert refused.value.field == "period.start"


class TestWindowBounds:
    def test_gives_the_minute(self) -> None:
        assert window_bounds(utc(2026, 10, 5, 12, 30, 59), "minute") == (
            utc(2026, 10, 5, 12, 30),
            utc(2026, 10, 5, 12, 31),
        )

    def test_gives_the_utc_day_and_month(self) -> None:
        at = utc(2026, 12, 31, 23, 59, 59)

        assert window_bounds(at, "day") == (utc(2026, 12, 31), utc(2027, 1, 1))
        assert window_bounds(at, "month") == (utc(2026, 12, 1), utc(2027, 1, 1))

    def test_gives_23_hours_when_clocks_go_forward(self) -> None:
        # Berlin, 29 March 2026: midnight is 23:00 UTC the day before, the next one 22:00 UTC.
        bounds = window_bounds(utc(2026, 3, 29, 12), "day", "Europe/Berlin")

        assert bounds == (utc(2026, 3, 28, 23), utc(2026, 3, 29, 22))

    def test_gives_25_hours_when_clocks_go_back(self) -> None:
        bounds = window_bounds(utc(2026, 10, 25, 12), "day", "Europe/Berlin")

        assert bounds == (utc(2026, 10, 24, 22), utc(2026, 10, 25, 23))

    def test_begins_with_the_first_instant_where_midnight_is_skipped(self) -> None:
        # Beirut, 29 March 2026: clocks go from 00:00 to 01:00, at 22:00 UTC the day before.
        bounds = window_bounds(utc(2026, 3, 29, 12), "day", "Asia/Beirut")

        assert bounds == (utc(2026, 3, 28, 22), utc(2026, 3, 29, 21))

    def test_gives_the_local_month(self) -> None:
        # New York, November 2026: begins at UTC-4, ends at UTC-5.
        bounds = window_bounds(utc(2026, 11, 1, 4), "month", "America/New_York")

        assert bounds == (utc(2026, 11, 1, 4), utc(2026, 12, 1, 5))

    @pytest.mark.parametrize("name", ["Mars/Olympus", "", "../etc/passwd", "/etc/passwd"])
    def test_refuses_unknown_zones(self, name: str) -> None:
        with pytest.raises(InvalidInput) as refused:
            window_bounds(utc(2026, 11, 1), "day", name)

        assert refused.value.field == "time_zone"

    def test_refuses_unknown_windows(self) -> None:
        with pytest.raises(InvalidInput):
            window_bounds(utc(2026, 11, 1), "week")  # type: ignore[arg-type]
