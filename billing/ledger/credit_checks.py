"""Credit notes against the invoices that they take from and the books that they are posted in."""

from collections.abc import Iterator
from typing import Any

from django.db.models import F, OuterRef, Q, QuerySet, Subquery, Sum
from django.db.models.functions import Coalesce

from billing.ledger import chart
from billing.models import CreditNote, Invoice, InvoiceLine, Posting

ISSUED = Q(credit_notes__state=CreditNote.State.ISSUED)


def differing(*, limit: int) -> Iterator[tuple[str, list[str]]]:
    """Yield each comparison in words with what differs, at most so many each."""
    yield "credit notes that are not in the books as they are", _named(_wrongly_posted(), limit)
    yield "invoices of which more was given back than they say", _named(_overdrawn(), limit)
    yield "credited invoices whose lines were not given back in full", _named(_unmirrored(), limit)


def _named(rows: QuerySet[Any], limit: int) -> list[str]:
    return [str(one) for one in rows[:limit]]


def _posted(*accounts: chart.Account) -> Coalesce:
    rows = Posting.objects.filter(
        entry__credit_note=OuterRef("pk"), account__in=[account.code for account in accounts]
    )
    summed = rows.order_by().values("entry__credit_note").annotate(total=Sum("amount_minor"))
    return Coalesce(Subquery(summed.values("total")), 0)


def _wrongly_posted() -> QuerySet[CreditNote]:
    notes = CreditNote.objects.filter(state=CreditNote.State.ISSUED).annotate(
        given_back=_posted(chart.RECEIVABLE, chart.COST_CENTER_CHARGE),
        tax_back=_posted(chart.TAX_PAYABLE),
        shared_back=_posted(chart.CREATOR_PAYABLE, chart.PLATFORM_REVENUE),
    )
    return notes.exclude(
        given_back=-F("total_minor"), tax_back=F("tax_minor"), shared_back=F("net_minor")
    ).order_by("number")


def _credited() -> Any:
    return (
        Invoice.objects.filter(ISSUED)
        .annotate(credited=Sum("credit_notes__total_minor", filter=ISSUED))
        .order_by("number")
    )


def _overdrawn() -> QuerySet[Any]:
    return _credited().filter(credited__gt=F("total_minor"))


def _unmirrored() -> QuerySet[InvoiceLine]:
    """Find lines of wholly credited invoices that have something left: net, tax or the creator's part."""
    issued = Q(credits__credit_note__state=CreditNote.State.ISSUED)
    sums = {
        name: Coalesce(Sum(f"credits__{name}_minor", filter=issued), 0) for name in ("net", "tax", "creator")
    }
    whole = _credited().filter(credited=F("total_minor")).values("pk")
    lines = InvoiceLine.objects.filter(invoice__in=whole).annotate(**sums)
    left = ~Q(net=F("amount_minor")) | ~Q(tax=F("tax_minor")) | ~Q(creator=F("creator_minor"))
    return lines.filter(left).order_by("pk")
