"""Discounts on priced lines: percent or an amount, off single lines, off a plan, off the invoice, in this order."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from billing.pricing.lines import ZERO, Line, Slice
from marketplace.core.money import exact, from_minor, round_minor, to_text

Scope = Literal["line", "plan", "invoice"]
SCOPES: tuple[Scope, ...] = ("line", "plan", "invoice")
PREFIX = "coupon:"


@dataclass(frozen=True)
class Discount:
    """`percent` (10 is ten percent) or `amount` in major units is set. `charges` narrows a line's discount; none is all."""

    code: str
    scope: Scope
    percent: Decimal | None = None
    amount: Decimal | None = None
    charges: tuple[str, ...] = ()

    @property
    def line_code(self) -> str:
        return PREFIX + self.code

    def off(self, base_minor: int, currency: str) -> int:
        """Give what comes off a base, rounded once; never more than there is, and nothing of a credit."""
        if base_minor <= 0:
            return 0
        if self.percent is None:
            return min(base_minor, round_minor(self.amount or ZERO, currency))
        with exact():
            part = from_minor(base_minor, currency) * self.percent / 100
        return min(base_minor, round_minor(part, currency))

    def in_words(self, what: str) -> str:
        size = f"{to_text(self.percent)} %" if self.percent is not None else to_text(self.amount or ZERO)
        return f"{size} off {what}"


def is_discount(line_code: str) -> bool:
    return line_code.startswith(PREFIX)


def in_order(discounts: Sequence[Discount]) -> list[Discount]:
    """Sort by scope; those of one scope stay in the order in which they were given."""
    return sorted(discounts, key=lambda one: SCOPES.index(one.scope))


def discount_lines(
    discounts: Sequence[Discount],
    *,
    lines: Sequence[Line],
    billed_minor: Mapping[str, int],
    given_minor: Mapping[str, int],
    currency: str,
) -> list[Line]:
    """Work out a line for each discount, on what the ones before it left; together never below zero.

    `billed_minor` is what earlier bills of the period took by charge, before discounts, and `given_minor` (positive) what
    each discount gave then, by its code: a line is the discount of the whole period less that.
    """
    left = dict(billed_minor)
    for line in lines:
        charge = line.code.split(":")[0]
        left[charge] = left.get(charge, 0) + line.amount_minor
    found: list[Line] = []
    taken_minor = 0
    for one in in_order(discounts):
        if one.scope == "line":
            parts = _off_lines(one, left, currency)
            for charge, part in parts:
                left[charge] -= part
        else:
            parts = [("the total", one.off(sum(left.values()) - taken_minor, currency))]
            taken_minor += parts[0][1]
        found.append(_line(one, parts, given_minor.get(one.code, 0), currency))
    return found


def _off_lines(discount: Discount, left: Mapping[str, int], currency: str) -> list[tuple[str, int]]:
    """Take percents off each line, and an amount off one line after the other until it is used up."""
    rest = sum(left.values())
    amount_minor = round_minor(discount.amount or ZERO, currency)
    parts = []
    for charge in discount.charges or tuple(left):
        part = min(discount.off(left.get(charge, 0), currency), max(0, rest))
        if discount.percent is None:
            part = min(part, amount_minor)
            amount_minor -= part
        rest -= part
        if part:
            parts.append((charge, part))
    return parts


def _line(discount: Discount, parts: Sequence[tuple[str, int]], given_minor: int, currency: str) -> Line:
    steps = [_step(discount.in_words(what), -part, currency) for what, part in parts]
    if given_minor:
        steps.append(_step("given before", given_minor, currency))
    return Line.of(discount.line_code, quantity=Decimal(1), slices=steps, currency=currency)


def _step(label: str, amount_minor: int, currency: str) -> Slice:
    return Slice(label, ZERO, None, ZERO, flat_amount=from_minor(amount_minor, currency))
