"""Credit notes as PDF: the same sheet as invoices, and the same bytes every time."""

from typing import Any

from billing import credit_note_queries
from billing.documents import NotFinalized, addressee, service_days, typeset
from billing.models import CreditNote, CreditNoteLine
from marketplace.core.money import format_money


def credit_note_pdf(note: CreditNote) -> bytes:
    """Set an issued credit note as PDF/A-3; everything printed comes from rows that can no longer change.

    Raises NotFinalized for a proposal.
    """
    if note.issued_at is None:
        raise NotFinalized("credit note")
    return typeset(_document(note), at=note.issued_at)


def _document(note: CreditNote) -> dict[str, Any]:
    invoice, currency = note.invoice, note.invoice.currency
    assert note.issued_at is not None and invoice.issued_at is not None
    totals = [("Subtotal", format_money(note.net_minor, currency))]
    if note.tax_minor:
        totals.append(("Tax", format_money(note.tax_minor, currency)))
    return {
        "title": f"Credit note {note.number}",
        "heading": "Credit note",
        "number": note.number,
        "issuer": invoice.payer.get("issuer", ""),
        "to_label": "Credit to" if not invoice.cost_center_id else "Cost center",
        "to": addressee(invoice),
        "facts": [
            ("For", invoice.number),
            ("of", f"{invoice.issued_at:%d %B %Y}"),
            ("Period", invoice.period_id),
            ("Issued", f"{note.issued_at:%d %B %Y}"),
            ("Currency", currency),
        ],
        "note": note.reason,
        "lines": [_line(line, currency) for line in credit_note_queries.lines(note)],
        "totals": totals,
        "total_label": "Given back",
        "total": format_money(note.total_minor, currency),
        "rounding": "Amounts are parts of the lines of the invoice; all credit notes of an invoice together never exceed it.",
    }


def _line(part: CreditNoteLine, currency: str) -> dict[str, str]:
    return {
        "description": part.line.description,
        "service": service_days(part.line),
        "quantity": f"line {part.line.position}",
        "amount": format_money(part.net_minor, currency),
    }
