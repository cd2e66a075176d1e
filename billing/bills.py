"""From a month of usage to the lines of a bill, as values: priced, rounded once, split with the creator.

What is priced as a whole is a *contract*: a subscription on a plan, or an owner's own use of an app, in one
service month. Its platform cost stands on one line, the `cost` line, else the `calls` line, else the first of what
is measured (a plan that asks nothing for usage gets one of zero): so the split on `net_of_cost` looks at everything the subscription paid and
everything it cost. The creator's part is then spread over the lines in proportion to their amounts, by largest
remainder.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import ROUND_DOWN, Decimal
from fractions import Fraction
from typing import Any

from billing import measures
from billing.pricing import BilledBefore, Charge, Discount, Line, Slice, Usage, parse_charges, quote
from billing.pricing.discounts import discount_lines, is_discount
from billing.pricing.included_credit import IncludedCredit
from billing.revenue_share import split
from billing.terms import ShareTerms
from marketplace.core.errors import Conflict
from marketplace.core.money import MAX_DECIMALS, allocate, apportion, exact, from_minor, to_text
from marketplace.core.periods import Period

ZERO = Decimal(0)
# An owner who uses their own app pays what it costs the platform.
PASS_THROUGH = parse_charges([{"code": "cost", "model": "cost_plus", "markup": "0"}])


class PlanNotBillable(Conflict):
    """A plan asks for a quantity that nobody measures, so that its price would silently be zero."""

    code = "plan_not_billable"

    def __init__(self, charge_code: str) -> None:
        self.charge_code = charge_code
        super().__init__(
            f"A plan has the charge {charge_code!r}, which nobody measures; measured are {', '.join(measures.WORDS)}, "
            "and feature.NAME."
        )


@dataclass(frozen=True)
class Metered:
    """What was used: requests, what they cost the platform, unrounded, and other measures by the code of their charge."""

    requests: int = 0
    cost: Decimal = ZERO
    others: Mapping[str, Decimal] = field(default_factory=dict)

    def __add__(self, other: "Metered") -> "Metered":
        with exact():
            others = {
                code: self.others.get(code, ZERO) + other.others.get(code, ZERO)
                for code in {**self.others, **other.others}
            }
            return Metered(self.requests + other.requests, self.cost + other.cost, others)

    def quantity(self, code: str) -> Decimal:
        if code == measures.COST:
            return self.cost
        return Decimal(self.requests) if code == measures.CALLS else self.others.get(code, ZERO)


@dataclass(frozen=True)
class Billed:
    """What earlier bills took for the same contract: usage, and minor units by charge with its bounds.

    `given_minor` is what discounts gave, by their code; it is not among the amounts, and creators do not bear it.
    """

    usage: Metered = field(default_factory=Metered)
    amounts_minor: Mapping[str, int] = field(default_factory=dict)
    creator_minor: int = 0
    given_minor: Mapping[str, int] = field(default_factory=dict)

    @property
    def total_minor(self) -> int:
        return sum(self.amounts_minor.values())


@dataclass(frozen=True)
class Contract:
    """What is priced as a whole. `billed` makes it a correction: only the difference to it is charged.

    `active` is the part of the month in which the subscription existed; without `share` nobody is paid.
    """

    charges: tuple[Charge, ...]
    currency: str
    month: Period
    active: Period
    usage: Metered
    share: ShareTerms | None
    with_fee: bool = True
    billed: Billed | None = None
    discounts: tuple[Discount, ...] = ()


@dataclass(frozen=True)
class PricedLine:
    """One line to be: `amount` is unrounded; `amount_minor` counts, the creator's and the platform's part."""

    code: str
    quantity: Decimal
    amount: Decimal
    amount_minor: int
    platform_cost: Decimal
    creator_minor: int
    explanation: tuple[dict[str, Any], ...]

    @property
    def platform_minor(self) -> int:
        return self.amount_minor - self.creator_minor

    @property
    def is_discount(self) -> bool:
        return is_discount(self.code)

    @property
    def charge_code(self) -> str:
        """Give the charge that a `calls:minimum` line belongs to."""
        return self.code.split(":")[0]


def price(contract: Contract) -> list[PricedLine]:
    """Price a contract; lines that say nothing (no amount and nothing used) are left out.

    Raises PlanNotBillable for a charge whose quantity nobody measures.
    """
    charges = _charges(contract)
    lines = list(_quoted(contract, charges))
    carrier = _cost_carrier(lines, contract.usage.cost)
    kept = [line for line in lines if line is carrier or _says_something(line)]
    parts = _creator_parts(contract, kept, carrier)
    priced = [
        priced_line(line, platform_cost=contract.usage.cost if line is carrier else ZERO, creator_minor=part)
        for line, part in zip(kept, parts, strict=True)
    ]
    return priced + [priced_line(line) for line in _discounts(contract, lines) if line.amount_minor]


def priced_line(line: Line, *, platform_cost: Decimal = ZERO, creator_minor: int = 0) -> PricedLine:
    """Add to a quoted line what it costs the platform and what its creator gets; nothing of either to a discount."""
    return PricedLine(
        code=line.code,
        quantity=line.quantity,
        amount=line.amount,
        amount_minor=line.amount_minor,
        platform_cost=platform_cost,
        creator_minor=creator_minor,
        explanation=tuple(one.as_json() for one in line.explanation),
    )


def _discounts(contract: Contract, lines: Sequence[Line]) -> list[Line]:
    billed = contract.billed or Billed()
    return discount_lines(
        contract.discounts,
        lines=lines,
        billed_minor=billed.amounts_minor,
        given_minor=billed.given_minor,
        currency=contract.currency,
    )


def _charges(contract: Contract) -> list[Charge]:
    """Leave out fees where none is due; an included credit is counted for the month as a whole, also when it is corrected."""
    charges = [
        charge
        for charge in contract.charges
        if charge.shape.is_metered
        or contract.with_fee
        or (contract.billed is not None and isinstance(charge.shape, IncludedCredit))
    ]
    for charge in charges:
        if charge.shape.is_metered and not measures.is_measured(charge.code):
            raise PlanNotBillable(charge.code)
    return charges


def _quoted(contract: Contract, charges: Sequence[Charge]) -> tuple[Line, ...]:
    usage = {
        charge.code: Usage.measured(contract.usage.quantity(charge.code))
        for charge in charges
        if charge.shape.is_metered
    }
    lines = quote(
        charges,
        currency=contract.currency,
        usage=usage,
        billed_before=_billed_before(contract, charges),
        period=contract.month,
        active=contract.active,
    ).lines
    return lines if any(charge.shape.is_metered for charge in charges) else (*lines, _included(contract))


def _included(contract: Contract) -> Line:
    """Show the calls of a plan that asks nothing for them; the line carries what they cost the platform."""
    quantity = contract.usage.quantity("calls")
    slices = [Slice("included in the plan", ZERO, quantity, quantity)] if quantity else []
    return Line.of("calls", quantity=quantity, slices=slices, currency=contract.currency)


def _billed_before(contract: Contract, charges: Sequence[Charge]) -> dict[str, BilledBefore]:
    if contract.billed is None:
        return {}
    billed = contract.billed
    return {
        charge.code: BilledBefore(
            Usage.measured(billed.usage.quantity(charge.code)),
            from_minor(billed.amounts_minor.get(charge.code, 0), contract.currency),
        )
        for charge in charges
    }


def _cost_carrier(lines: Sequence[Line], cost: Decimal) -> Line | None:
    if not cost:
        return None
    by_code = {line.code: line for line in lines if measures.is_measured(line.code)}
    return by_code.get(measures.COST) or by_code.get(measures.CALLS) or next(iter(by_code.values()))


def _says_something(line: Line) -> bool:
    return bool(line.amount_minor) or (measures.is_measured(line.code) and bool(line.quantity))


def _creator_parts(contract: Contract, lines: Sequence[Line], carrier: Line | None) -> list[int]:
    """Give the creator's part of each line, in minor units.

    The part is worked out for the service month as a whole, and what earlier bills gave is taken off: several
    bills of a month give the creator what one bill would have given.
    """
    if contract.share is None or not lines:
        return [0] * len(lines)
    billed = contract.billed or Billed()
    total_minor = sum(line.amount_minor for line in lines)
    whole = split(
        from_minor(max(0, billed.total_minor + total_minor), contract.currency),
        platform_cost=(billed.usage + contract.usage).cost,
        share=contract.share.share,
        basis=contract.share.basis,
        currency=contract.currency,
        fees=contract.share.fees,
    )
    creator_minor = whole.minor_parts()[0] - billed.creator_minor
    if not total_minor:
        return [creator_minor if line is (carrier or lines[0]) else 0 for line in lines]
    shares = [Fraction(creator_minor * line.amount_minor, total_minor) for line in lines]
    return apportion(creator_minor, shares)


def share_out(
    lines: Sequence[PricedLine], *, contract: Contract, usage_by_place: Mapping[Any, Metered], home: Any
) -> dict[Any, list[PricedLine]]:
    """Share the lines of one contract among the places (cost centers) that used it, by what each counts.

    Fees go to `home`, what is measured by how much of it each used; minor units by largest remainder, so that the parts sum
    to the whole. Where one place gets usage back and another has more, each is priced as the service month was so
    far, and what is left goes by size. Included credit and discounts come last and go by what each has to pay.
    """
    places = list(usage_by_place) or [home]
    if places == [home]:
        return {home: list(lines)}
    usages = list(usage_by_place.values()) or [Metered()]
    credits_ = {one.code for one in contract.charges if isinstance(one.shape, IncludedCredit)}
    shared: dict[Any, list[PricedLine]] = {place: [] for place in dict.fromkeys([*places, home])}
    for line in lines:
        if line.is_discount or line.code in credits_:
            for place, part in _by_what_is_due(line, shared, contract.currency):
                shared[place].append(part)
        elif measures.is_measured(line.charge_code):
            for place, part in zip(places, _parts(line, usages, contract), strict=True):
                shared[place].append(part)
        else:
            shared[home].append(line)
    return {place: parts for place, parts in shared.items() if parts}


def _by_what_is_due(
    line: PricedLine, shared: Mapping[Any, Sequence[PricedLine]], currency: str
) -> list[tuple[Any, PricedLine]]:
    """Share what takes something off by what each place has to pay so far: a discount by all, a credit by what is used."""
    due = [
        sum(one.amount_minor for one in lines if line.is_discount or measures.is_measured(one.charge_code))
        for lines in shared.values()
    ]
    weights = [max(0, one) for one in due] if max(due) > 0 else [abs(one) for one in due]
    amounts, creators = allocate(line.amount_minor, weights), allocate(line.creator_minor, weights)
    found: list[tuple[Any, PricedLine]] = []
    for place, minor, creator_minor in zip(shared, amounts, creators, strict=True):
        if minor or creator_minor:
            part = replace(
                line,
                # An adjustment counts once however it is shared; a charge once in all.
                quantity=line.quantity if line.is_discount or not found else ZERO,
                amount=from_minor(minor, currency),
                amount_minor=minor,
                creator_minor=creator_minor,
                explanation=(*line.explanation, _due_note(minor, currency)),
            )
            found.append((place, part))
    return found


def _due_note(minor: int, currency: str) -> dict[str, Any]:
    return {"label": "part of this cost center", "amount": to_text(from_minor(minor, currency))}


def _parts(line: PricedLine, usages: Sequence[Metered], contract: Contract) -> list[PricedLine]:
    if len(usages) == 1:
        return [line]
    weights = [usage.quantity(line.charge_code) for usage in usages]
    sizes = [abs(weight) for weight in weights]
    creators_minor = allocate(line.creator_minor, sizes)
    if min(weights) < 0 < max(weights):
        amounts_minor, amounts = _opposed(line, weights, contract)
    else:
        amounts_minor, amounts = allocate(line.amount_minor, sizes), _proportional(line.amount, sizes)
    return [
        replace(
            line,
            quantity=weight if line.code == line.charge_code else line.quantity,
            amount=amount,
            amount_minor=amount_minor,
            platform_cost=usage.cost if line.platform_cost else ZERO,
            creator_minor=creator_minor,
            explanation=(*line.explanation, _part_note(weight, weights, amount)),
        )
        for usage, weight, amount, amount_minor, creator_minor in zip(
            usages, weights, amounts, amounts_minor, creators_minor, strict=True
        )
    ]


def _proportional(amount: Decimal, weights: Sequence[Decimal]) -> list[Decimal]:
    """Share an unrounded amount by weight; the last part takes what the cut at 18 decimals leaves."""
    whole = sum(weights, ZERO)
    unit = Decimal(1).scaleb(-MAX_DECIMALS)
    with exact():
        if not whole:
            return [amount, *[ZERO] * (len(weights) - 1)]
        parts = [(amount * weight / whole).quantize(unit, rounding=ROUND_DOWN) for weight in weights[:-1]]
        return [*parts, amount - sum(parts, ZERO)]


def _opposed(
    line: PricedLine, weights: Sequence[Decimal], contract: Contract
) -> tuple[list[int], list[Decimal]]:
    """Share a line among places of which some get usage back: in minor units, and unrounded.

    By weight alone, 1,000 more and 999 less would turn a cent into ten dollars for one and nearly as much off the other.
    """
    unit = _price_so_far(line, contract)
    whole, size = Fraction(sum(weights, ZERO)), Fraction(sum(map(abs, weights), ZERO))
    rest = line.amount_minor - unit * whole
    shares = [unit * Fraction(weight) + rest * Fraction(abs(weight)) / size for weight in weights]
    parts_minor = apportion(line.amount_minor, shares)
    with exact():
        parts = [from_minor(part, contract.currency) for part in parts_minor[:-1]]
        return parts_minor, [*parts, line.amount - sum(parts, ZERO)]


def _price_so_far(line: PricedLine, contract: Contract) -> Fraction:
    """Give what a unit cost on average on earlier bills of the service month, in minor units; zero without any."""
    billed = contract.billed or Billed()
    quantity = billed.usage.quantity(line.charge_code)
    if line.code != line.charge_code or not quantity:
        return Fraction(0)
    return billed.amounts_minor.get(line.charge_code, 0) / Fraction(quantity)


def _part_note(weight: Decimal, weights: Sequence[Decimal], amount: Decimal) -> dict[str, Any]:
    label = f"part of this cost center: {to_text(weight)} of {to_text(sum(weights, ZERO))}"
    return {"label": label, "amount": to_text(amount)}
