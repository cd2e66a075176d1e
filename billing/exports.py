"""Files of invoices, their lines and the journal: the rows of the pages, amounts as exact decimals."""

from collections.abc import Iterable, Iterator
from decimal import Decimal

from billing.models import Invoice, InvoiceLine, Posting
from marketplace.core.csv import Cell, to_csv
from marketplace.core.money import from_minor, to_text

__all__ = [
    "INVOICE_COLUMNS", "JOURNAL_COLUMNS", "LINE_COLUMNS", "invoice_rows", "journal_rows", "line_rows", "to_csv",
]  # fmt: skip

INVOICE_COLUMNS = (
    "number", "kind", "state", "period", "organization", "cost_center", "mode", "currency", "subtotal", "tax",
    "total", "issued_at", "due_at",
)  # fmt: skip
LINE_COLUMNS = (
    "invoice", "position", "code", "description", "app", "plan", "subscription", "service_starts_at",
    "service_ends_at", "is_correction", "quantity", "unrounded_amount", "amount", "currency", "platform_cost",
    "creator_amount", "platform_amount",
)  # fmt: skip
JOURNAL_COLUMNS = (
    "entry", "external_id", "posted_at", "period", "kind", "memo", "invoice", "account", "organization",
    "cost_center", "team", "app", "currency", "debit", "credit",
)  # fmt: skip


def _plain(amount: Decimal) -> Decimal:
    """Drop the trailing zeros of an unrounded amount; money keeps those of its currency."""
    return Decimal(to_text(amount))


def invoice_rows(invoices: Iterable[Invoice]) -> Iterator[tuple[Cell, ...]]:
    """Give a row of INVOICE_COLUMNS for each invoice."""
    for one in invoices:
        yield (
            one.number,
            one.kind,
            one.state,
            one.period_id,
            one.organization.slug,
            one.cost_center.code if one.cost_center else None,
            one.mode or None,
            one.currency,
            from_minor(one.subtotal_minor, one.currency),
            from_minor(one.tax_minor, one.currency),
            from_minor(one.total_minor, one.currency),
            one.issued_at,
            one.due_at,
        )


def line_rows(lines: Iterable[InvoiceLine], *, invoice: Invoice) -> Iterator[tuple[Cell, ...]]:
    """Give a row of LINE_COLUMNS for each line of an invoice."""
    for line in lines:
        yield (
            invoice.number,
            line.position,
            line.code,
            line.description,
            line.app.slug if line.app else None,
            f"{line.plan.code}/{line.plan.number}" if line.plan else None,
            str(line.subscription_id) if line.subscription_id else None,
            line.service_starts_at,
            line.service_ends_at,
            "yes" if line.is_correction else "no",
            _plain(line.quantity),
            _plain(line.amount),
            from_minor(line.amount_minor, invoice.currency),
            invoice.currency,
            _plain(line.platform_cost),
            from_minor(line.creator_minor, invoice.currency),
            from_minor(line.platform_minor, invoice.currency),
        )


def journal_rows(postings: Iterable[Posting]) -> Iterator[tuple[Cell, ...]]:
    """Give a row of JOURNAL_COLUMNS for each posting; the external id is the same on every row of an entry."""
    for one in postings:
        entry = one.entry
        amount = from_minor(abs(one.amount_minor), one.currency)
        yield (
            str(entry.pk),
            entry.idempotency_key,
            entry.posted_at,
            entry.period_id,
            entry.kind,
            entry.memo,
            entry.invoice.number if entry.invoice else None,
            one.account,
            one.organization.slug if one.organization else None,
            one.cost_center.code if one.cost_center else None,
            one.team.slug if one.team else None,
            one.app.slug if one.app else None,
            one.currency,
            amount if one.amount_minor > 0 else None,
            amount if one.amount_minor < 0 else None,
        )
