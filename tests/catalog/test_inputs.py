import json

import pytest

from marketplace.catalog.inputs import Input, inputs_asked, inputs_of, schema_of
from marketplace.core.errors import InvalidInput


class TestSchemaOf:
    def test_types_text_choice_and_number(self) -> None:
        schema = schema_of(
            [
                Input("text", "Text", max_length=100),
                Input("tone", "Tone", kind="choice", choices=("polite", "short")),
                Input("count", "Count", kind="number", is_required=False, minimum=1, maximum=5),
            ]
        )

        assert schema == {
            "type": "object",
            "properties": {
                "text": {"type": "string", "title": "Text", "maxLength": 100, "minLength": 1},
                "tone": {"type": "string", "title": "Tone", "enum": ["polite", "short"]},
                "count": {"type": "number", "title": "Count", "minimum": 1, "maximum": 5},
            },
            "required": ["text", "tone"],
            "additionalProperties": False,
            "x-order": ["text", "tone", "count"],
        }

    @pytest.mark.parametrize(
        ("inputs", "field"),
        [
            ([], "inputs"),
            ([Input("Text", "Text")], "inputs[0].name"),
            ([Input("_x", "Text")], "inputs[0].name"),
            ([Input("loop", "Text")], "inputs[0].name"),
            ([Input("a", "A"), Input("a", "B")], "inputs[1].name"),
            ([Input("a", "A", kind="choice", choices=("one",))], "inputs[0].choices"),
            ([Input("a", "A", max_length=0)], "inputs[0].max_length"),
            ([Input("a", "A", kind="number", minimum=5, maximum=4)], "inputs[0].maximum"),
            ([Input(f"a{n}", "A") for n in range(13)], "inputs"),
        ],
    )
    def test_names_what_no_form_could_show(self, inputs: list[Input], field: str) -> None:
        with pytest.raises(InvalidInput) as refused:
            schema_of(inputs)

        assert refused.value.field == field


class TestInputsOf:
    def test_keeps_the_order_that_jsonb_forgets(self) -> None:
        schema = schema_of([Input("zebra", "Z"), Input("ant", "A")])

        stored = json.loads(json.dumps(schema, sort_keys=True))

        assert [one.name for one in inputs_of(stored)] == ["zebra", "ant"]

    @pytest.mark.parametrize(
        ("schema", "field"),
        [
            ({}, "input_schema"),
            ({"type": "object", "properties": {"a": {"type": "array"}}}, "input_schema.properties.a.type"),
            (
                {"type": "object", "properties": {"a": {"type": "string", "pattern": "(a+)+$"}}},
                "input_schema.properties.a.pattern",
            ),
            (
                {"type": "object", "properties": {"a": {"type": "string", "maxLength": "9"}}},
                "input_schema.properties.a.maxLength",
            ),
            (
                {"type": "object", "properties": {"a": {"type": "string", "enum": [1]}}},
                "input_schema.properties.a.enum",
            ),
        ],
    )
    def test_refuses_what_is_not_text_choice_or_number(self, schema: dict[str, object], field: str) -> None:
        with pytest.raises(InvalidInput) as refused:
            inputs_of(schema)

        assert refused.value.field == field


class TestInputsAsked:
    def test_shows_nothing_of_a_schema_it_cannot_read(self) -> None:
        assert inputs_asked({"type": "array"}) == []
