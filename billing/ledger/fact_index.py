"""Which fact posts what: every kind of entry there may be, as data. A test holds the journal against it."""

from dataclasses import dataclass

from billing.ledger.chart import (
    BANK,
    COST_CENTER_CHARGE,
    CREATOR_PAYABLE,
    MODEL_COST,
    PLATFORM_REVENUE,
    PROVIDER_ACCRUAL,
    RECEIVABLE,
    TAX_PAYABLE,
    Account,
)


@dataclass(frozen=True)
class FactKind:
    """One kind of fact: when it is posted, the key that keeps it from being posted twice, and what it moves."""

    kind: str
    title: str
    when: str
    key: str
    debits: tuple[Account, ...]
    credits: tuple[Account, ...]


SPLIT = (CREATOR_PAYABLE, PLATFORM_REVENUE, TAX_PAYABLE)
FACTS: tuple[FactKind, ...] = (
    FactKind("billing.invoice", "Invoice", "An invoice is finalized", "invoice:ID", (RECEIVABLE,), SPLIT),
    FactKind(
        "billing.statement",
        "Statement",
        "A statement of a cost center in chargeback is finalized",
        "invoice:ID",
        (COST_CENTER_CHARGE,),
        SPLIT,
    ),
    FactKind(
        "billing.credit_note",
        "Credit note",
        "A credit note is issued",
        "credit-note:ID",
        SPLIT,
        (RECEIVABLE, COST_CENTER_CHARGE),
    ),
    FactKind("billing.payment", "Payment", "Money came in", "payment:ID", (BANK,), (RECEIVABLE,)),
    FactKind(
        "billing.provider_cost",
        "Cost of models",
        "A month is closed",
        "provider-cost:MONTH",
        (MODEL_COST,),
        (PROVIDER_ACCRUAL,),
    ),
)
BY_KIND: dict[str, FactKind] = {one.kind: one for one in FACTS}


def title_of(kind: str) -> str:
    """Give the words for a kind of fact; those of its name when another part posts it."""
    known = BY_KIND.get(kind)
    return known.title if known else kind.rpartition(".")[2].replace("_", " ").capitalize()
