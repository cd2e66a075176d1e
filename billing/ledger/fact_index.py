"""Which fact posts what: every kind of entry, with the key that keeps it from being posted twice, as data."""

from dataclasses import dataclass

from django.db.models import Count

from billing.ledger import chart
from billing.ledger.chart import Account
from billing.models import JournalEntry, Posting


@dataclass(frozen=True)
class FactKind:
    """One kind of fact: when it is posted, under which key, and where its postings stand."""

    kind: str
    title: str
    when: str
    key: str
    accounts: tuple[Account, ...]


@dataclass(frozen=True)
class FactUse:
    """A kind of fact as the books have it: how many entries, and the accounts that they moved."""

    fact: FactKind
    entries: int
    accounts: tuple[Account, ...]


_SPLIT = (chart.CREATOR_PAYABLE, chart.PLATFORM_REVENUE, chart.TAX_PAYABLE)
_PROCESSOR = (chart.PROCESSOR_BALANCE, chart.BANK)
FACTS: tuple[FactKind, ...] = (
    FactKind("invoice", "Invoice", "an invoice is finalized", "invoice:ID", (chart.RECEIVABLE, *_SPLIT)),
    FactKind(
        "statement", "Statement", "a statement of a cost center in chargeback is finalized", "invoice:ID",
        (chart.COST_CENTER_CHARGE, *_SPLIT),
    ),
    FactKind(
        "credit_note", "Credit note", "a credit note is issued", "credit-note:ID",
        (*_SPLIT, chart.RECEIVABLE, chart.COST_CENTER_CHARGE),
    ),
    FactKind("payment", "Payment", "money came in", "payment:ID", (*_PROCESSOR, chart.RECEIVABLE)),
    FactKind("payment_reversal", "Payment that went back", "a payment is taken back", "payment-reversal:ID", (chart.RECEIVABLE, *_PROCESSOR)),
    FactKind("recovery", "Recovery", "a written-off invoice is paid after all", "payment:ID", (chart.BANK, chart.RECOVERED_DEBT)),
    FactKind("wallet_applied", "Credit used", "a bill is paid with prepaid credit", "payment:ID", (chart.PREPAID, chart.PROMOTIONAL_CREDIT, chart.RECEIVABLE)),
    FactKind("reminder_charge", "Fee of a reminder", "a reminder asks for a fee or interest", "reminder-charge:ID", (chart.RECEIVABLE, chart.REMINDER_CHARGES)),
    FactKind("write_off", "Write-off", "an invoice is written off", "write-off:ID", (chart.BAD_DEBT, chart.SMALL_DIFFERENCE, chart.RECEIVABLE)),
    FactKind("provider_cost", "Cost of models", "a month is closed", "provider-cost:MONTH", (chart.MODEL_COST, chart.PROVIDER_ACCRUAL)),
    FactKind("processor_fee", "Fee of the processor", "the payment processor takes a fee", "processor-fee:ID", (chart.PAYMENT_FEES, chart.PROCESSOR_BALANCE)),
    FactKind("processor_bank", "Paid out to the bank", "the payment processor pays out", "processor-bank:ID", _PROCESSOR),
    FactKind("payment_dispute", "Dispute of a payment", "a payment is disputed, won or lost", "payment-dispute-STEP:ID", (chart.DISPUTED_PAYMENTS, chart.DISPUTE_LOSSES, chart.PROCESSOR_BALANCE)),
    FactKind("payout", "Payout", "a creator is paid", "payout:ID", (chart.CREATOR_PAYABLE, chart.BANK)),
    FactKind("transfer", "Transfer to a creator", "the processor sends a creator's part", "transfer:ID", (chart.CREATOR_PAYABLE, chart.PROCESSOR_BALANCE)),
    FactKind("transfer_reversal", "Transfer taken back", "a transfer is reversed", "transfer-reversal:ID", (chart.PROCESSOR_BALANCE, chart.CREATOR_PAYABLE)),
)  # fmt: skip
PREFIX = "billing."
BY_KIND: dict[str, FactKind] = {PREFIX + one.kind: one for one in FACTS}


def title_of(kind: str) -> str:
    """Give the words for a kind of fact, those of its name when the index does not know it."""
    known = BY_KIND.get(kind)
    return known.title if known else kind.removeprefix(PREFIX).replace("_", " ").capitalize()


def in_use() -> list[FactUse]:
    """List every kind of fact with what the books have of it (two queries); kinds that nobody described come last."""
    counts = dict(JournalEntry.objects.order_by().values_list("kind").annotate(count=Count("pk")))
    moved: dict[str, list[Account]] = {}
    for kind, account in Posting.objects.order_by().values_list("entry__kind", "account").distinct():
        moved.setdefault(kind, []).append(chart.BY_CODE[account])
    order = list(chart.ACCOUNTS)
    known = [
        *BY_KIND.items(),
        *((kind, _undescribed(kind)) for kind in sorted(counts.keys() - BY_KIND.keys())),
    ]
    return [
        FactUse(fact, counts.get(kind, 0), tuple(sorted(moved.get(kind, fact.accounts), key=order.index)))
        for kind, fact in known
    ]


def _undescribed(kind: str) -> FactKind:
    return FactKind(kind.removeprefix(PREFIX), title_of(kind), "", "", ())
