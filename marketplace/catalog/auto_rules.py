"""Whether a version may be approved without a person: rule by rule, with what was found and what is allowed. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from marketplace.core.money import format_amount, format_money, round_minor


@dataclass(frozen=True)
class Terms:
    """What a policy allows. ``max_monthly_cost`` in major units of its currency."""

    max_risk: int
    max_monthly_cost: Decimal
    currency: str
    allows_first: bool = False
    sample_percent: int = 20


@dataclass(frozen=True)
class Submission:
    """What a version is judged by, as it was when its review was opened. ``monthly_cost`` at the upper end; None: not known."""

    risk_score: int
    monthly_cost: Decimal | None
    currency: str
    is_first: bool
    is_dearer: bool
    warned: tuple[str, ...] = ()
    waivers: int = 0


@dataclass(frozen=True)
class Rule:
    """One rule, whether it holds, and both sides of it in words."""

    title: str
    found: str
    allowed: str
    passed: bool


def judge(terms: Terms, one: Submission) -> tuple[Rule, ...]:
    """Ask every rule; a version is approved by itself when all of them hold. What is not known does not hold."""
    limit = format_amount(terms.max_monthly_cost, terms.currency)
    is_known = one.monthly_cost is not None and one.currency == terms.currency
    cost = (
        format_money(round_minor(one.monthly_cost, one.currency), one.currency)
        if one.monthly_cost is not None
        else "not known"
    )
    return (
        Rule("Risk score", str(one.risk_score), f"up to {terms.max_risk}", one.risk_score <= terms.max_risk),
        Rule("Cost a month, upper end", cost, f"up to {limit}", is_known and one.monthly_cost <= terms.max_monthly_cost),  # type: ignore[operator]
        Rule(
            "An app's first version",
            "yes" if one.is_first else "no",
            "yes" if terms.allows_first else "no",
            terms.allows_first or not one.is_first,
        ),
        Rule("Dearer for subscribers", "yes" if one.is_dearer else "no", "no", not one.is_dearer),
        Rule("Checks that warned", ", ".join(one.warned) or "none", "none", not one.warned),
        Rule("Waived findings", str(one.waivers), "0", one.waivers == 0),
    )  # fmt: skip


def passes(rules: tuple[Rule, ...]) -> bool:
    """Tell whether every rule holds."""
    return all(rule.passed for rule in rules)


def submission_from_json(
    *, risk_score: int, facts: Mapping[str, Any], projection: Mapping[str, Any]
) -> Submission | None:
    """Read what a review keeps; None when it was opened before such facts were kept."""
    if not facts:
        return None
    cost = (projection.get("monthly_cost") or {}).get("high")
    return Submission(
        risk_score=risk_score,
        monthly_cost=None if cost is None else Decimal(cost),
        currency=projection.get("currency", ""),
        is_first=facts["is_first"],
        is_dearer=facts["is_dearer"],
        warned=tuple(facts["warned"]),
        waivers=facts["waivers"],
    )
