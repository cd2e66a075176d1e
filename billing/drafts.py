"""What finance does to a draft: a line more, a line less, held back, let go. The draft shows it at once."""

from datetime import datetime
from typing import Any

from django.db import transaction

from billing import added_lines, monthly_run, parking
from billing.models import AddedLine, Invoice, ParkedBill
from billing.terms import Terms
from marketplace.core.errors import Conflict


def add_line(
    draft: Invoice,
    *,
    description: str,
    amount_minor: int,
    reason: str,
    request_key: str,
    terms: Terms,
    at: datetime,
    by: Any,
) -> AddedLine:
    """Add a line and work the draft out anew. Raises InvalidInput, DraftIsFinal."""
    with transaction.atomic():
        line = added_lines.add(
            draft,
            description=description,
            amount_minor=amount_minor,
            reason=reason,
            request_key=request_key,
            at=at,
            by=by,
        )
        monthly_run.redraft(draft, terms=terms, at=at)
    return line


def remove_line(draft: Invoice, *, line_id: int, terms: Terms, at: datetime, by: Any) -> None:
    """Take an added line off and work the draft out anew. Raises DraftIsFinal, Conflict when it has no such line."""
    with transaction.atomic():
        found = [line for line in added_lines.of_draft(draft) if line.pk == line_id]
        if not found:
            raise Conflict("The draft has no such line (any more).", code="no_such_line")
        added_lines.remove(found[0], invoice=draft, at=at, by=by)
        monthly_run.redraft(draft, terms=terms, at=at)


def held(draft: Invoice) -> ParkedBill | None:
    """Give what holds a draft back, if anything does."""
    return parking.parked(draft.period_id).filter(**parking.OfPayer.of(draft).columns()).first()
