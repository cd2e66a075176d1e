from decimal import Decimal

import pytest

from quotas.capacity import ModelStanding
from quotas.deciding.heat import Cell, heat_map
from quotas.served import Busy
from quotas.serving import Committed, Rate

D = Decimal


def standing(*, requests: str | None = "100", tokens: str | None = None, used: str = "40") -> ModelStanding:
    hours = (Rate(D(used), D(500)), *[Rate()] * 23)
    return ModelStanding(
        name="llm-8b",
        title="LLM 8B",
        committed=Committed(None if requests is None else D(requests), None if tokens is None else D(tokens)),
        providers=(),
        granted=Rate(),
        used=Busy(Rate(), Rate(), hours),
        pending=Rate(D(35), D(100)),
    )


class TestHeatMap:
    def test_shows_the_fuller_unit(self) -> None:
        # 40 of 100 requests; 500 of 1,000 tokens.
        row = heat_map([standing(tokens="1000")], with_pending=False)[0]

        assert [cell.percent for cell in row.cells[:2]] == [50, 0]

    def test_adds_what_waits(self) -> None:
        row = heat_map([standing()], with_pending=True)[0]

        assert [cell.percent for cell in row.cells[:2]] == [75, 35]

    def test_rounds_up_so_that_full_never_stands_where_there_is_none_left(self) -> None:
        assert heat_map([standing(used="100.01")], with_pending=False)[0].cells[0].percent == 101

    def test_does_not_know_what_nobody_said(self) -> None:
        row = heat_map([standing(requests=None)], with_pending=False)[0]

        assert {cell.percent for cell in row.cells} == {None}
        assert row.cells[0].shade is None

    def test_takes_nothing_committed_as_full(self) -> None:
        assert heat_map([standing(requests="0")], with_pending=False)[0].cells[0].percent == 100


class TestCell:
    @pytest.mark.parametrize(
        ("percent", "shade"), [(0, 0), (1, 1), (25, 1), (26, 2), (75, 3), (90, 4), (100, 5), (101, 6)]
    )
    def test_is_darker_the_fuller_it_is(self, percent: int, shade: int) -> None:
        assert Cell(percent).shade == shade
