"""What somebody asks of the calculator, read from JSON."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, cast, get_args

from billing.calculator import MOST_CALLS, MOST_PLANS, Conditions, PlanToPrice
from billing.estimates import USUAL_CALLS
from billing.measures import is_measured
from billing.pricing import parse_charges
from billing.revenue_share import Basis
from billing.terms import ShareTerms
from marketplace.core.errors import FieldError, InvalidInput
from marketplace.core.fields import Fields

MOST_NUMBERS = 20
LONGEST_NAME = 60
_FIELDS = ("currency", "plans", "calls", "cost_per_call", "per_call", "share", "basis", "most_calls")


@dataclass(frozen=True)
class Asked:
    """What `calculator.compare` takes."""

    plans: tuple[PlanToPrice, ...]
    conditions: Conditions
    calls: tuple[int, ...]
    most_calls: int


def parse_comparison(data: object, *, default: ShareTerms) -> Asked:
    """Read a comparison; raises InvalidInput with every field that is wrong."""
    errors: list[FieldError] = []
    fields = Fields(data, path="", errors=errors)
    fields.allow_only(_FIELDS, of="a comparison")
    conditions = Conditions(
        currency=fields.currency("currency"),
        cost_per_call=fields.amount("cost_per_call", Decimal(0)),
        share=_share(fields, default),
        per_call=_per_call(fields),
    )
    plans = _plans(fields, errors)
    calls = _calls(fields)
    most_calls = _count(fields, "most_calls", max(calls, default=1))
    if errors:
        raise InvalidInput.several(errors)
    return Asked(plans, conditions, calls, most_calls)


def _share(fields: Fields, default: ShareTerms) -> ShareTerms:
    share = fields.amount("share", default.share)
    if share > 1:
        fields.refuse("share", "is a fraction from 0 to 1; 20 percent is 0.20", limit=1)
    return ShareTerms(share, cast(Basis, fields.choice("basis", get_args(Basis), default.basis)))


def _per_call(fields: Fields) -> dict[str, Decimal]:
    found = fields.optional_child("per_call")
    if found is None:
        return {}
    for name in found.names():
        if name in ("calls", "cost"):
            found.refuse(name, "is one call, or cost_per_call")
    return {name: found.amount(name) for name in found.names() if is_measured(name) or found.has(name)}


def _plans(fields: Fields, errors: list[FieldError]) -> tuple[PlanToPrice, ...]:
    found: list[PlanToPrice] = []
    for index, data in enumerate(fields.items("plans", at_most=MOST_PLANS)):
        plan = fields.child(f"plans[{index}]", data)
        plan.allow_only(("name", "charges"), of="a plan")
        name = _name(plan, index)
        if any(name == other.name for other in found):
            plan.refuse("name", f"{name!r} is the name of an earlier plan", code="duplicate")
        found.append(PlanToPrice(name, _charges(plan, errors)))
    return tuple(found)


def _name(plan: Fields, index: int) -> str:
    name = plan.raw("name") if plan.has("name") else f"Plan {index + 1}"
    if not isinstance(name, str) or not 0 < len(name) <= LONGEST_NAME or not name.isprintable():
        plan.refuse("name", f"must be 1 to {LONGEST_NAME} printable characters", limit=LONGEST_NAME)
        return f"Plan {index + 1}"
    return name


def _charges(plan: Fields, errors: list[FieldError]) -> tuple[Any, ...]:
    data = plan.raw("charges")
    if data == []:
        return ()  # a free plan
    try:
        return parse_charges(data, field=plan.path("charges"))
    except InvalidInput as error:
        errors.extend(error.errors)
        return ()


def _calls(fields: Fields) -> tuple[int, ...]:
    if not fields.has("calls"):
        return USUAL_CALLS
    items: Sequence[Any] = fields.items("calls", at_most=MOST_NUMBERS)
    named: Mapping[str, Any] = {f"calls[{index}]": item for index, item in enumerate(items)}
    numbers = fields.child("", named)
    return tuple(_count(numbers, name, 0, least=0) for name in named)


def _count(fields: Fields, name: str, default: int, *, least: int = 1) -> int:
    number = fields.amount(name, Decimal(default))
    if number % 1 or not least <= number <= MOST_CALLS:
        fields.refuse(name, f"must be a whole number from {least} to {MOST_CALLS:,}", limit=MOST_CALLS)
        return max(default, least)
    return int(number)
