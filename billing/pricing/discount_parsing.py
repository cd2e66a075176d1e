"""Discounts from JSON, as part of a request whose charges were read."""

from collections.abc import Sequence
from decimal import Decimal
from typing import cast

from billing.pricing.charges import Charge
from billing.pricing.discounts import SCOPES, Discount, Scope
from marketplace.core.fields import Fields

MOST_DISCOUNTS = 20
LONGEST_CODE = 40
_FIELDS = ("code", "scope", "percent", "amount", "charges")
_HUNDRED = Decimal(100)


def parse_discounts(request: Fields, charges: Sequence[Charge]) -> tuple[Discount, ...]:
    """Read `discounts` of a request; what is wrong is noted in its errors, by path."""
    if not request.has("discounts"):
        return ()
    found: list[Discount] = []
    for index, data in enumerate(request.items("discounts", at_most=MOST_DISCOUNTS)):
        fields = request.child(f"discounts[{index}]", data)
        one = _discount(fields, charges)
        if any(one.code == other.code for other in found):
            fields.refuse("code", f"{one.code!r} is used by an earlier discount", code="duplicate")
        found.append(one)
    return tuple(found)


def _discount(fields: Fields, charges: Sequence[Charge]) -> Discount:
    fields.allow_only(_FIELDS, of="a discount")
    scope = cast(Scope, fields.choice("scope", SCOPES, "invoice"))
    percent, amount = fields.optional_amount("percent"), fields.optional_amount("amount")
    if (percent is None) == (amount is None):
        fields.refuse("percent", "or amount is needed, and not both", code="required")
    if percent is not None and percent > _HUNDRED:
        fields.refuse("percent", "must not be above 100", limit=_HUNDRED)
    return Discount(_code(fields), scope, percent, amount, _charges(fields, scope, charges))


def _code(fields: Fields) -> str:
    code = fields.raw("code")
    if not isinstance(code, str) or not 0 < len(code) <= LONGEST_CODE or not code.isprintable():
        fields.refuse("code", f"must be 1 to {LONGEST_CODE} printable characters", limit=LONGEST_CODE)
        return ""
    if ":" in code:
        fields.refuse("code", "must not have a colon")
    return code


def _charges(fields: Fields, scope: Scope, charges: Sequence[Charge]) -> tuple[str, ...]:
    if not fields.has("charges"):
        return ()
    if scope != "line":
        fields.refuse("charges", "narrows discounts of the scope line only")
    known = {charge.code for charge in charges}
    named = fields.items("charges", at_most=len(known) or 1)
    for code in named:
        if not isinstance(code, str) or code not in known:
            fields.refuse("charges", f"{code!r} is not the code of a charge", code="unknown_choice")
    return tuple(dict.fromkeys(code for code in named if isinstance(code, str)))
