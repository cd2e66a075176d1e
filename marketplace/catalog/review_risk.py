"""How carefully a version has to be looked at: a score from 0 to 100, with the points it is made of. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

HIGH, MEDIUM, LOW = "high", "medium", "low"
# The least score of each grade.
GRADES = ((50, HIGH), (25, MEDIUM), (0, LOW))
MOST = 100


@dataclass(frozen=True)
class RiskFacts:
    """What the score goes by, as it was when the review was opened. Amounts in major units; None: not known."""

    is_first: bool = False
    is_public: bool = False
    is_http: bool = False
    changed: frozenset[str] = frozenset()
    is_dearer: bool = False
    has_code: bool = False
    warned_checks: Sequence[str] = ()
    waivers: int = 0
    margin: Decimal | None = None
    margin_at_high_cost: Decimal | None = None
    rejected_before: int = 0
    approved_before: int = 0


@dataclass(frozen=True)
class Risk:
    """A score and its parts, the gravest first: points, and words for them."""

    score: int
    reasons: tuple[tuple[int, str], ...]

    @property
    def grade(self) -> str:
        return grade_of(self.score)

    def as_json(self) -> list[list[Any]]:
        return [[points, text] for points, text in self.reasons]


def facts_as_json(facts: RiskFacts) -> dict[str, Any]:
    """Write what auto-approval goes by, beside the score."""
    return {
        "is_first": facts.is_first,
        "is_dearer": facts.is_dearer,
        "warned": list(facts.warned_checks),
        "waivers": facts.waivers,
    }


def assess(facts: RiskFacts) -> Risk:
    """Add up the points. What is not known counts, too: nobody has looked at it."""
    found = [
        *_of_money(facts),
        *_of_checks(facts),
        *_of_changes(facts),
        *_of_makers(facts),
    ]
    reasons = tuple(sorted(found, key=lambda reason: -reason[0]))
    return Risk(min(sum(points for points, _ in reasons), MOST), reasons)


def grade_of(score: int) -> str:
    """Return high, medium or low."""
    return next(grade for least, grade in GRADES if score >= least)


def bounds_of(grade: str) -> tuple[int, int] | None:
    """Return the least score of a grade and the one it ends before; None for what is no grade."""
    upper = MOST + 1
    for least, name in GRADES:
        if name == grade:
            return least, upper
        upper = least
    return None


def _of_money(facts: RiskFacts) -> list[tuple[int, str]]:
    if facts.margin is None:
        return [(25, "margin not known")]
    if facts.margin < 0:
        return [(60, "negative margin")]
    if facts.margin_at_high_cost is not None and facts.margin_at_high_cost < 0:
        return [(25, "thin margin")]
    return []


def _of_checks(facts: RiskFacts) -> list[tuple[int, str]]:
    found = [(25, f"{name} warned") for name in facts.warned_checks]
    if facts.waivers:
        found.append((20, f"{facts.waivers} {'finding' if facts.waivers == 1 else 'findings'} waived"))
    return found


def _of_changes(facts: RiskFacts) -> list[tuple[int, str]]:
    found = []
    if facts.is_dearer:
        found.append((20, "dearer for subscribers"))
    if facts.has_code:
        found.append((15, "code came with it"))
    if facts.is_http and (facts.is_first or "Endpoint" in facts.changed):
        found.append((20, "calls an endpoint that is new"))
    if facts.changed & {"Instructions", "Prompt"} and not facts.is_first:
        found.append((10, "another prompt"))
    if facts.is_public and (facts.is_first or "Listed for" in facts.changed):
        found.append((5, "new for everybody"))
    return found


def _of_makers(facts: RiskFacts) -> list[tuple[int, str]]:
    found = []
    if facts.rejected_before:
        found.append((min(10 * facts.rejected_before, 20), "its makers were rejected before"))
    if facts.is_first and not facts.approved_before:
        found.append((10, "first app of its makers"))
    return found
