"""The bills of a month, as values: the preview shows them, the monthly run writes them, verification repeats them.

The preview and the run use the same function, so what was shown is what is billed. Nothing here writes. What has no
price spoils the bills of those who would pay for it, and no others.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from billing import measures
from billing.bill_discounts import DISCOUNTED, BilledToPayer, bill_discount_lines
from billing.bill_lines import BillLine
from billing.billable import Billable, ContractKey, Payer, read
from billing.bills import Contract, Metered, PricedLine, share_out
from billing.chargeback import switching
from billing.line_sources import SOURCES
from billing.models import Invoice, InvoiceLine
from billing.pricing.discounts import PREFIX
from billing.pricing_once import PricedOnce
from billing.terms import ShareTerms
from marketplace.accounts.models import CostCenter, Organization
from marketplace.catalog.models import Subscription
from marketplace.core.errors import HalfpennyError
from marketplace.core.periods import Period, month_of


@dataclass(frozen=True)
class Bill:
    """Everything one payer owes for one month in one currency; becomes an Invoice."""

    organization: Organization
    cost_center: CostCenter | None
    currency: str
    lines: tuple[BillLine, ...]

    @property
    def kind(self) -> Invoice.Kind:
        return Invoice.Kind.STATEMENT if self.cost_center else Invoice.Kind.INVOICE

    @property
    def mode(self) -> str:
        return self.cost_center.mode if self.cost_center else ""

    @property
    def payer(self) -> Payer:
        center_id = self.cost_center.pk if self.cost_center else None
        return Payer(self.organization.pk, center_id, self.currency)

    @property
    def payer_name(self) -> str:
        return str(self.cost_center or self.organization)

    @cached_property
    def subtotal_minor(self) -> int:
        return sum(line.priced.amount_minor for line in self.lines)

    @cached_property
    def creator_minor(self) -> int:
        return sum(line.priced.creator_minor for line in self.lines)

    @property
    def platform_minor(self) -> int:
        return self.subtotal_minor - self.creator_minor


@dataclass(frozen=True)
class BillsTotal:
    """What bills come to in one currency, and the creators' part of it, in minor units."""

    currency: str
    total_minor: int = 0
    creator_minor: int = 0

    @property
    def platform_minor(self) -> int:
        return self.total_minor - self.creator_minor


@dataclass(frozen=True)
class Worked:
    """A month as it was worked out: the bills, and the payers whose bill cannot be made, with the reason."""

    bills: list[Bill]
    refused: dict[Payer, HalfpennyError]
    books: Billable


def bills_of(month: Period, *, default_share: ShareTerms) -> list[Bill]:
    """Work out every bill of a month as things stand; sorted by payer, so that a rerun goes the same way.

    Reads a fixed number of times, however many subscriptions there are. Raises what pricing raises
    (CurrencyMismatch, PlanNotBillable) when something has no price.
    """
    worked = work_out(month, default_share=default_share)
    for error in worked.refused.values():
        raise error
    return worked.bills


def work_out(
    month: Period, *, default_share: ShareTerms, organizations: Collection[int] | None = None
) -> Worked:
    """Work out the bills of all payers, or of some organizations, sorted by payer."""
    books = read(month, default_share=default_share, organizations=organizations)
    drafted = _Drafted(books, refused=dict(books.refused))
    for key, by_payer in sorted(books.usage.items(), key=lambda item: _order(books, item[0])):
        drafted.add(key, by_payer)
    for source in SOURCES:
        for payer, found in source(month, organizations, drafted.lines).items():
            drafted.lines[payer] += found
    for payer, lines in drafted.lines.items():
        lines += _bill_discounts(books, payer, lines)
    return Worked(_sorted(_bills(books, drafted)), drafted.refused, books)


@dataclass
class _Drafted:
    """What is worked out so far. A payer that is refused gets no bill, whatever else is priced for it."""

    books: Billable
    refused: dict[Payer, HalfpennyError]
    lines: dict[Payer, list[BillLine]] = field(default_factory=lambda: defaultdict(list))
    prices: PricedOnce = field(default_factory=PricedOnce)

    def add(self, key: ContractKey, by_payer: Mapping[Payer, Metered]) -> None:
        try:
            found = _lines_of(self.books, key, by_payer, self.prices)
        except HalfpennyError as error:
            subscription = self.books.subscriptions.get(key.subscription_id) if key.subscription_id else None
            payers = {*by_payer, _home(self.books, key, subscription, by_payer)}
            self.refused |= dict.fromkeys(payers, error)
            return
        for payer, lines in found.items():
            self.lines[payer] += lines


def _bills(books: Billable, drafted: _Drafted) -> list[Bill]:
    wanted = {
        payer: lines for payer, lines in drafted.lines.items() if lines and payer not in drafted.refused
    }
    organizations = _known(books.organizations, Organization, {one.organization_id for one in wanted})
    centers = _known(books.cost_centers, CostCenter, {one.cost_center_id for one in wanted})
    switching.as_of(centers.values(), books.month)
    return [
        Bill(
            organization=organizations[payer.organization_id],
            cost_center=centers[payer.cost_center_id] if payer.cost_center_id else None,
            currency=payer.currency,
            lines=tuple(lines),
        )
        for payer, lines in wanted.items()
    ]


def _known(read_before: dict[int, Any], model: Any, ids: Collection[int | None]) -> dict[int, Any]:
    """Give what was read, and what only an added line names."""
    missing = {one for one in ids if one is not None} - read_before.keys()
    return read_before | (model.objects.in_bulk(missing) if missing else {})


def _sorted(bills: list[Bill]) -> list[Bill]:
    return sorted(bills, key=lambda bill: (bill.organization.slug, _code(bill), bill.currency))


def _lines_of(
    books: Billable, key: ContractKey, by_payer: Mapping[Payer, Metered], prices: PricedOnce
) -> dict[Payer, list[BillLine]]:
    subscription = books.subscriptions[key.subscription_id] if key.subscription_id else None
    on_plan = _on_plan(books, key, subscription)
    service = on_plan or key.month
    is_correction = key.month != books.month
    contract = Contract(
        charges=books.charges_of(key),
        currency=key.currency,
        month=key.month,
        active=service,
        usage=_together(by_payer),
        share=books.share(key.app_id, service.starts_at) if subscription else None,
        with_fee=on_plan is not None and not is_correction,
        billed=books.billed.get(key) if is_correction else None,
        discounts=books.discounts_of(key),
    )
    priced = prices.price(contract)
    home = _home(books, key, subscription, by_payer)
    shared = share_out(priced, contract=contract, usage_by_place=by_payer, home=home)
    return {
        payer: [_bill_line(books, key, subscription, service, line) for line in lines]
        for payer, lines in shared.items()
    }


def _together(by_payer: Mapping[Payer, Metered]) -> Metered:
    first, *others = by_payer.values() or [Metered()]
    return sum(others, first)


def _bill_discounts(books: Billable, payer: Payer, lines: Iterable[BillLine]) -> list[BillLine]:
    """Take off what a payer's coupons give off the whole bill, after everything else."""
    by_month: dict[Period, dict[int | None, int]] = defaultdict(lambda: defaultdict(int))
    for line in lines:
        if line.kind in DISCOUNTED:
            by_month[month_of(line.service.starts_at)][line.app_id] += line.priced.amount_minor
    found = []
    for month, by_app in by_month.items():
        priced = bill_discount_lines(
            books.own_prices.bill_discounts(payer.place, currency=payer.currency, month=month),
            by_app=by_app,
            billed=books.billed_to_payers.get(((*payer.place, payer.currency), month), BilledToPayer()),
            currency=payer.currency,
        )
        found += [_bill_discount(books, app_id, month, line) for app_id, line in priced]
    return found


def _on_plan(books: Billable, key: ContractKey, subscription: Subscription | None) -> Period | None:
    """Give the days of the service month on the plan; None for own use, and for usage after the last day."""
    if subscription is None or key.plan_id is None:
        return None
    return books.plan_periods(subscription, key.month).get(key.plan_id)


def _home(
    books: Billable,
    key: ContractKey,
    subscription: Subscription | None,
    by_payer: Mapping[Payer, Metered],
) -> Payer:
    if key.payer:
        return key.payer
    if subscription is None:
        return next(iter(by_payer))
    center = subscription.cost_center
    return books.payer(center.organization_id, center.pk, key.currency)


_KINDS = {"minimum": InvoiceLine.Kind.MINIMUM, "maximum": InvoiceLine.Kind.MAXIMUM}
_WORDS = {"fee": "monthly fee", "credit": "included credit"}


def _bill_line(
    books: Billable,
    key: ContractKey,
    subscription: Subscription | None,
    service: Period,
    line: PricedLine,
) -> BillLine:
    app = books.apps[key.app_id].name
    if subscription is None or key.plan_id is None:
        what = f"{app}: own use at cost"
    else:
        what = f"{app}, {books.plans[key.plan_id].name}, {subscription.team.name}: {_in_words(line)}"
    is_correction = key.month != books.month
    return BillLine(
        priced=line,
        kind=_kind(line),
        description=(f"Correction {key.month.name}. {what}" if is_correction else what)[:200],
        app_id=key.app_id,
        subscription_id=key.subscription_id,
        plan_id=key.plan_id,
        service=service,
        is_correction=is_correction,
    )


def _in_words(line: PricedLine) -> str:
    if line.is_discount:
        return _coupon_in_words(line)
    charge, _, bound = line.code.partition(":")
    words = _WORDS.get(charge) or measures.in_words(charge)
    return f"{words}, {bound}" if bound else words


def _kind(line: PricedLine) -> str:
    if line.is_discount:
        return InvoiceLine.Kind.DISCOUNT
    return _KINDS.get(line.code.partition(":")[2], InvoiceLine.Kind.CHARGE)


def _bill_discount(books: Billable, app_id: int | None, month: Period, line: PricedLine) -> BillLine:
    app = books.apps.get(app_id) if app_id else None
    what = f"{app.name}: {_coupon_in_words(line)}" if app else _coupon_in_words(line).capitalize()
    is_correction = month != books.month
    return BillLine(
        priced=line,
        kind=InvoiceLine.Kind.DISCOUNT,
        description=(f"Correction {month.name}. {what}" if is_correction else what)[:200],
        app_id=app_id,
        subscription_id=None,
        plan_id=None,
        service=month,
        is_correction=is_correction,
    )


def _coupon_in_words(line: PricedLine) -> str:
    return f"coupon {line.code.removeprefix(PREFIX)}, {line.explanation[0]['label']}"


def _order(books: Billable, key: ContractKey) -> tuple[Any, ...]:
    is_current = key.month == books.month
    return (
        not is_current,
        books.apps[key.app_id].name,
        key.month,
        str(key.subscription_id),
        key.plan_id or 0,
        (key.payer.organization_id, key.payer.cost_center_id or 0) if key.payer else (0, 0),
    )


def _code(bill: Bill) -> str:
    return bill.cost_center.code if bill.cost_center else ""


def totals(bills: Iterable[Bill]) -> list[BillsTotal]:
    """Sum bills by currency."""
    sums: dict[str, BillsTotal] = {}
    for bill in bills:
        before = sums.get(bill.currency, BillsTotal(bill.currency))
        sums[bill.currency] = BillsTotal(
            bill.currency,
            before.total_minor + bill.subtotal_minor,
            before.creator_minor + bill.creator_minor,
        )
    return [sums[currency] for currency in sorted(sums)]
