"""Expectations of examples beyond words: a field of the JSON, and what a call costs."""

from typing import Any

import pytest

from marketplace.catalog.expectations import KINDS, why_missed, why_not
from marketplace.catalog.forms.check_forms import ExampleForm
from marketplace.catalog.scans import behavior
from marketplace.catalog.scans.subject import Subject, subject_from_json

ANSWER = '{"items": [{"name": "Lamp", "count": 1}], "done": true}'


class TestField:
    @pytest.mark.parametrize(
        ("path", "equals", "is_met"),
        [
            ("items[0].name", "Lamp", True),
            ("items[0].count", 1, True),
            ("items[0].count", True, False),
            ("done", True, True),
            ("items[1].name", "Lamp", False),
            ("items.name", "Lamp", False),
            ("done.deeper", 1, False),
        ],
    )
    def test_is_compared_as_json(self, path: str, equals: Any, is_met: bool) -> None:
        expected = {"kind": "json_field", "value": {"path": path, "equals": equals}}

        assert why_not(expected) == ""
        assert (why_missed(expected, ANSWER) == "") is is_met

    def test_is_not_met_by_prose(self) -> None:
        assert why_missed({"kind": "json_field", "value": {"path": "a", "equals": None}}, "Sure!")


class TestCost:
    def test_is_judged_by_what_the_calls_came_to(self) -> None:
        example = {"input": {}, "expect": [{"kind": "max_cost", "value": "0.002"}]}
        subject = Subject(
            texts={}, examples=(example,), outputs=((0, "a"), (0, "b")), costs=((0, "0.002"), (0, "0.0021"))
        )

        report = behavior.scan(subject_from_json(subject.as_json()))

        (found,) = report.findings
        assert (
            found.message
            == "1 of 2 answers do not keep what is expected: costs at most 0.002. It cost 0.0021."
        )


@pytest.mark.parametrize(
    ("expected", "words"),
    [
        ({"kind": "max_cost", "value": 0.002}, "amount as a text"),
        ({"kind": "max_cost", "value": "0"}, "above zero"),
        ({"kind": "json_field", "value": "a"}, "must have a path"),
        ({"kind": "json_field", "value": {"path": "a..b", "equals": 1}}, "path of names"),
        ({"kind": "json_field", "value": {"path": "a", "equals": "x" * 3_000}}, "at most 2,000"),
    ],
)
def test_says_what_cannot_be_judged(expected: dict[str, Any], words: str) -> None:
    assert words in why_not(expected)


class TestForm:
    def test_offers_every_kind(self) -> None:
        said = {
            "words": "tea", "no_words": "coffee", "pattern": "t.a", "max_length": "9", "json_schema": "{}",
            "json_field": "a", "json_field_equals": "1", "max_cost": "0.01",
        }  # fmt: skip
        form = ExampleForm(said, schema={})

        assert form.is_valid()
        # An empty schema says nothing, so it is left out.
        assert {one["kind"] for one in form.example["expect"]} == set(KINDS) - {"json"}
