"""What became of bills after they were issued: one was wrong in part, and more is to be given back."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

from billing import credit_notes
from billing.credit_asks import Ask
from billing.models import Invoice
from billing.terms import Terms
from marketplace.accounts.access import actor_for
from marketplace.config.demo.people import Cast
from marketplace.config.demo.timeline import Timeline

SECOND_OF_FINANCE = "ines.moreau@demo.example"


def tell(cast: Cast, timeline: Timeline, *, terms: Terms) -> None:
    """Give back a part of one statement, and ask for a second person's word on another one."""
    big = Invoice.objects.filter(kind="statement", mode="chargeback").order_by("-total_minor", "number")
    for place, invoice in enumerate(big[:2]):
        _give_back(invoice, cast, timeline, terms=terms, is_small=not place)


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
