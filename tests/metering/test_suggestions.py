import pytest

from metering.suggestions import Candidate, closest, edit_distance, plain, without_zeros

CENTERS = [
    Candidate(1, "CC-100 Product and design", ("CC-100", "Product and design")),
    Candidate(2, "CC-200 Workplace operations", ("CC-200", "Workplace operations")),
    Candidate(3, "CC-310 Customer service", ("CC-310", "Customer service")),
]


class TestClosest:
    @pytest.mark.parametrize(
        ("value", "wanted", "reason"),
        [
            ("cc200", 2, "It is CC-200 but for case, spaces or dashes"),
            ("cc 200", 2, "It is CC-200 but for case, spaces or dashes"),
            ("CC-0200", 2, "It is CC-200 but for leading zeros"),
            ("CD-310", 3, "It differs from CC-310 by a typing error"),
            ("200", 2, "It has the number of CC-200"),
            ("Kst. 310", 3, "It has the number of CC-310"),
            ("workplace-operations", 2, "It is Workplace operations but for case, spaces or dashes"),
            ("operations", 2, "One of it and Workplace operations contains the other"),
        ],
    )
    def test_says_which_and_why(self, value: str, wanted: int, reason: str) -> None:
        first = closest(value, CENTERS)[0]

        assert (first.id, first.reason) == (wanted, reason)

    def test_leaves_other_things_out_where_one_is_the_same(self) -> None:
        assert [one.id for one in closest("cc100", CENTERS)] == [1]

    @pytest.mark.parametrize("value", ["", "–", "marketing", "\ufffd", "x" * 80])
    def test_suggests_nothing_for_what_is_unlike_all(self, value: str) -> None:
        assert closest(value, CENTERS) == []

    def test_gives_three_at_most(self) -> None:
        many = [Candidate(number, f"CC-10{number}", (f"CC-10{number}",)) for number in range(9)]

        assert [one.id for one in closest("CC-10x", many)] == [0, 1, 2]


class TestEditDistance:
    # kitten -> sitten -> sittin -> sitting
    @pytest.mark.parametrize(
        ("one", "other", "distance"), [("kitten", "sitting", 3), ("", "abc", 3), ("same", "same", 0)]
    )
    def test_counts_changes(self, one: str, other: str, distance: int) -> None:
        assert edit_distance(one, other, most=5) == distance
        assert edit_distance(other, one, most=5) == distance

    def test_stops_counting(self) -> None:
        assert edit_distance("abc", "xyz", most=1) == 2


def test_writing_is_made_plain() -> None:
    assert plain("CC–10_0 ") == "cc100"
    assert without_zeros("CC-0010-200") == "cc0010200".replace("cc00", "cc")
