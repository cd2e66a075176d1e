"""Closed months priced again from their roll-ups, to be compared with what was invoiced.

What was decided at the close is taken from the invoice lines (which plan, which days, whether a fee was due);
quantities come from the roll-ups, prices from the plan, which never changes.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

from billing.billable import OF_CONTRACTS, Billable, ContractKey, Payer, read
from billing.bills import ZERO, Contract, Metered, price
from billing.models import Invoice, InvoiceLine
from billing.terms import ShareTerms
from marketplace.accounts.models import Organization
from marketplace.core.money import exact
from marketplace.core.periods import Period, month_of

_NOBODY = ShareTerms(ZERO)


@dataclass(frozen=True)
class Sums:
    """What a charge of a contract came to, over all payers."""

    quantity: Decimal = ZERO
    amount_minor: int = 0
    platform_cost: Decimal = ZERO

    def __add__(self, other: "Sums") -> "Sums":
        with exact():
            return Sums(
                self.quantity + other.quantity,
                self.amount_minor + other.amount_minor,
                self.platform_cost + other.platform_cost,
            )


ByCharge = dict[tuple[ContractKey, str], Sums]


@dataclass(frozen=True)
class Comparison:
    """A month priced again, against its lines, by contract and charge."""

    expected: ByCharge
    found: ByCharge

    def differing(self) -> list[tuple[ContractKey, str]]:
        keys = self.expected.keys() | self.found.keys()
        return [key for key in keys if self.expected.get(key, Sums()) != self.found.get(key, Sums())]

    def total(self, side: ByCharge) -> Sums:
        return sum(side.values(), Sums())


def compare(month: Period) -> Comparison:
    """Price a closed month again and set it beside its invoice lines."""
    priced = InvoiceLine.objects.filter(OF_CONTRACTS, invoice__period=month.name)
    lines = list(priced.select_related("invoice"))
    by_contract: dict[ContractKey, list[InvoiceLine]] = defaultdict(list)
    for line in lines:
        by_contract[_key(line)].append(line)
    books = read(month, default_share=_NOBODY, billing_then=_billing_then(month))
    used = {key for key, by_payer in books.usage.items() if by_payer}
    expected: ByCharge = {}
    for key in used | by_contract.keys():
        expected |= _expected(books, key, by_contract.get(key, []))
    return Comparison(expected, _found(by_contract))


def _billing_then(month: Period) -> dict[int, str]:
    kinds = Invoice.objects.filter(period=month.name).values_list("organization_id", "kind")
    words = {
        Invoice.Kind.INVOICE: Organization.Billing.INVOICE,
        Invoice.Kind.STATEMENT: Organization.Billing.CHARGEBACK,
    }
    return {organization_id: words[Invoice.Kind(kind)] for organization_id, kind in kinds}


def _key(line: InvoiceLine) -> ContractKey:
    month, currency = month_of(line.service_starts_at), line.invoice.currency
    if line.subscription_id:
        return ContractKey(line.app_id or 0, month, currency, line.subscription_id, line.plan_id)
    payer = Payer(line.invoice.organization_id, line.invoice.cost_center_id, currency)
    return ContractKey(line.app_id or 0, month, currency, payer=payer)


def _expected(books: Billable, key: ContractKey, lines: list[InvoiceLine]) -> ByCharge:
    charges = books.charges_of(key)
    flat = {charge.code for charge in charges if not charge.shape.is_metered}
    active = Period(lines[0].service_starts_at, lines[0].service_ends_at) if lines else key.month
    contract = Contract(
        charges=charges,
        currency=key.currency,
        month=key.month,
        active=active,
        usage=sum(books.usage.get(key, {}).values(), Metered()),
        share=None,
        with_fee=any(line.code.split(":")[0] in flat for line in lines),
        billed=books.billed.get(key) if key.month != books.month else None,
        discounts=books.discounts_of(key),
    )
    return {
        (key, line.code): Sums(line.quantity, line.amount_minor, line.platform_cost)
        for line in price(contract)
    }


def _found(by_contract: dict[ContractKey, list[InvoiceLine]]) -> ByCharge:
    found: ByCharge = {}
    for key, lines in by_contract.items():
        for code, of_code in _by_code(lines).items():
            found[key, code] = _added(of_code)
    return found


def _by_code(lines: Iterable[InvoiceLine]) -> dict[str, list[InvoiceLine]]:
    codes: dict[str, list[InvoiceLine]] = defaultdict(list)
    for line in lines:
        codes[line.code].append(line)
    return codes


def _added(lines: list[InvoiceLine]) -> Sums:
    """Add the parts of cost centers; an adjustment such as `calls:minimum` counts once however it was shared."""
    sums = sum((Sums(one.quantity, one.amount_minor, one.platform_cost) for one in lines), Sums())
    if ":" in lines[0].code:
        return Sums(lines[0].quantity, sums.amount_minor, sums.platform_cost)
    return sums
