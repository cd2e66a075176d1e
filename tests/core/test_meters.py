from decimal import Decimal

from marketplace.core.meters import meter


class TestMeter:
    def test_shows_used_and_held_side_by_side(self) -> None:
        # 1,240 of 2,000 is 62 %, 60 more are 3 %.
        bar = meter(1240, 60, 2000)

        assert (bar.used_width, bar.held_x, bar.held_width) == ("62.00%", "62.00%", "3.00%")
        assert (bar.percent, bar.tone) == ("65", "accent")
        assert bar.marks == (("50%", True), ("80%", False), ("95%", False))

    def test_turns_at_the_marks(self) -> None:
        assert meter(79, 0, 100).tone == "accent"
        assert meter(80, 0, 100).tone == "warn"
        assert meter(90, 5, 100).tone == "danger"

    def test_stays_full_beyond_its_limit_and_says_by_how_much(self) -> None:
        bar = meter(2100, 10, 2000)

        # 2,110 of 2,000 is 105.5 %, rounded down.
        assert (bar.used_width, bar.held_width, bar.percent) == ("100.00%", "0.00%", "105")

    def test_never_shows_100_percent_with_room_left(self) -> None:
        assert meter(Decimal("999.99"), 0, 1000).percent == "99"

    def test_knows_no_share_without_a_limit(self) -> None:
        bar = meter(18_220, 0, None)

        assert not bar.is_limited
        assert bar.used == "18220"

    def test_is_full_when_nothing_is_allowed_and_something_was_used(self) -> None:
        assert meter(0, 0, 0).percent == "0"
        assert meter(1, 0, 0).percent == "100"

    def test_formats_its_quantities(self) -> None:
        bar = meter(1, 2, 3, format_value=lambda value: f"€{value}")

        assert (bar.used, bar.held, bar.limit) == ("€1", "€2", "€3")

    def test_draws_the_marks_it_is_given_and_a_band_of_what_is_expected(self) -> None:
        # 30 % and 150 % of 200; what is beyond the limit ends at the end of the bar.
        bar = meter(100, 0, 200, marks=[20, 70, 100], expected=(60, 120, 300))

        assert bar.marks == (("20%", True), ("70%", False))
        assert (bar.band_x, bar.expected_x, bar.band_width) == ("30.00%", "60.00%", "70.00%")
        assert meter(1, 0, 2).expected_x == ""
