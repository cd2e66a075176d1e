import pytest

from marketplace.catalog import prompts
from marketplace.core.errors import InvalidInput

SCHEMA = {
    "type": "object",
    "properties": {
        "text": {"type": "string", "minLength": 1, "maxLength": 10},
        "tone": {"type": "string", "enum": ["polite", "short"]},
        "count": {"type": "number", "minimum": 1, "maximum": 5},
    },
    "required": ["text", "tone"],
    "additionalProperties": False,
}


def refusal(template: str) -> str:
    with pytest.raises(InvalidInput) as refused:
        prompts.check_template(template, SCHEMA)
    return refused.value.message


class TestCheckTemplate:
    @pytest.mark.parametrize(
        "template",
        [
            "Rewrite: {{ text }}",
            "{{ text|upper|truncate(5) }}{% if tone == 'short' %} briefly{% endif %}",
            "{% for i in range(3) %}{{ loop.index }}. {{ text }}{% endfor %}",
            "{% for word in ['a', 'b'] %}{{ word }}{% endfor %}",
            "{% raw %}{{ not an input }}{% endraw %}",
            "{# a remark #}{{ text[0] }}{{ text[1:3] }}",
        ],
    )
    def test_takes_values_conditions_and_short_loops(self, template: str) -> None:
        prompts.check_template(template, SCHEMA)

    @pytest.mark.parametrize(
        ("template", "reason"),
        [
            ("{{ text.__class__.__mro__ }}", "__class__"),
            ("{{ text['__class__'] }}", "has no parts"),
            ("{{ text|attr('__class__') }}", "no filter |attr"),
            ("{{ text.upper() }}", "only range"),
            ("{{ _private }}", "_private is refused"),
            ("{{ self }}", "self is refused"),
            ("{{ 'a' * 10**10 }}", "Mul is not part"),
            ("{{ text ~ text }}", "Concat is not part"),
            ("{% set text = text %}", "Assign is not part"),
            ("{% include 'settings.py' %}", "Include is not part"),
            ("{% import 'os' as os %}", "Import is not part"),
            ("{% macro m() %}{% endmacro %}", "Macro is not part"),
            ("{% for c in text %}{% endfor %}", "loop runs over"),
            ("{% for i in range(9) %}{% for j in range(9) %}{% endfor %}{% endfor %}", "inside a loop"),
            ("{% for i in range(9) recursive %}{% endfor %}", "recursive"),
            ("{{ text|indent(1000000000) }}", "no filter |indent"),
            ("{{ text is filter }}", "no test"),
        ],
    )
    def test_refuses_by_name(self, template: str, reason: str) -> None:
        assert reason in refusal(template)

    def test_names_every_unknown_input(self) -> None:
        assert refusal("{{ name }} {{ text }} {{ age }}").count("is not an input") == 2

    def test_says_the_line_of_a_mistake(self) -> None:
        assert "line 2" in refusal("fine\n{{ text")

    def test_refuses_what_is_too_long_or_too_deep(self) -> None:
        assert "20,000 characters" in refusal("x" * 20_001)
        assert "nested too deeply" in refusal("{{ " + "(" * 9_000 + "1" + ")" * 9_000 + " }}")


class TestRender:
    def test_fills_in_inputs_and_leaves_out_the_missing(self) -> None:
        assert prompts.render("{{ text }} to {{ audience }}!", {"text": "Hello"}) == "Hello to !"

    def test_does_not_read_templates_in_the_input(self) -> None:
        assert prompts.render("{{ text }}", {"text": "{{ 7 * 7 }}"}) == "{{ 7 * 7 }}"

    def test_stops_a_prompt_that_grows_too_long(self) -> None:
        with pytest.raises(InvalidInput) as refused:
            prompts.render("{% for i in range(100) %}{{ text }}{% endfor %}", {"text": "x" * 10_000})

        assert refused.value.code == "prompt_too_long"

    def test_counts_no_further_than_a_hundred(self) -> None:
        with pytest.raises(InvalidInput, match="further than 100"):
            prompts.render("{% for i in range(n) %}{% endfor %}", {"n": 101})

    def test_turns_a_failing_filter_into_words(self) -> None:
        with pytest.raises(InvalidInput, match="cannot be filled"):
            prompts.render("{{ text|round }}", {"text": "x"})

    def test_refuses_a_template_that_was_never_checked(self) -> None:
        with pytest.raises(InvalidInput, match="only range"):
            prompts.render("{{ text.format() }}", {"text": "x"})


class TestValidateInput:
    def test_takes_what_the_schema_wants(self) -> None:
        prompts.validate_input(SCHEMA, {"text": "Hello", "tone": "polite", "count": 2})

    @pytest.mark.parametrize(
        ("data", "field", "words"),
        [
            ({"tone": "polite"}, "text", "is missing"),
            ({"text": "a", "tone": "rude"}, "tone", "must be one of polite, short"),
            ({"text": "", "tone": "short"}, "text", "must not be empty"),
            ({"text": "x" * 11, "tone": "short"}, "text", "at most 10 characters"),
            ({"text": 5, "tone": "short"}, "text", "must be a text"),
            ({"text": "a", "tone": "short", "count": "2"}, "count", "must be a number"),
            ({"text": "a", "tone": "short", "count": True}, "count", "must be a number"),
            ({"text": "a", "tone": "short", "count": 9}, "count", "must be at most 5"),
            ({"text": "a", "tone": "short", "other": 1}, "other", "is not an input of this app"),
            ("text", "input", "must be an object"),
        ],
    )
    def test_names_the_field(self, data: object, field: str, words: str) -> None:
        with pytest.raises(InvalidInput) as refused:
            prompts.validate_input(SCHEMA, data)

        assert refused.value.field == field
        assert words in refused.value.message

    def test_names_several_fields_at_once(self) -> None:
        with pytest.raises(InvalidInput) as refused:
            prompts.validate_input(SCHEMA, {})

        assert {error.field for error in refused.value.errors} == {"text", "tone"}

    def test_bounds_a_text_that_its_schema_does_not(self) -> None:
        with pytest.raises(InvalidInput, match="20,000"):
            prompts.validate_input(
                {"type": "object", "properties": {"a": {"type": "string"}}}, {"a": "x" * 20_001}
            )
