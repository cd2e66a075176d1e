from typing import Any

import pytest

from marketplace.core.errors import InvalidInput
from marketplace.gateway.routing import table
from marketplace.gateway.routing.table import Call, Row

MODELS = {"llm-8b": "small", "llm-70b": "medium"}
CALL = Call(intent="summary", tokens=511, environment="production")


def wrong(*rows: Any) -> dict[str, str]:
    with pytest.raises(InvalidInput) as caught:
        table.parse(list(rows), models=MODELS)
    return {one.field: one.message for one in caught.value.errors}


class TestRow:
    def test_excludes_its_upper_bound(self) -> None:
        row = Row("small", tokens_from=100, tokens_below=512)

        assert row.meets(CALL)
        assert not row.meets(Call("summary", 512, "production"))
        assert row.meets(Call("summary", 100, "production"))
        assert not row.meets(Call("summary", 99, "production"))

    @pytest.mark.parametrize(
        ("row", "is_met"),
        [
            (Row("small"), True),
            (Row("small", intents=("code", "summary")), True),
            (Row("small", intents=("code",)), False),
            (Row("small", tools=False), True),
            (Row("small", schema=True), False),
            (Row("small", images=True), False),
            (Row("small", environments=("sandbox",)), False),
            (Row("small", environments=("sandbox", "production")), True),
        ],
    )
    def test_is_met_when_every_condition_is(self, row: Row, is_met: bool) -> None:
        assert row.meets(CALL) is is_met

    def test_asks_for_a_budget_that_is_known(self) -> None:
        row = Row("small", budget_left_below=20)

        assert not row.meets(CALL)
        assert not row.meets(Call("summary", 5, "production", budget_left=20))
        assert row.meets(Call("summary", 5, "production", budget_left=19))

    def test_reads_as_a_sentence(self) -> None:
        row = Row("small", intents=("summary",), tokens_below=512, tools=False)

        assert str(row) == "summary without tools under 512 tokens -> small"
        assert str(Row("auto")) == "any call -> auto"


class TestParse:
    def test_comes_back_as_it_was_stored(self) -> None:
        rows = (Row("small", intents=("summary",), tokens_below=512, schema=False), Row("auto"))

        assert table.parse([row.as_json() for row in rows], models=MODELS) == rows
        assert table.stored([row.as_json() for row in rows]) == rows

    def test_names_every_field_that_is_wrong(self) -> None:
        found = wrong(
            {"use": "large", "tokens_below": -1},
            {
                "use": "small",
                "schema": True,
                "intents": ["Summary!"],
                "tools": "yes",
                "budget_left_below": 101,
            },
            {"use": "small", "images": True, "colour": 1, "environments": ["moon"]},
        )

        assert set(found) == {
            "rows[0].use",
            "rows[0].tokens_below",
            "rows[1].intents",
            "rows[1].tools",
            "rows[1].budget_left_below",
            "rows[2].colour",
            "rows[2].environments",
        }
        assert "auto, cheapest, strongest, small, medium, llm-8b, llm-70b" in found["rows[0].use"]

    def test_refuses_a_range_that_is_empty(self) -> None:
        assert set(wrong({"use": "small", "tokens_from": 9, "tokens_below": 9})) == {"rows[0].tokens_below"}

    def test_refuses_a_row_that_is_never_reached(self) -> None:
        found = wrong({"use": "small"}, {"use": "medium", "tools": True})

        assert found == {"rows[1]": "Row 1 takes every call, so this one is never reached."}

    @pytest.mark.parametrize("rows", [[], None, "x", [{"use": "small", "tools": True}] * 41])
    def test_refuses_what_is_no_table(self, rows: Any) -> None:
        with pytest.raises(InvalidInput):
            table.parse(rows, models=MODELS)
