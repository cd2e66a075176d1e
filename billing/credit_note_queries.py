"""Answers about credit notes: who sees which, and their lines as a page or file shows them."""

from django.db.models import Q, QuerySet, Sum

from billing import queries
from billing.crediting import Amounts, Creditable
from billing.models import CreditNote, CreditNoteLine, Invoice
from marketplace.accounts.access import Actor, Role

ISSUED = Q(state=CreditNote.State.ISSUED)


def credit_notes(actor: Actor) -> QuerySet[CreditNote]:
    """Issued credit notes of the invoices that a person may see; finance of the marketplace sees proposals, too."""
    found = CreditNote.objects.select_related(
        "invoice__organization", "invoice__cost_center", "invoice__period", "proposed_by", "decided_by"
    )
    if actor.is_platform(Role.FINANCE):
        return found
    return found.filter(ISSUED, invoice__in=queries.invoices(actor).order_by().values("pk"))


def of_invoice(invoice: Invoice, *, actor: Actor) -> QuerySet[CreditNote]:
    """Credit notes of one invoice, newest first, as far as the person may see them."""
    return credit_notes(actor).filter(invoice=invoice).order_by("-proposed_at", "-pk")


def lines(note: CreditNote) -> QuerySet[CreditNoteLine]:
    """Lines of an issued note in the order of its invoice (one query)."""
    return note.lines.select_related("line__app").order_by("line__position")


def credited_minor(notes: list[CreditNote]) -> int:
    """Sum what issued notes gave back."""
    return sum(note.total_minor for note in notes if note.state == CreditNote.State.ISSUED)


def creditable(invoice: Invoice) -> list[Creditable]:
    """Read what is left of each line of an invoice (two queries)."""
    taken: dict[int, Amounts] = {
        row["line"]: Amounts(row["net"], row["tax"], row["creator"])
        for row in CreditNoteLine.objects.filter(credit_note__invoice=invoice, credit_note__state="issued")
        .values("line")
        .annotate(net=Sum("net_minor"), tax=Sum("tax_minor"), creator=Sum("creator_minor"))
        .order_by()
    }
    return [
        Creditable(
            line.position,
            Amounts(line.amount_minor, line.tax_minor, line.creator_minor),
            taken.get(line.pk, Amounts()),
        )
        for line in invoice.lines.order_by("position")
    ]
