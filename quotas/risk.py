"""How carefully something has to be looked at before it is decided, and why, in a few words. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from marketplace.catalog import review_risk

HIGH, MEDIUM, LOW = "high", "medium", "low"
RANKS = {HIGH: 0, MEDIUM: 1, LOW: 2}
TONES = {HIGH: "danger", MEDIUM: "warn", LOW: "ok"}
# Below so many percent of free capacity, the next grant may be the one that is too much.
SCARCE = Decimal(10)


@dataclass(frozen=True)
class Risk:
    """A grade, and the reasons for it, the gravest first."""

    grade: str
    reasons: tuple[str, ...]

    @property
    def rank(self) -> int:
        return RANKS[self.grade]

    @property
    def tone(self) -> str:
        return TONES[self.grade]


def of_increase(verdict: Mapping[str, Any]) -> Risk:
    """Grade a request by what was known when it was submitted: ``verdict`` as the request keeps it."""
    projection, room = verdict.get("projection") or {}, verdict.get("head_room") or {}
    left, free = _decimal(projection.get("budget_left_after")), _decimal(room.get("after_all_pending"))
    grave = [
        *(["over the budget"] if left is not None and left < 0 else []),
        *(["over capacity"] if free is not None and free < 0 else []),
    ]
    doubtful = [
        *(["cost not known"] if projection.get("expected") is None else []),
        *(["capacity not known"] if free is None else []),
        *(["capacity scarce"] if free is not None and 0 <= free < SCARCE else []),
    ]
    slight = [f"{REASONS[rule]}" for rule in _broken(verdict) if rule in REASONS]
    grade = HIGH if grave else MEDIUM if doubtful else LOW
    return Risk(grade, (*grave, *doubtful, *slight))


REASONS = {"increase": "large increase", "cost": "dear", "duration": "long or endless"}


def of_review(score: int, reasons: Sequence[str]) -> Risk:
    """Grade an app's review by the score that the catalogue gave it when it was opened."""
    return Risk(review_risk.grade_of(score), tuple(reasons))


def _broken(verdict: Mapping[str, Any]) -> Sequence[str]:
    return [rule["rule"] for rule in verdict.get("rules", ()) if not rule["passed"]]


def _decimal(text: str | None) -> Decimal | None:
    return None if text is None else Decimal(text)
