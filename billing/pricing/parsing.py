"""Charges and quote requests from JSON. Every error names its field by path: `charges[1].tiers[0].up_to`."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import cast

from billing.pricing.charges import Charge
from billing.pricing.cost_plus import CostPlus
from billing.pricing.discount_parsing import parse_discounts
from billing.pricing.discounts import Discount
from billing.pricing.flat import Flat
from billing.pricing.graduated import Graduated
from billing.pricing.included_credit import IncludedCredit
from billing.pricing.package import Package, Rounding
from billing.pricing.per_unit import PerUnit
from billing.pricing.percentage import Percentage
from billing.pricing.quoting import BilledBefore
from billing.pricing.shape import Shape
from billing.pricing.tiers import Tier
from billing.pricing.usage import Usage
from billing.pricing.volume import Volume
from marketplace.core.errors import FieldError, InvalidInput
from marketplace.core.fields import ZERO, Fields
from marketplace.core.periods import Period, parse_instant

MOST_CHARGES = 200
MOST_TIERS = 100
MOST_TRANSACTIONS = 10_000
LONGEST_CODE = 100


@dataclass(frozen=True)
class QuoteRequest:
    """What `quote` takes, read from one JSON object."""

    charges: tuple[Charge, ...]
    currency: str
    usage: Mapping[str, Usage]
    billed_before: Mapping[str, BilledBefore]
    period: Period | None
    active: Period | None
    discounts: tuple[Discount, ...] = ()


def parse_charges(data: object, *, field: str = "charges", open_ended: bool = True) -> tuple[Charge, ...]:
    """Read the charges of a plan from a JSON list.

    `open_ended` refuses a bounded last tier, because usage beyond it would have no price; a calculator, which
    knows the usage, may pass False. Raises InvalidInput with every field that is wrong.
    """
    errors: list[FieldError] = []
    request = Fields({field: data}, path="", errors=errors)
    charges = _charges(request, field, open_ended=open_ended)
    _raise_if_any(errors)
    return charges


def parse_quote_request(data: object) -> QuoteRequest:
    """Read the body of a quote. Raises InvalidInput with every field that is wrong."""
    errors: list[FieldError] = []
    request = Fields(data, path="", errors=errors)
    request.allow_only(
        ("currency", "period", "active", "charges", "usage", "billed_before", "discounts"),
        of="a quote request",
    )
    charges = _charges(request, "charges", open_ended=False)
    currency = request.currency("currency")
    period = _period(request, "period")
    active = _active(request, period)
    discounts = parse_discounts(request, charges)
    # A charge that could not be read would make its usage look unasked for.
    _raise_if_any(errors)
    usage, billed_before = _usage(request, charges), _billed_before(request, charges, discounts)
    _raise_if_any(errors)
    return QuoteRequest(charges, currency, usage, billed_before, period, active, discounts)


def _raise_if_any(errors: list[FieldError]) -> None:
    if errors:
        raise InvalidInput.several(errors)


def _charges(request: Fields, name: str, *, open_ended: bool) -> tuple[Charge, ...]:
    charges: list[Charge] = []
    for index, data in enumerate(request.items(name, at_most=MOST_CHARGES)):
        fields = request.child(f"{name}[{index}]", data)
        charge = _charge(fields, open_ended=open_ended)
        if charge and any(charge.code == other.code for other in charges):
            fields.refuse("code", f"{charge.code!r} is used by an earlier charge", code="duplicate")
        if charge:
            charges.append(charge)
    return tuple(charges)


_COMMON_FIELDS = ("code", "model", "free_units", "minimum", "maximum")
_SHAPE_FIELDS: dict[str, tuple[str, ...]] = {
    "flat": ("amount", "prorate"),
    "per_unit": ("unit_amount",),
    "graduated": ("tiers",),
    "volume": ("tiers",),
    "package": ("package_size", "package_amount", "rounding"),
    "percentage": ("rate", "fixed_amount", "free_transactions"),
    "cost_plus": ("markup",),
    "included_credit": ("amount", "prorate"),
}


def _charge(fields: Fields, *, open_ended: bool) -> Charge | None:
    code = _code(fields)
    model = fields.choice("model", tuple(_SHAPE_FIELDS))
    if not model:
        return None
    # A credit is no price: there is nothing to lift to a minimum or to cut at a maximum.
    common = _COMMON_FIELDS[:2] if model == "included_credit" else _COMMON_FIELDS
    fields.allow_only((*common, *_SHAPE_FIELDS[model]), of=f"a {model} charge")
    charge = Charge(
        code=code,
        shape=_shape(model, fields, open_ended=open_ended),
        free_units=fields.amount("free_units", ZERO),
        minimum=fields.optional_amount("minimum"),
        maximum=fields.optional_amount("maximum"),
    )
    if charge.free_units and not charge.shape.is_metered:
        fields.refuse("free_units", f"means nothing for a {model} charge")
    if charge.minimum is not None and charge.maximum is not None and charge.minimum > charge.maximum:
        fields.refuse("minimum", "is above the maximum", limit=charge.maximum)
    return charge


def _code(fields: Fields) -> str:
    code = fields.raw("code")
    if code is None:
        fields.refuse("code", "is missing", code="required")
    elif not _is_code(code):
        fields.refuse("code", f"must be 1 to {LONGEST_CODE} printable characters without a colon")
    return code if isinstance(code, str) else ""


def _is_code(code: object) -> bool:
    # Without colon, because that is what tells the line `tokens:minimum` from a charge of that name.
    return isinstance(code, str) and 0 < len(code) <= LONGEST_CODE and code.isprintable() and ":" not in code


def _shape(model: str, fields: Fields, *, open_ended: bool) -> Shape:
    if model in ("graduated", "volume"):
        tiers = _tiers(fields, open_ended=open_ended)
        return Graduated(tiers) if model == "graduated" else Volume(tiers)
    readers: dict[str, Callable[[Fields], Shape]] = {
        "flat": lambda of: Flat(of.amount("amount"), of.flag("prorate")),
        "per_unit": lambda of: PerUnit(of.amount("unit_amount")),
        "package": _package,
        "percentage": lambda of: Percentage(
            of.amount("rate"), of.amount("fixed_amount", ZERO), of.whole_number("free_transactions")
        ),
        "cost_plus": lambda of: CostPlus(of.amount("markup")),
        "included_credit": lambda of: IncludedCredit(of.amount("amount"), of.flag("prorate")),
    }
    return readers[model](fields)


def _package(fields: Fields) -> Package:
    size = fields.amount("package_size")
    if fields.has("package_size") and size == 0:
        fields.refuse("package_size", "must be more than zero", limit=0)
    rounding = fields.choice("rounding", ("up", "down"), "up")
    return Package(size, fields.amount("package_amount"), cast(Rounding, rounding))


def _tiers(fields: Fields, *, open_ended: bool) -> tuple[Tier, ...]:
    items = fields.items("tiers", at_most=MOST_TIERS)
    readers = [fields.child(f"tiers[{index}]", item) for index, item in enumerate(items)]
    tiers = [_tier(reader) for reader in readers]
    below = ZERO
    for reader, tier in zip(readers[:-1], tiers[:-1], strict=True):
        if tier.up_to is None:
            reader.refuse("up_to", "may be null in the last tier only", code="tiers_out_of_order")
    for reader, tier in zip(readers, tiers, strict=True):
        if tier.up_to is not None and tier.up_to <= below:
            reader.refuse("up_to", "must be above the tier before", limit=below, code="tiers_out_of_order")
        below = tier.up_to or below
    if open_ended and tiers and tiers[-1].up_to is not None:
        message = "must be null in the last tier: usage beyond it would have no price"
        readers[-1].refuse("up_to", message, code="last_tier_bounded")
    return tuple(tiers)


def _tier(fields: Fields) -> Tier:
    fields.allow_only(("up_to", "unit_amount", "flat_amount"), of="a tier")
    if not fields.has("unit_amount") and not fields.has("flat_amount"):
        fields.refuse("unit_amount", "is missing, and so is flat_amount", code="required")
    return Tier(
        up_to=fields.optional_amount("up_to"),
        unit_amount=fields.amount("unit_amount", ZERO),
        flat_amount=fields.amount("flat_amount", ZERO),
    )


def _usage(request: Fields, charges: tuple[Charge, ...]) -> dict[str, Usage]:
    fields = request.child("usage", request.raw("usage") if request.has("usage") else {})
    _refuse_unknown_codes(fields, charges)
    usage: dict[str, Usage] = {}
    for charge in charges:
        if fields.has(charge.code):
            usage[charge.code] = _quantity(fields, charge.code, charge)
        elif charge.shape.is_metered:
            message = f"is missing: the charge {charge.code!r} needs a quantity"
            fields.refuse(charge.code, message, code="required")
    return usage


def _refuse_unknown_codes(fields: Fields, charges: tuple[Charge, ...], *more: str) -> None:
    codes = {charge.code for charge in charges}.union(more)
    for name in fields.names():
        if name not in codes:
            fields.refuse(name, "is not the code of a charge", code="unknown_field")


def _quantity(fields: Fields, name: str, charge: Charge) -> Usage:
    value = fields.raw(name)
    if not isinstance(value, list):
        return Usage.of(fields.amount(name))
    if not isinstance(charge.shape, Percentage):
        fields.refuse(name, "must be one quantity; only percentages take a list", code="not_a_number")
        return Usage()
    if len(value) > MOST_TRANSACTIONS:
        message = f"has more than {MOST_TRANSACTIONS} transactions"
        fields.refuse(name, message, code="too_many", limit=MOST_TRANSACTIONS)
        return Usage()
    values = fields.child("", {f"{name}[{index}]": item for index, item in enumerate(value)})
    return Usage(tuple(values.amount(f"{name}[{index}]") for index in range(len(value))))


def _billed_before(
    request: Fields, charges: tuple[Charge, ...], discounts: tuple[Discount, ...]
) -> dict[str, BilledBefore]:
    fields = request.optional_child("billed_before")
    if fields is None:
        return {}
    _refuse_unknown_codes(fields, charges, *(one.line_code for one in discounts))
    billed: dict[str, BilledBefore] = {}
    for charge in charges:
        entry = fields.optional_child(charge.code)
        if entry is not None:
            billed[charge.code] = _billed_entry(entry, charge)
    for discount in discounts:
        entry = fields.optional_child(discount.line_code)
        if entry is not None:
            entry.allow_only(("amount",), of="what a discount gave before")
            billed[discount.line_code] = BilledBefore(Usage(), -entry.amount("amount"))
    return billed


def _billed_entry(entry: Fields, charge: Charge) -> BilledBefore:
    entry.allow_only(("quantity", "amount"), of="what was billed before")
    amount: Decimal = entry.amount("amount")
    if charge.shape.is_metered and not entry.has("quantity"):
        entry.refuse("quantity", "is missing", code="required")
    usage = _quantity(entry, "quantity", charge) if entry.has("quantity") else Usage()
    return BilledBefore(usage, -amount if isinstance(charge.shape, IncludedCredit) else amount)


def _period(request: Fields, name: str) -> Period | None:
    fields = request.optional_child(name)
    if fields is None:
        return None
    fields.allow_only(("start", "end"), of="a period")
    try:
        starts_at = parse_instant(fields.raw("start"), field=fields.path("start"))
        ends_at = parse_instant(fields.raw("end"), field=fields.path("end"))
    except InvalidInput as error:
        fields.refuse(error.field.rsplit(".", 1)[-1], error.errors[0].message, code=error.code)
        return None
    if ends_at.date() <= starts_at.date():
        fields.refuse("end", "must be a later day than the start; the end is excluded")
        return None
    return Period(starts_at, ends_at)


def _active(request: Fields, period: Period | None) -> Period | None:
    active = _period(request, "active")
    if active and not request.has("period"):
        request.refuse("period", "is missing: active is a part of it", code="required")
    if active and period and active.overlap(period) is None:
        request.refuse("active", "lies outside the period")
    return active
