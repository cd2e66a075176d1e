"""Discounts off the whole of a bill: worked out by month of service, shared among its apps."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from django.db.models import Sum

from billing.bills import PricedLine, priced_line
from billing.models import InvoiceLine
from billing.pricing import Discount, Line, Slice
from billing.pricing.discounts import PREFIX
from billing.pricing.lines import ZERO
from marketplace.core.money import allocate, from_minor
from marketplace.core.periods import Period, month_of

# What a discount off the bill looks at; what was paid before or is given for bad service is not made less by it.
DISCOUNTED = frozenset(
    {
        *InvoiceLine.PRICED,
        InvoiceLine.Kind.DISCOUNT,
        InvoiceLine.Kind.PRORATION,
        InvoiceLine.Kind.MANUAL,
    }
)
PayerKey = tuple[int, int | None, str]


@dataclass
class BilledToPayer:
    """What earlier bills took of a payer for a month of service, and what each bill discount gave of it."""

    amount_minor: int = 0
    given_minor: dict[str, int] = field(default_factory=lambda: defaultdict(int))


def billed_to_payers(
    names: Iterable[str], *, months: Iterable[Period]
) -> Mapping[tuple[PayerKey, Period], BilledToPayer]:
    """Sum by payer what closed months, by name, billed for months of service (one query)."""
    found: dict[tuple[PayerKey, Period], BilledToPayer] = defaultdict(BilledToPayer)
    starts = [month.starts_at for month in months]
    if not starts:
        return found
    rows = (
        InvoiceLine.objects.filter(
            kind__in=DISCOUNTED, invoice__period__in=list(names), service_starts_at__gte=min(starts)
        )
        .values(
            "invoice__organization", "invoice__cost_center", "invoice__currency", "service_starts_at", "code",
            "subscription",
        )
        .annotate(minor=Sum("amount_minor"))
        .order_by()
    )  # fmt: skip
    for row in rows:
        payer = (row["invoice__organization"], row["invoice__cost_center"], row["invoice__currency"])
        billed = found[payer, month_of(row["service_starts_at"])]
        if row["code"].startswith(PREFIX) and row["subscription"] is None:
            billed.given_minor[row["code"].removeprefix(PREFIX)] -= row["minor"]
        else:
            billed.amount_minor += row["minor"]
    return found


def bill_discount_lines(
    discounts: Iterable[Discount], *, by_app: Mapping[int | None, int], billed: BilledToPayer, currency: str
) -> list[tuple[int | None, PricedLine]]:
    """Work out what comes off a payer's lines of one month of service; `by_app` is what they come to, in minor units.

    Each discount works on what the one before left. Returns a line for each app that has a part of it.
    """
    left = billed.amount_minor + sum(by_app.values())
    found: list[tuple[int | None, PricedLine]] = []
    for one in discounts:
        whole = one.off(left, currency)
        left -= whole
        now = whole - billed.given_minor.get(one.code, 0)
        found += _shared(one, now, by_app, currency)
    return found


def _shared(
    discount: Discount, minor: int, by_app: Mapping[int | None, int], currency: str
) -> list[tuple[int | None, PricedLine]]:
    weights = [max(0, one) for one in by_app.values()]
    if not any(weights):
        weights = [abs(one) for one in by_app.values()]
    return [
        (app_id, _line(discount, part, whole=minor, currency=currency))
        for app_id, part in zip(by_app, allocate(minor, weights), strict=True)
        if part
    ]


def _line(discount: Discount, minor: int, *, whole: int, currency: str) -> PricedLine:
    step = Slice(discount.in_words("the bill"), ZERO, None, ZERO, flat_amount=from_minor(-minor, currency))
    line = priced_line(Line.of(discount.line_code, quantity=ZERO + 1, slices=[step], currency=currency))
    if minor == whole:
        return line
    note = {"label": f"part of this app, of {from_minor(-whole, currency)} in all"}
    return replace(line, explanation=(*line.explanation, note))
