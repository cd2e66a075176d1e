from dataclasses import replace
from decimal import Decimal

import pytest

from marketplace.catalog import review_risk
from marketplace.catalog.plan_terms import PlanTerms
from marketplace.catalog.price_steps import is_dearer
from marketplace.catalog.review_risk import Risk, RiskFacts

PLAIN = RiskFacts(margin=Decimal(5), margin_at_high_cost=Decimal(4), approved_before=3)


class TestAssess:
    def test_finds_nothing_in_what_is_plain(self) -> None:
        assert review_risk.assess(PLAIN) == Risk(0, ())

    def test_adds_up_and_puts_the_gravest_first(self) -> None:
        facts = replace(PLAIN, margin=Decimal(-1), changed=frozenset({"Prompt"}), waivers=1)

        risk = review_risk.assess(facts)

        # 60 + 20 + 10.
        assert risk.score == 90
        assert risk.reasons == ((60, "negative margin"), (20, "1 finding waived"), (10, "another prompt"))
        assert risk.grade == "high"

    @pytest.mark.parametrize(
        ("facts", "score", "grade"),
        [
            ({"margin": None}, 25, "medium"),
            ({"margin_at_high_cost": Decimal("-0.01")}, 25, "medium"),
            ({"warned_checks": ["Code", "Secrets"]}, 50, "high"),
            ({"is_dearer": True}, 20, "low"),
            ({"has_code": True, "is_dearer": True}, 35, "medium"),
            # First, for everybody, by makers who have nothing yet.
            ({"is_first": True, "is_public": True, "approved_before": 0}, 15, "low"),
            ({"is_http": True, "changed": frozenset({"Endpoint"})}, 20, "low"),
            ({"rejected_before": 7}, 20, "low"),
        ],
    )
    def test_grades(self, facts: dict[str, object], score: int, grade: str) -> None:
        risk = review_risk.assess(replace(PLAIN, **facts))  # type: ignore[arg-type]

        assert (risk.score, risk.grade) == (score, grade)

    def test_ends_at_a_hundred(self) -> None:
        facts = replace(PLAIN, margin=Decimal(-1), warned_checks=["a", "b", "c"], has_code=True)

        assert review_risk.assess(facts).score == 100


class TestBoundsOf:
    @pytest.mark.parametrize(
        ("grade", "bounds"), [("high", (50, 101)), ("medium", (25, 50)), ("low", (0, 25)), ("odd", None)]
    )
    def test_agrees_with_the_grades(self, grade: str, bounds: tuple[int, int] | None) -> None:
        assert review_risk.bounds_of(grade) == bounds
        if bounds:
            assert review_risk.grade_of(bounds[0]) == review_risk.grade_of(bounds[1] - 1) == grade


class TestIsDearer:
    @pytest.mark.parametrize(
        ("old", "new", "expected"),
        [
            ({"fee": "5"}, {"fee": "5"}, False),
            ({"fee": "5"}, {"fee": "4"}, False),
            ({"fee": "5"}, {"fee": "5.01"}, True),
            # Cheaper to begin with, dearer for who calls much.
            ({"fee": "5"}, {"fee": "0", "price_per_call": "0.01"}, True),
            (
                {"price_per_call": "0.01", "free_calls": 100},
                {"price_per_call": "0.01", "free_calls": 99},
                True,
            ),
            # Free calls of a price that is gone are no loss.
            ({"price_per_call": "0.01", "free_calls": 100}, {"price_per_call": "0"}, False),
            # Passing cost on without a markup costs more than not passing it on.
            ({"markup": None}, {"markup": "0"}, True),
            ({"markup": "0.3"}, {"markup": None}, False),
            ({"markup": "0.3"}, {"markup": "0.2"}, False),
        ],
    )
    def test_is_so_when_any_part_is(
        self, old: dict[str, object], new: dict[str, object], expected: bool
    ) -> None:
        assert is_dearer(terms(**old), terms(**new)) is expected


def terms(**fields: object) -> PlanTerms:
    values = {name: Decimal(value) if isinstance(value, str) else value for name, value in fields.items()}
    return PlanTerms(**values)  # type: ignore[arg-type]
