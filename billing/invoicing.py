"""From bills to invoices and statements: built as drafts, then numbered, finalized and posted, a payer at a time."""

from datetime import datetime
from decimal import ROUND_DOWN, Decimal
from typing import Any

from django.db import transaction

from billing import document_mails, owners, parties, wallet_spending
from billing.drafting import Bill, BillLine
from billing.ledger import chart, journal
from billing.ledger.journal import Fact, Leg
from billing.models import BillingPeriod, Invoice, InvoiceLine
from billing.parties import Register
from billing.payments.automatic import request_collection
from billing.terms import Terms
from marketplace.accounts.models import CostCenter
from marketplace.core.money import MAX_DECIMALS, exact
from marketplace.core.numbering import next_number
from marketplace.core.transitions import move

PREFIXES = {Invoice.Kind.INVOICE: "INV", Invoice.Kind.STATEMENT: "ST"}
_CUT = Decimal(1).scaleb(-MAX_DECIMALS)


def draft(
    bill: Bill, *, period: BillingPeriod, terms: Terms, at: datetime, register: Register | None = None
) -> Invoice:
    """Write one bill down as a draft with its lines. Raises as `build` does."""
    invoice, lines = build(bill, period=period, terms=terms, at=at, register=register)
    invoice.save(force_insert=True)
    InvoiceLine.objects.bulk_create(lines, batch_size=1_000)
    return invoice


def build(
    bill: Bill, *, period: BillingPeriod, terms: Terms, at: datetime, register: Register | None = None
) -> tuple[Invoice, list[InvoiceLine]]:
    """Make a draft and its lines, unsaved, with parties and tax. Totals are sums of rounded lines. Raises NoTaxRate.

    Whoever builds many reads the register once.
    """
    invoice = Invoice(
        kind=bill.kind,
        period=period,
        organization=bill.organization,
        cost_center=bill.cost_center,
        mode=bill.mode,
        currency=bill.currency,
        subtotal_minor=bill.subtotal_minor,
        tax_minor=0,
        total_minor=bill.subtotal_minor,
        created_at=at,
    )
    lines = [_line(invoice, place, line) for place, line in enumerate(bill.lines, start=1)]
    register = register or parties.read(at=at, terms=terms, organizations=[bill.organization.pk])
    parties.put_on(invoice, lines, terms=terms, register=register)
    return invoice, lines


def _line(invoice: Invoice, position: int, line: BillLine) -> InvoiceLine:
    priced = line.priced
    return InvoiceLine(
        invoice=invoice,
        position=position,
        kind=line.kind,
        code=priced.code,
        description=line.description,
        app_id=line.app_id,
        subscription_id=line.subscription_id,
        plan_id=line.plan_id,
        service_starts_at=line.service.starts_at,
        service_ends_at=line.service.ends_at,
        is_correction=line.is_correction,
        quantity=cut(priced.quantity),
        amount=cut(priced.amount),
        amount_minor=priced.amount_minor,
        platform_cost=priced.platform_cost,
        creator_minor=priced.creator_minor,
        platform_minor=priced.platform_minor,
        explanation=list(priced.explanation),
    )


def cut(amount: Decimal) -> Decimal:
    """Cut an unrounded amount to the 18 decimals that are stored; what counts was rounded before."""
    with exact():
        return amount.quantize(_CUT, rounding=ROUND_DOWN)


def finalize(
    invoice: Invoice, *, terms: Terms, at: datetime, by: Any = None, register: Register | None = None
) -> None:
    """Freeze parties and tax of a draft, give it its number and post it; from now on nothing on it changes.

    The number is taken in this transaction: a rollback gives it back, so there are no gaps.
    """
    with transaction.atomic():
        is_invoice = invoice.kind == Invoice.Kind.INVOICE
        parties.freeze(invoice, terms=terms, at=at, register=register)
        move(
            invoice,
            Invoice.TRANSITIONS,
            to=Invoice.State.FINALIZED,
            action="billing.invoice.finalized",
            at=at,
            by=by,
            changes={
                "number": _number(invoice, at),
                "issued_at": at,
                "due_at": at + parties.due_after(invoice, terms=terms) if is_invoice else None,
            },
        )
        if is_posted(invoice):
            journal.post(_fact(invoice), at=at)
        wallet_spending.pay(invoice, at=at, by=by)
        request_collection(invoice, at=at)
        document_mails.send_issued(invoice, at=at)


def is_posted(invoice: Invoice) -> bool:
    """Tell whether the books take it: showback and parallel statements are for reading only."""
    return invoice.kind == Invoice.Kind.INVOICE or invoice.mode == CostCenter.Mode.CHARGEBACK


def _number(invoice: Invoice, at: datetime) -> str:
    prefix = parties.number_prefix(invoice) + PREFIXES[Invoice.Kind(invoice.kind)]
    return f"{prefix}-{at.year}-{next_number(series(prefix, at.year)):06d}"


def series(prefix: str, year: int) -> str:
    """Name the series that numbers are taken from: one per legal entity, kind and year.

    The prefix begins with that of the entity; when an entity changes its name, its numbers go on.
    """
    return f"{prefix}:{year}"


def _fact(invoice: Invoice) -> Fact:
    """Debit who pays; credit creators by app and the team of its time, the platform by app, and tax."""
    account = chart.COST_CENTER_CHARGE if invoice.cost_center_id else chart.RECEIVABLE
    legs = [_leg(invoice, account, invoice.total_minor), _leg(invoice, chart.TAX_PAYABLE, -invoice.tax_minor)]
    for (owned_id, team_id), creator_minor in owners.creator_parts(invoice).items():
        legs.append(_app_leg(invoice, chart.CREATOR_PAYABLE, -creator_minor, owned_id, team_id))
    for app_id, platform_minor in _platform_parts(invoice).items():
        legs.append(_app_leg(invoice, chart.PLATFORM_REVENUE, -platform_minor, app_id, None))
    return Fact(
        key=f"invoice:{invoice.pk}",
        kind=f"billing.{invoice.kind}",
        memo=f"{invoice.get_kind_display()} {invoice.number} for {invoice.payer['name']}",
        legs=legs,
        period=invoice.period,
        invoice=invoice,
    )


def _platform_parts(invoice: Invoice) -> dict[int | None, int]:
    parts: dict[int | None, int] = {}
    for app_id, platform_minor in invoice.lines.order_by("position").values_list("app_id", "platform_minor"):
        parts[app_id] = parts.get(app_id, 0) + platform_minor
    return parts


def _leg(invoice: Invoice, account: chart.Account, amount_minor: int) -> Leg:
    return Leg(
        account,
        amount_minor,
        invoice.currency,
        organization_id=invoice.organization_id,
        cost_center_id=invoice.cost_center_id,
    )


def _app_leg(
    invoice: Invoice, account: chart.Account, amount_minor: int, app_id: int | None, team_id: int | None
) -> Leg:
    return Leg(account, amount_minor, invoice.currency, app_id=app_id, team_id=team_id)
