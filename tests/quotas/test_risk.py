from decimal import Decimal
from typing import Any

import pytest

from quotas import bulk, risk
from quotas.approvals import Terms

D = Decimal
TERMS = Terms(
    currency="USD",
    auto_max_percent=D(25),
    auto_max_monthly_cost=D(100),
    auto_min_head_room_percent=D(30),
    auto_max_days=90,
    cost_review_above=D(50),
    capacity_review_above_percent=D(100),
)


def verdict(**fields: Any) -> dict[str, Any]:
    projection = {"expected": "20", "budget_left_after": fields.get("left", "5")}
    if "expected" in fields:
        projection["expected"] = fields["expected"]
    rules = [{"rule": name, "passed": False} for name in fields.get("broken", ())]
    return {
        "projection": projection,
        "head_room": {"after_all_pending": fields.get("free", "50")},
        "rules": rules,
    }


class TestOfIncrease:
    @pytest.mark.parametrize(
        ("fields", "grade", "reasons"),
        [
            ({}, "low", ()),
            ({"broken": ["increase"]}, "low", ("large increase",)),
            ({"free": "9.99"}, "medium", ("capacity scarce",)),
            ({"free": None}, "medium", ("capacity not known",)),
            ({"expected": None}, "medium", ("cost not known",)),
            ({"left": None}, "low", ()),
            ({"left": "-0.01"}, "high", ("over the budget",)),
            ({"free": "-1", "broken": ["cost"]}, "high", ("over capacity", "dear")),
        ],
    )
    def test_grades_by_what_was_known(
        self, fields: dict[str, Any], grade: str, reasons: tuple[str, ...]
    ) -> None:
        assert risk.of_increase(verdict(**fields)) == risk.Risk(grade, reasons)

    def test_takes_a_request_without_a_verdict_as_unknown(self) -> None:
        assert risk.of_increase({}).grade == "medium"


class TestOfReview:
    def test_takes_score_and_reasons_of_the_catalogue(self) -> None:
        assert risk.of_review(60, ["negative margin"]) == risk.Risk("high", ("negative margin",))


class TestObstacles:
    def obstacles(self, **fields: Any) -> list[str]:
        values = {
            "terms": TERMS,
            "expected": D(200),
            "budget_left": D(1),
            "head_room": D(30),
            "days": 90,
        }
        return bulk.obstacles(**values | fields)

    def test_are_none_for_what_is_only_large(self) -> None:
        assert self.obstacles() == []
        assert self.obstacles(budget_left=None) == []

    @pytest.mark.parametrize(
        ("fields", "obstacle"),
        [
            ({"terms": None}, "no policy is in force"),
            ({"expected": None}, "its cost is not known"),
            ({"budget_left": D("-0.01")}, "it exceeds the budget"),
            ({"head_room": None}, "capacity is not known"),
            ({"head_room": D("29.99")}, "too little capacity would stay free"),
            ({"days": None}, "it has no end"),
            ({"days": 91}, "it lasts longer than 90 days"),
        ],
    )
    def test_name_what_a_person_has_to_look_at(self, fields: dict[str, Any], obstacle: str) -> None:
        assert self.obstacles(**fields) == [obstacle]
