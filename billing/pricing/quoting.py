"""Charges and usage to priced lines."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

from billing.pricing.charges import Charge
from billing.pricing.discounts import Discount, discount_lines
from billing.pricing.included_credit import IncludedCredit
from billing.pricing.lines import ZERO, Line, Quote, Slice, increment, total_amount
from billing.pricing.proration import Proration
from billing.pricing.usage import Usage
from marketplace.core.errors import InvalidInput
from marketplace.core.money import from_minor, round_minor, to_text
from marketplace.core.periods import Period

_ONE = Decimal(1)


@dataclass(frozen=True)
class BilledBefore:
    """What earlier bills of a period took for a charge: the usage, and the amount after all adjustments.

    Of an included credit or a discount the amount is what it gave, less than nothing.
    """

    usage: Usage
    amount: Decimal

    @property
    def is_nothing(self) -> bool:
        return not self.usage.total and not self.amount


def quote(
    charges: Sequence[Charge],
    *,
    currency: str,
    usage: Mapping[str, Usage],
    billed_before: Mapping[str, BilledBefore] | None = None,
    period: Period | None = None,
    active: Period | None = None,
    discounts: Sequence[Discount] = (),
) -> Quote:
    """Price usage: a line per charge, with `…:minimum` and `…:maximum` lines where they change something.

    Then come an included credit, which pays for what is metered, and a `coupon:…` line for each discount.

    `usage` is what is new on this bill, by charge code; a metered charge without any is refused. With
    `billed_before` a line is the price of everything less the price of what was billed, so that several bills
    of a period cost as much as one. `active` is the part of the period that is billed; fees that ask for it,
    and minimums, are prorated to its days.

    Raises InvalidInput naming the field, also when usage goes beyond the last tier.
    """
    proration = Proration.between(active, period) if active and period else Proration(1, 1)
    billed = billed_before or {}
    lines: list[Line] = []
    for index, charge in enumerate(charges):
        if isinstance(charge.shape, IncludedCredit):
            continue
        now, before = _usage_of(charge, usage), billed.get(charge.code)
        _check_reach(charge, now.then(before.usage) if before else now, path=f"charges[{index}]")
        lines += _lines_of(charge.prorated(proration), now, before, currency)
    lines += _credits(charges, lines, billed, proration, currency)
    lines += _discounts(discounts, charges, lines, billed, currency)
    return Quote(currency, tuple(lines))


def _credits(
    charges: Sequence[Charge],
    lines: Sequence[Line],
    billed: Mapping[str, BilledBefore],
    proration: Proration,
    currency: str,
) -> list[Line]:
    """Let included credits pay for what is metered on this bill and was on earlier ones, one credit after the other."""
    metered = {charge.code for charge in charges if charge.shape.is_metered}
    to_pay = sum(line.amount_minor for line in lines if line.code.split(":")[0] in metered)
    to_pay += sum(round_minor(billed[code].amount, currency) for code in metered & billed.keys())
    found = []
    for charge in charges:
        shape = charge.shape.prorated(proration)
        if isinstance(shape, IncludedCredit):
            used_minor = -round_minor(billed[charge.code].amount, currency) if charge.code in billed else 0
            line = shape.line(charge.code, to_pay_minor=to_pay, used_minor=used_minor, currency=currency)
            to_pay -= used_minor - line.amount_minor
            found.append(line)
    return found


def _discounts(
    discounts: Sequence[Discount],
    charges: Sequence[Charge],
    lines: Sequence[Line],
    billed: Mapping[str, BilledBefore],
    currency: str,
) -> list[Line]:
    codes = {charge.code for charge in charges}
    minor = {code: round_minor(one.amount, currency) for code, one in billed.items()}
    return discount_lines(
        discounts,
        lines=lines,
        billed_minor={code: amount for code, amount in minor.items() if code in codes},
        given_minor={one.code: -minor.get(one.line_code, 0) for one in discounts},
        currency=currency,
    )


def _usage_of(charge: Charge, usage: Mapping[str, Usage]) -> Usage:
    if charge.shape.is_metered and charge.code not in usage:
        message = f"is missing: the charge {charge.code!r} needs a quantity"
        raise InvalidInput(f"usage.{charge.code}", message, code="required")
    return usage.get(charge.code, Usage())


def _check_reach(charge: Charge, usage: Usage, *, path: str) -> None:
    tier = charge.exceeded_tier(usage)
    if tier is not None:
        message = f"ends the last tier, and a quantity of {to_text(usage.total)} goes beyond it"
        raise InvalidInput(f"{path}.tiers[{tier}].up_to", message, code="beyond_last_tier")


def _lines_of(charge: Charge, now: Usage, before: BilledBefore | None, currency: str) -> list[Line]:
    if before is None or before.is_nothing:
        # Not the same as zero usage billed before: that would have taken the flat amount of the first tier.
        priced_before: list[Slice] = []
        billed_minor = 0
    else:
        priced_before = _slices_before(charge, before)
        billed_minor = round_minor(before.amount, currency)
    slices = increment(charge.slices(before.usage.then(now) if before else now), priced_before)
    quantity = now.total if charge.shape.is_metered else _ONE
    line = Line.of(charge.code, quantity=quantity, slices=slices, currency=currency)
    earlier_minor = round_minor(total_amount(priced_before), currency)
    bill = _Bill(line.amount_minor, billed_minor=billed_minor, priced_before_minor=earlier_minor)
    return [line, *_adjustments(charge, bill, currency)]


def _slices_before(charge: Charge, before: BilledBefore) -> list[Slice]:
    """Price what was billed before; of a fee that is the amount itself, as no quantity tells how much."""
    if charge.shape.is_metered:
        return charge.slices(before.usage)
    return [Slice("fee", ZERO, None, ZERO, flat_amount=before.amount)]


@dataclass(frozen=True)
class _Bill:
    """A charge's bill before minimum and maximum, in minor units."""

    line_minor: int
    billed_minor: int
    priced_before_minor: int

    def up_to(self, floor_minor: int) -> int:
        """Give what lifts the period to its minimum, or takes back what an earlier bill was lifted too far.

        An earlier bill may have been lifted to the minimum before this usage was known; then this usage is
        paid already, as far as that went.
        """
        together = self.billed_minor + self.line_minor
        if together < floor_minor:
            return floor_minor - together
        lifted_before = max(0, min(self.billed_minor, floor_minor) - self.priced_before_minor)
        wanted = max(floor_minor, self.priced_before_minor + self.line_minor)
        return -min(lifted_before, max(0, together - wanted))

    def down_to(self, ceiling_minor: int) -> int:
        """Mirror `up_to`: give the discount, as a negative amount, that keeps the period to its maximum."""
        mirrored = _Bill(-self.line_minor, -self.billed_minor, -self.priced_before_minor)
        return -mirrored.up_to(-ceiling_minor)


def _adjustments(charge: Charge, bill: _Bill, currency: str) -> list[Line]:
    """Work in minor units, so that the rounded lines together keep exactly to minimum and maximum."""
    lines = []
    raised = 0
    if charge.minimum is not None and (raised := bill.up_to(round_minor(charge.minimum, currency))):
        lines.append(_adjustment(charge, "minimum", charge.minimum, raised, currency))
    bill = replace(bill, line_minor=bill.line_minor + raised)
    if charge.maximum is not None and (lowered := bill.down_to(round_minor(charge.maximum, currency))):
        lines.append(_adjustment(charge, "maximum", charge.maximum, lowered, currency))
    return lines


def _adjustment(charge: Charge, bound: str, value: Decimal, amount_minor: int, currency: str) -> Line:
    label = f"{bound} of {to_text(value)}"
    step = Slice(label, ZERO, None, ZERO, flat_amount=from_minor(amount_minor, currency))
    return Line.of(f"{charge.code}:{bound}", quantity=_ONE, slices=[step], currency=currency)
