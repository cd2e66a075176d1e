"""Lines that finance adds to a draft by hand, and takes away again while it is a draft."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

from django.db import transaction

from billing.bill_lines import BillLine, extra_line
from billing.billable import Payer
from billing.models import AddedLine, BillingPeriod, Invoice, InvoiceLine
from marketplace.core import audit
from marketplace.core.errors import Conflict, InvalidInput
from marketplace.core.money import format_money, from_minor, to_text
from marketplace.core.periods import Period

MOST_MINOR = 10**15


class DraftIsFinal(Conflict):
    """Only a draft can be changed; what is finalized is corrected by a credit note."""

    code = "draft_is_final"

    def __init__(self, invoice: Invoice) -> None:
        self.invoice = invoice
        super().__init__(f"{invoice} is no draft any more; give back what is wrong by a credit note.")


def add(
    invoice: Invoice,
    *,
    description: str,
    amount_minor: int,
    reason: str,
    request_key: str,
    at: datetime,
    by: Any,
) -> AddedLine:
    """Add a line to a draft, or return the one that this request added; the draft shows it when it is redrafted.

    Raises InvalidInput for what is empty or zero, DraftIsFinal.
    """
    _check(description, amount_minor, reason)
    with transaction.atomic():
        require_draft(invoice)
        line, is_new = AddedLine.objects.get_or_create(
            request_key=request_key,
            defaults={
                "period_id": invoice.period_id,
                "organization_id": invoice.organization_id,
                "cost_center_id": invoice.cost_center_id,
                "currency": invoice.currency,
                "description": description.strip(),
                "amount_minor": amount_minor,
                "reason": reason.strip(),
                "added_by": by,
                "added_at": at,
            },
        )
        if is_new:
            told = {"line": line.description, "amount": format_money(amount_minor, invoice.currency)}
            audit.record(
                "billing.draft.line_added", subject=invoice, at=at, by=by, new=told, reason=line.reason
            )
    return line


def remove(line: AddedLine, *, invoice: Invoice, at: datetime, by: Any) -> None:
    """Take an added line away; a second call changes nothing. Raises DraftIsFinal."""
    with transaction.atomic():
        require_draft(invoice)
        if AddedLine.objects.filter(pk=line.pk, removed_at=None).update(removed_at=at):
            told = {"line": line.description, "amount": format_money(line.amount_minor, line.currency)}
            audit.record("billing.draft.line_removed", subject=invoice, at=at, by=by, old=told)


def of_draft(invoice: Invoice) -> list[AddedLine]:
    """List the added lines of a draft, in the order in which they stand on it."""
    found = AddedLine.objects.filter(
        period=invoice.period_id,
        organization=invoice.organization_id,
        cost_center=invoice.cost_center_id,
        currency=invoice.currency,
        removed_at=None,
    )
    return list(found.select_related("added_by").order_by("pk"))


def lines_by_payer(
    month: Period, organizations: Collection[int] | None, lines: Mapping[Payer, Sequence[BillLine]]
) -> dict[Payer, list[BillLine]]:
    """Give the added lines of a month by payer (one query)."""
    added = AddedLine.objects.filter(period=month.name, removed_at=None)
    if organizations is not None:
        added = added.filter(organization__in=organizations)
    found: dict[Payer, list[BillLine]] = defaultdict(list)
    for one in added.order_by("pk"):
        payer = Payer(one.organization_id, one.cost_center_id, one.currency)
        found[payer].append(_bill_line(one, month))
    return found


def require_draft(invoice: Invoice) -> None:
    """Lock a bill's month and see that the bill is a draft still: the run that finalizes takes the same lock."""
    BillingPeriod.objects.select_for_update().get(pk=invoice.period_id)
    if not Invoice.objects.filter(pk=invoice.pk, state=Invoice.State.DRAFT).exists():
        invoice.refresh_from_db()
        raise DraftIsFinal(invoice)


def _check(description: str, amount_minor: int, reason: str) -> None:
    if not description.strip():
        raise InvalidInput("description", "is what the payer reads, so it cannot be empty", code="required")
    if not reason.strip():
        raise InvalidInput("reason", "is what the audit trail keeps, so it cannot be empty", code="required")
    if not amount_minor or abs(amount_minor) > MOST_MINOR:
        raise InvalidInput("amount", "must be an amount other than zero", limit=MOST_MINOR)


def _bill_line(added: AddedLine, month: Period) -> BillLine:
    amount = to_text(from_minor(added.amount_minor, added.currency))
    return extra_line(
        kind=InvoiceLine.Kind.MANUAL,
        code="manual",
        description=added.description,
        amount_minor=added.amount_minor,
        currency=added.currency,
        service=month,
        explanation=({"label": "added by finance", "amount": amount},),
    )
