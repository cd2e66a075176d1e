"""Credit notes and payments against the invoices that they belong to and the books that they are posted in."""

from collections.abc import Iterator
from typing import Any

from django.db.models import F, OuterRef, Q, QuerySet, Subquery, Sum
from django.db.models.functions import Coalesce

from billing.dues import with_due
from billing.ledger import chart
from billing.models import CreditNote, CustomerBalance, Invoice, InvoiceLine, Posting

ISSUED = Q(credit_notes__state=CreditNote.State.ISSUED)


def differing(*, limit: int) -> Iterator[tuple[str, list[str]]]:
    """Yield each comparison in words with what differs, at most so many each."""
    yield "credit notes that are not in the books as they are", _named(_wrongly_posted(), limit)
    yield "invoices of which more was given back than they say", _named(_overdrawn(), limit)
    yield "credited invoices whose lines were not given back in full", _named(_unmirrored(), limit)
    yield "invoices whose balance in the books is not what is due", _named(_wrongly_due(), limit)
    yield "balances of customers that are not what the books say", _wrong_balances()[:limit]


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


def _wrongly_due() -> Any:
    posted = Posting.objects.filter(entry__invoice=OuterRef("pk"), account=chart.RECEIVABLE.code)
    summed = posted.order_by().values("entry__invoice").annotate(total=Sum("amount_minor"))
    issued = Invoice.objects.filter(kind=Invoice.Kind.INVOICE)
    issued = issued.exclude(state=Invoice.State.DRAFT)
    found = with_due(issued).annotate(balance=Coalesce(Subquery(summed.values("total")), 0))
    return found.exclude(balance=F("due_minor")).order_by("number")


def _wrong_balances() -> list[str]:
    posted = Posting.objects.filter(account=chart.CUSTOMER_BALANCE.code)
    booked = {
        (row["organization"], row["currency"]): -int(row["total"])
        for row in posted.values("organization", "currency").annotate(total=Sum("amount_minor")).order_by()
    }
    kept = {
        (one.organization_id, one.currency): one.balance_minor
        for one in CustomerBalance.objects.order_by("organization", "currency")
    }
    return [
        f"organization {key[0]}: {kept.get(key, 0)} kept, {booked.get(key, 0)} {key[1]} posted"
        for key in sorted(kept.keys() | booked.keys())
        if kept.get(key, 0) != booked.get(key, 0)
    ]


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
