import pytest

from marketplace.catalog import expectations
from marketplace.catalog.expectations import (
    SLOW,
    in_words,
    judge_apart,
    why_missed,
    why_missed_within,
    why_not,
)

FIELD = {"path": "items.0.name", "equals": "tea"}
# Each further letter doubles the ways in which this can fail to match.
ENDLESS = {"kind": "matches", "value": r"^(a|a)*$"}


def said(kind: str, value: object) -> dict[str, object]:
    return {"kind": kind, "value": value}


class TestWhyMissed:
    @pytest.mark.parametrize(
        ("kind", "value", "kept", "missed"),
        [
            ("contains", "Hello", "well, hello!", "bye"),
            ("excludes", "Sorry", "Here you are.", "I am sorry."),
            ("matches", r"^\d+$", "42", "x"),
            ("max_length", 3, "abc", "abcd"),
            ("max_cost", "0.002", "0.002", "0.0021"),
            ("json", {"type": "object", "required": ["a"]}, '{"a": 1}', "{}"),
            ("json", {"type": "object"}, "{}", "no JSON"),
            ("json", {}, "[1, 2]", "{'a': 1}"),
            ("json_field", FIELD, '{"items": [{"name": "tea"}]}', '{"items": [{"name": "coffee"}]}'),
            ("json_field", FIELD, '{"items": [{"name": "tea"}]}', '{"items": []}'),
            ("json_field", {"path": "[0].a[1]", "equals": 2}, '[{"a": [1, 2]}]', '[{"a": [1]}]'),
            ("json_field", {"path": "price", "equals": 0.1}, '{"price": 0.10}', '{"price": "0.1"}'),
            ("json_field", {"path": "ok", "equals": True}, '{"ok": true}', '{"ok": 1}'),
            ("json_field", {"path": "none", "equals": None}, '{"none": null}', "{}"),
        ],
    )
    def test_is_empty_for_what_is_kept_alone(self, kind: str, value: object, kept: str, missed: str) -> None:
        assert why_missed(said(kind, value), kept) == ""
        assert why_missed(said(kind, value), missed)

    def test_fetches_no_schema_from_elsewhere(self) -> None:
        assert why_missed(said("json", {"$ref": "https://a.example/schema"}), "{}") == (
            "The schema cannot be applied."
        )

    def test_says_by_how_much_an_answer_is_too_long(self) -> None:
        assert why_missed(said("max_length", 3), "abcde") == "It has 5 characters, 2 too many."

    def test_ends_what_would_run_for_ever(self) -> None:
        assert why_missed_within(ENDLESS, "a" * 40 + "!", seconds=0.05) == SLOW
        # The alarm is off again.
        assert why_missed_within(said("contains", "a"), "a", seconds=0.05) == ""


class TestJudgeApart:
    def test_answers_case_by_case(self, monkeypatch: pytest.MonkeyPatch) -> None:
        cases: list[expectations.Case] = [
            (said("contains", "a"), "a"),
            (said("excludes", "a"), "a"),
            (ENDLESS, "a" * 40 + "!"),
        ]

        assert judge_apart(cases) == ["", "“a” is in it.", SLOW]

        monkeypatch.setattr(expectations, "CHECKOUT", expectations.CHECKOUT / "marketplace")
        assert "broke off" in judge_apart(cases[:1])[0]
        assert judge_apart([]) == []


class TestWhyNot:
    @pytest.mark.parametrize("kind", expectations.KINDS)
    def test_knows_a_good_value_of_each_kind(self, kind: str) -> None:
        good = {"json": {}, "json_field": FIELD, "max_length": 9, "max_cost": "0.002"}

        assert why_not(said(kind, good.get(kind, "x"))) == ""
        assert in_words(said(kind, good.get(kind, "x")))

    @pytest.mark.parametrize(
        "wrong",
        [
            None,
            {"kind": "contains"},
            said("sounds", "x"),
            {"kind": ["x"], "value": "x"},
            said("contains", ""),
            said("excludes", 3),
            said("contains", "x" * 2_001),
            said("matches", "("),
            said("max_length", 0),
            said("max_length", True),
            said("json", []),
            said("json", {"type": 7}),
            said("json_field", {"path": "a"}),
            said("json_field", {"path": "a..b", "equals": 1}),
            said("json_field", {"path": "", "equals": 1}),
            said("json_field", {"path": "a", "equals": {}}),
        ],
    )
    def test_refuses(self, wrong: object) -> None:
        assert why_not(wrong)

    def test_tells_valid_json_from_a_schema(self) -> None:
        assert in_words(said("json", {})) == "valid JSON"
        assert in_words(said("json_field", FIELD)) == 'JSON with items.0.name = "tea"'
