"""What is due of an invoice: its total, less what was given back, paid and written off.

Triggers hold the same sums, see `billing.due_sql`.
"""

from dataclasses import dataclass
from typing import Any

from django.db.models import F, OuterRef, QuerySet, Subquery, Sum
from django.db.models.functions import Coalesce

from billing.models import BalanceEntry, CreditNote, Invoice, PaymentReversal, ReceivedPayment, WriteOff

State = Invoice.State
# What may still be paid; statements are settled inside of their organization.
OPEN_STATES = (State.FINALIZED, State.OVERDUE)


@dataclass(frozen=True)
class Due:
    """What an invoice came to so far, in minor units; below zero the payer is owed.

    `paid_minor` is what came in and did not go back again, with what was recovered after a write-off; `moved_minor`
    was paid, given back, and is in the customer's balance.
    """

    total_minor: int
    credited_minor: int
    paid_minor: int
    written_off_minor: int = 0
    recovered_minor: int = 0
    moved_minor: int = 0

    @property
    def minor(self) -> int:
        return (
            self.total_minor
            - self.credited_minor
            - self.paid_minor
            - self.written_off_minor
            + self.recovered_minor
            + self.moved_minor
        )

    @property
    def lost_minor(self) -> int:
        """What was written off and has not been recovered."""
        return self.written_off_minor - self.recovered_minor


def due_of(invoice: Invoice) -> Due:
    """Read what is due of an invoice (one query)."""
    return as_read(with_due(Invoice.objects.filter(pk=invoice.pk)).get())


def as_read(found: Any) -> Due:
    """Give what is due of an invoice that came from ``with_due``."""
    return Due(
        found.total_minor,
        found.credited_minor,
        found.paid_minor,
        found.written_off_minor,
        found.recovered_minor,
        found.moved_minor,
    )


def with_due(invoices: QuerySet[Invoice]) -> Any:
    """Add `due_minor` and the amounts that `Due` has to each invoice, in the same query."""
    notes = CreditNote.objects.filter(invoice=OuterRef("pk"), state=CreditNote.State.ISSUED)
    paid = ReceivedPayment.objects.filter(invoice=OuterRef("pk"))
    back = PaymentReversal.objects.filter(invoice=OuterRef("pk"))
    lost = WriteOff.objects.filter(invoice=OuterRef("pk"), state=WriteOff.State.POSTED)
    moved = BalanceEntry.objects.filter(invoice=OuterRef("pk"), kind=BalanceEntry.Kind.SURPLUS)
    return invoices.annotate(
        credited_minor=_sum(notes, "total_minor"),
        paid_minor=_sum(paid, "amount_minor") - _sum(back, "amount_minor"),
        written_off_minor=_sum(lost, "amount_minor"),
        recovered_minor=_sum(paid.filter(is_recovery=True), "amount_minor")
        - _sum(back.filter(payment__is_recovery=True), "amount_minor"),
        moved_minor=_sum(moved, "amount_minor"),
    ).annotate(
        due_minor=F("total_minor")
        - F("credited_minor")
        - F("paid_minor")
        - F("written_off_minor")
        + F("recovered_minor")
        + F("moved_minor")
    )


def _sum(rows: QuerySet[Any], amount: str) -> Coalesce:
    summed = rows.order_by().values("invoice").annotate(total=Sum(amount))
    return Coalesce(Subquery(summed.values("total")), 0)


def is_payable(invoice: Invoice) -> bool:
    """Tell whether an invoice takes payments: it is issued, and not paid yet. What was written off may come in late."""
    return invoice.kind == Invoice.Kind.INVOICE and invoice.state in (*OPEN_STATES, State.WRITTEN_OFF)


def is_open(invoice: Invoice) -> bool:
    """Tell whether an invoice waits for money."""
    return invoice.kind == Invoice.Kind.INVOICE and invoice.state in OPEN_STATES
