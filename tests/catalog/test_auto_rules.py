from dataclasses import replace
from decimal import Decimal

import pytest

from marketplace.catalog import auto_rules
from marketplace.catalog.auto_rules import Submission, Terms

TERMS = Terms(max_risk=20, max_monthly_cost=Decimal(10), currency="USD")
PLAIN = Submission(risk_score=20, monthly_cost=Decimal(10), currency="USD", is_first=False, is_dearer=False)


class TestJudge:
    def test_passes_what_is_within_every_bound(self) -> None:
        assert auto_rules.passes(auto_rules.judge(TERMS, PLAIN))

    @pytest.mark.parametrize(
        ("change", "title"),
        [
            ({"risk_score": 21}, "Risk score"),
            ({"monthly_cost": Decimal("10.01")}, "Cost a month, upper end"),
            ({"monthly_cost": None}, "Cost a month, upper end"),
            ({"currency": "EUR"}, "Cost a month, upper end"),
            ({"is_first": True}, "An app's first version"),
            ({"is_dearer": True}, "Dearer for subscribers"),
            ({"warned": ("Code",)}, "Checks that warned"),
            ({"waivers": 1}, "Waived findings"),
        ],
    )
    def test_names_the_rule_that_does_not_hold(self, change: dict[str, object], title: str) -> None:
        rules = auto_rules.judge(TERMS, replace(PLAIN, **change))  # type: ignore[arg-type]

        assert [rule.title for rule in rules if not rule.passed] == [title]

    def test_may_allow_first_versions(self) -> None:
        rules = auto_rules.judge(replace(TERMS, allows_first=True), replace(PLAIN, is_first=True))

        assert auto_rules.passes(rules)


class TestSubmissionFromJson:
    def test_knows_nothing_of_what_kept_no_facts(self) -> None:
        assert auto_rules.submission_from_json(risk_score=0, facts={}, projection={}) is None
