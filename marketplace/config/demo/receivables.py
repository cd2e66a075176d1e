"""What became of bills after they were issued: paid in part, overdue, given back in part, more to be given back."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

from billing import credit_notes, settling
from billing.credit_asks import Ask
from billing.models import Invoice
from billing.terms import Terms
from marketplace.accounts.access import actor_for
from marketplace.config.demo.people import Cast
from marketplace.config.demo.timeline import Timeline

SECOND_OF_FINANCE = "ines.moreau@demo.example"


def tell(cast: Cast, timeline: Timeline, *, terms: Terms) -> None:
    """Give back a part of one statement, ask for a second person's word on another one, take a payment in part."""
    big = Invoice.objects.filter(kind="statement", mode="chargeback").order_by("-total_minor", "number")
    for place, invoice in enumerate(big[:2]):
        _give_back(invoice, cast, timeline, terms=terms, is_small=not place)
    _pay(cast, timeline)
    settling.mark_overdue(at=timeline.at)


def _give_back(invoice: Invoice, cast: Cast, timeline: Timeline, *, terms: Terms, is_small: bool) -> None:
    assert invoice.issued_at is not None  # the months of the story are closed
    line = invoice.lines.order_by("-amount_minor", "position")[0]
    credit_notes.propose(
        invoice,
        ask=Ask(lines={line.position: min(line.amount_minor, 1_250) if is_small else None}),
        reason="Two retries of one call were counted."
        if is_small
        else "The team was moved on the 1st; this belongs to another cost center.",
        by=actor_for(cast.person("finance") if is_small else cast.people[SECOND_OF_FINANCE]),
        at=min(invoice.issued_at + timedelta(days=3), timeline.at),
        # The one that waits does so however little the month came to.
        terms=terms if is_small else replace(terms, credit_alone_up_to=Decimal(0)),
    )


def _pay(cast: Cast, timeline: Timeline) -> None:
    """Let half of the oldest invoice come in; the rest of it becomes overdue when its day has passed."""
    invoice = Invoice.objects.filter(kind="invoice", total_minor__gt=1).order_by("number").first()
    if invoice is None or invoice.issued_at is None:
        return
    at = min(invoice.issued_at + timedelta(days=20), timeline.at)
    settling.record_payment(
        invoice,
        amount_minor=invoice.total_minor // 2,
        reference="SEPA 4711 first half",
        received_date=at.date(),
        by=actor_for(cast.person("finance")),
        at=at,
    )
