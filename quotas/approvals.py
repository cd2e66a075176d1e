"""What a policy says of an increase request: whether it is granted by itself, and else who has to look at it. Pure."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from marketplace.core.money import format_amount, to_text

COST_REVIEW = "cost_review"
CAPACITY_REVIEW = "capacity_review"
HUNDRED = Decimal(100)


@dataclass(frozen=True)
class Terms:
    """What a policy asks. Percentages are of the limit as it stands, amounts are a month's and in ``currency``."""

    currency: str
    auto_max_percent: Decimal
    auto_max_monthly_cost: Decimal
    auto_min_head_room_percent: Decimal
    auto_max_days: int
    cost_review_above: Decimal
    capacity_review_above_percent: Decimal
    needs_two_people: bool = True
    remind_after_hours: int = 24
    escalate_after_hours: int = 72
    expire_after_hours: int = 336


@dataclass(frozen=True)
class Facts:
    """What is known of a request. None is what could not be found out, and then counts as not within any bound."""

    current: Decimal
    requested: Decimal
    currency: str
    monthly_cost: Decimal | None
    head_room_percent: Decimal | None
    days: int | None
    """For how long it is asked; None is without an end."""

    @property
    def is_decrease(self) -> bool:
        return self.requested <= self.current

    @property
    def percent(self) -> Decimal | None:
        """How much more is asked for; None above a limit of zero.

        >>> Facts(Decimal(1000), Decimal(1250), "USD", None, None, None).percent
        Decimal('25.00')
        """
        if not self.current:
            return None
        more = (self.requested - self.current) * HUNDRED / self.current
        return more.quantize(Decimal("0.01"), rounding=ROUND_HALF_UP)

    def as_json(self) -> dict[str, Any]:
        return {name: _plain(value) for name, value in asdict(self).items()}


@dataclass(frozen=True)
class RuleResult:
    """What one rule said: what it allows, what was found, in words."""

    rule: str
    passed: bool
    allowed: str
    found: str

    @property
    def title(self) -> str:
        return TITLES[self.rule]

    @property
    def sentence(self) -> str:
        """Say it: "Increase: 25 %, at most 20 %"."""
        return f"{self.title}: {self.found}, {self.allowed}"

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


TITLES = {
    "increase": "Increase",
    "cost": "Projected cost a month",
    "head_room": "Capacity left after all pending",
    "duration": "Duration",
}


@dataclass(frozen=True)
class Verdict:
    """What becomes of a request: lowered at once, granted by itself, or reviewed on these levels, in this order."""

    is_decrease: bool
    is_automatic: bool
    levels: tuple[str, ...]
    rules: tuple[RuleResult, ...]

    @property
    def reasons_against(self) -> tuple[RuleResult, ...]:
        return tuple(rule for rule in self.rules if not rule.passed)


def judge(terms: Terms | None, facts: Facts) -> Verdict:
    """Judge a request by a policy. Without one, nothing is granted by itself and both sides look at it."""
    if facts.is_decrease:
        return Verdict(is_decrease=True, is_automatic=True, levels=(), rules=())
    if terms is None:
        return Verdict(is_decrease=False, is_automatic=False, levels=(COST_REVIEW, CAPACITY_REVIEW), rules=())
    rules = (
        _increase(terms, facts),
        _cost(terms, facts),
        _head_room(terms, facts),
        _duration(terms, facts),
    )
    is_automatic = all(rule.passed for rule in rules)
    levels = () if is_automatic else levels_of(terms, facts)
    return Verdict(is_decrease=False, is_automatic=is_automatic, levels=levels, rules=rules)


def levels_of(terms: Terms, facts: Facts) -> tuple[str, ...]:
    """Tell which reviews a request needs. What could not be found out is reviewed; nothing goes unreviewed."""
    costs = facts.monthly_cost is None or facts.currency != terms.currency
    is_dear = costs or (facts.monthly_cost or Decimal(0)) > terms.cost_review_above
    is_steep = facts.percent is None or facts.percent > terms.capacity_review_above_percent
    levels = [level for level, needed in ((COST_REVIEW, is_dear), (CAPACITY_REVIEW, is_steep)) if needed]
    return tuple(levels) or (CAPACITY_REVIEW,)


def facts_from_json(kept: Mapping[str, Any]) -> Facts:
    """Read back what ``Facts.as_json`` wrote."""
    amounts = ("current", "requested", "monthly_cost", "head_room_percent")
    read = {name: None if kept[name] is None else Decimal(kept[name]) for name in amounts}
    return Facts(currency=kept["currency"], days=kept["days"], **read)  # type: ignore[arg-type]


def rules_from_json(kept: list[dict[str, Any]]) -> tuple[RuleResult, ...]:
    """Read back what ``RuleResult.as_json`` wrote."""
    return tuple(RuleResult(**rule) for rule in kept)


def _increase(terms: Terms, facts: Facts) -> RuleResult:
    percent = facts.percent
    passed = percent is not None and percent <= terms.auto_max_percent
    found = "from zero" if percent is None else _percent(percent)
    return RuleResult("increase", passed, f"at most {_percent(terms.auto_max_percent)}", found)


def _cost(terms: Terms, facts: Facts) -> RuleResult:
    cost = facts.monthly_cost if facts.currency == terms.currency else None
    passed = cost is not None and cost <= terms.auto_max_monthly_cost
    found = "could not be projected" if cost is None else _money(cost, terms.currency)
    return RuleResult("cost", passed, f"at most {_money(terms.auto_max_monthly_cost, terms.currency)}", found)


def _head_room(terms: Terms, facts: Facts) -> RuleResult:
    left = facts.head_room_percent
    passed = left is not None and left >= terms.auto_min_head_room_percent
    found = "could not be found out" if left is None else _percent(left)
    return RuleResult("head_room", passed, f"at least {_percent(terms.auto_min_head_room_percent)}", found)


def _duration(terms: Terms, facts: Facts) -> RuleResult:
    passed = facts.days is not None and facts.days <= terms.auto_max_days
    found = "without an end" if facts.days is None else _days(facts.days)
    return RuleResult("duration", passed, f"at most {_days(terms.auto_max_days)}", found)


def _percent(value: Decimal) -> str:
    return f"{to_text(value.quantize(Decimal('0.1'), rounding=ROUND_HALF_UP))} %"


def _money(amount: Decimal, currency: str) -> str:
    return format_amount(amount.quantize(Decimal("0.01"), rounding=ROUND_HALF_UP), currency)


def _days(count: int) -> str:
    return "1 day" if count == 1 else f"{count} days"


def _plain(value: Any) -> Any:
    return to_text(value) if isinstance(value, Decimal) else value
