"""What apps answer: reading, holding against a schema, laying out; and contracts of endpoints."""

from typing import Any

import pytest

from marketplace.catalog import endpoint_contracts, outputs
from marketplace.core.errors import InvalidInput

ROW = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "price": {"type": "number", "minimum": 0}},
    "required": ["price", "name"],
}


class TestCheck:
    @pytest.mark.parametrize(
        ("schema", "words"),
        [
            ({}, "is missing"),
            ({"type": "poem"}, "is no JSON Schema"),
            ({"type": "string", "pattern": "(a+)+$"}, "uses pattern"),
            ({"type": "array", "uniqueItems": True}, "uses uniqueItems"),
            ({"$ref": "https://evil.example/schema"}, "refers to"),
            ({"$ref": "#/nowhere"}, "which is not there"),
            ({"$ref": "#"}, "refers back to itself"),
            ({"$defs": {"a": {"items": {"$ref": "#/$defs/a"}}}, "$ref": "#/$defs/a"}, "refers back to itself"),
            ({"enum": ["x" * 9_000]}, "at most 8,000 characters"),
            # 2 to the 12th parts, once references are followed.
            (
                {"$ref": "#/$defs/n0", "$defs": {f"n{n}": {"anyOf": [{"$ref": f"#/$defs/n{n + 1}"}] * 2} for n in range(12)} | {"n12": {}}},
                "comes to more than 1,500 parts",
            ),
        ],
    )  # fmt: skip
    def test_refuses_what_answers_cannot_be_held_against(self, schema: dict[str, Any], words: str) -> None:
        with pytest.raises(InvalidInput) as refused:
            outputs.check("json", schema)

        assert words in refused.value.message

    def test_lets_a_property_be_called_like_a_word_of_the_language(self) -> None:
        outputs.check("json", {"type": "object", "properties": {"pattern": {"type": "string"}}})

    def test_wants_columns_of_a_table_and_no_schema_of_text(self) -> None:
        with pytest.raises(InvalidInput, match="property for each column"):
            outputs.check("table", {"type": "array"})
        with pytest.raises(InvalidInput, match="JSON or a table"):
            outputs.check("text", ROW)


class TestRead:
    @pytest.mark.parametrize(
        "answer", ['{"name": "Lamp", "price": 4}', '```json\n{"name": "Lamp", "price": 4}\n```']
    )
    def test_takes_json_bare_or_fenced(self, answer: str) -> None:
        output = outputs.read(answer, output_format="json", schema=ROW)

        assert (output.value, output.problems) == ({"name": "Lamp", "price": 4}, ())

    def test_says_where_an_answer_does_not_fit_and_keeps_it(self) -> None:
        output = outputs.read('{"price": -1}', output_format="json", schema=ROW)

        assert output.value == {"price": -1}
        assert output.problems == (
            "answer: 'name' is a required property",
            "answer.price: -1 is less than the minimum of 0",
        )

    @pytest.mark.parametrize("answer", ["Sure! Here it is.", '{"a": NaN}', "[" * 5_000, ""])
    def test_keeps_what_is_no_json_as_text(self, answer: str) -> None:
        output = outputs.read(answer, output_format="json", schema=ROW)

        assert (output.value, output.problems) == (answer, ("The answer is not JSON.",))

    def test_takes_rows_in_an_object(self) -> None:
        output = outputs.read('{"rows": [{"name": "Lamp", "price": 4}]}', output_format="table", schema=ROW)

        assert (output.value, output.fits) == ([{"name": "Lamp", "price": 4}], True)

    def test_bounds_what_it_compares(self) -> None:
        output = outputs.hold([[]] * 20_001, output_format="json", schema={"type": "array"})

        assert output.problems == ("answer: has more than 20,000 values, or is nested deeper than 60",)


class TestTable:
    def test_has_its_columns_in_the_order_of_what_is_required(self) -> None:
        table = outputs.table_of([{"name": "Lamp", "price": 4, "tags": ["a"]}, {"price": None}], ROW)

        assert table is not None
        assert table.columns == ("price", "name", "tags")
        assert table.rows == (("4", "Lamp", '["a"]'), ("", "", ""))

    def test_is_none_when_the_answer_has_no_rows(self) -> None:
        assert outputs.table_of("no", ROW) is None
        assert outputs.table_of([1], ROW) is None


class TestResponseFormat:
    def test_wraps_rows_for_providers_that_want_an_object(self) -> None:
        wanted = outputs.response_format("table", ROW)["json_schema"]["schema"]

        assert wanted["properties"]["rows"]["items"] == ROW

    def test_asks_for_any_object_where_no_property_is_named(self) -> None:
        assert outputs.response_format("json", {"type": "object"}) == {"type": "json_object"}
        assert outputs.response_format("json", {"type": "string"}) == {}
        assert outputs.response_format("text", {}) == {}


def contract(**changes: Any) -> dict[str, Any]:
    document: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {"title": "Rates", "version": "2"},
        "servers": [{"url": "https://api.example.com/v2"}],
        "paths": {"/run": {"post": {
            "requestBody": {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/Call"}}}},
            "responses": {"200": {"content": {"application/json": {"schema": {"type": "object", "required": ["output"]}}}}},
        }}},
        "components": {"schemas": {"Call": {"type": "object", "required": ["input"], "properties": {
            "input": {"type": "object", "required": ["query"], "properties": {"query": {"type": "string", "pattern": "^(a+)+$"}}}
        }}}},
    }  # fmt: skip
    return document | changes


def answering(schema: dict[str, Any]) -> dict[str, Any]:
    """The contract, with another schema of its answer."""
    document = contract()
    answers = document["paths"]["/run"]["post"]["responses"]["200"]["content"]
    answers["application/json"]["schema"] = schema
    return document


URL = "https://api.example.com/v2/run"


class TestContract:
    def test_fits_an_app_whose_call_it_takes(self) -> None:
        endpoint_contracts.check(contract(), endpoint_url=URL, example_input={"query": "aaa"})

    @pytest.mark.parametrize(
        ("changes", "url", "example", "field", "words"),
        [
            ({"openapi": "2.0"}, URL, {"query": "x"}, "endpoint_contract.openapi", "OpenAPI 3"),
            ({}, "https://api.example.com/other", {"query": "x"}, "endpoint_contract.paths", "has no /other"),
            (
                {},
                URL,
                {"town": "x"},
                "endpoint_contract.paths./run.post.requestBody",
                "'query' is a required",
            ),
            (
                {"paths": {"/run": {"get": {}}}},
                URL,
                {},
                "endpoint_contract.paths./run.post",
                "called by POST",
            ),
            ({"x": {"$ref": "http://evil.example/"}}, URL, {}, "endpoint_contract", "only refer into itself"),
            ({"x": "y" * 200_001}, URL, {}, "endpoint_contract", "at most 200,000 characters"),
            ({"components": {}}, URL, {}, "endpoint_contract.paths./run.post.requestBody", "not there"),
        ],
    )
    def test_names_what_the_app_does_not_keep_to(
        self, changes: dict[str, Any], url: str, example: dict[str, Any], field: str, words: str
    ) -> None:
        with pytest.raises(InvalidInput) as refused:
            endpoint_contracts.check(contract(**changes), endpoint_url=url, example_input=example)

        assert refused.value.field == field
        assert words in refused.value.message

    def test_is_not_endlessly_deep(self) -> None:
        deep: dict[str, Any] = {}
        for _ in range(50):
            deep = {"x": deep}

        with pytest.raises(InvalidInput, match="40 deep"):
            endpoint_contracts.check_bounds(contract(x=deep))

    @pytest.mark.parametrize("pattern", [r"^(\w+)-\1$", "^(?=x)", "(a{1,99}){1,99}"])
    def test_refuses_patterns_that_cannot_be_held(self, pattern: str) -> None:
        answer = {"type": "object", "properties": {"code": {"type": "string", "pattern": pattern}}}

        with pytest.raises(InvalidInput, match="pattern") as refused:
            endpoint_contracts.check(answering(answer), endpoint_url=URL, example_input={"query": "aaa"})

        assert refused.value.field == "endpoint_contract.paths./run.post.responses"

    def test_holds_calls_and_answers_against_patterns(self) -> None:
        with pytest.raises(InvalidInput, match="does not match"):
            endpoint_contracts.check(contract(), endpoint_url=URL, example_input={"query": "Oslo"})
        codes = answering(
            {"type": "object", "properties": {"code": {"type": "string", "pattern": "^[A-Z]{3}$"}}}
        )

        assert endpoint_contracts.misfits(codes, endpoint_url=URL, body={"code": "NOK"}) == ()
        [misfit] = endpoint_contracts.misfits(codes, endpoint_url=URL, body={"code": "NOKK"})
        assert misfit == "code: 'NOKK' does not match '^[A-Z]{3}$'"

    def test_says_what_takes_too_long_to_compare(self) -> None:
        texts = {"type": "array", "items": {"type": "string", "pattern": "^(a+)+$"}}
        body = ["a" * 60_000, "a" * 60_000]

        [misfit] = endpoint_contracts.misfits(answering(texts), endpoint_url=URL, body=body)

        assert misfit.startswith("[1]: takes too long to compare")

    def test_finds_answers_that_break_it(self) -> None:
        assert endpoint_contracts.misfits(contract(), endpoint_url=URL, body={"output": 1}) == ()
        assert endpoint_contracts.misfits(contract(), endpoint_url=URL, body={}) == (
            "'output' is a required property",
        )
        assert endpoint_contracts.misfits({}, endpoint_url=URL, body={}) == ()
