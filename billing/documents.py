"""Invoices and statements as PDF. The same invoice gives the same bytes, today and in ten years."""

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import font_source_sans_pro
import typst

from billing.invoicing import is_posted
from billing.models import Invoice, InvoiceLine
from billing.queries import lines
from marketplace.core.errors import Conflict
from marketplace.core.money import format_money, to_text

_TEMPLATE = Path(__file__).resolve().parents[1] / "templates" / "billing" / "invoice.typ"
_FONTS = Path(font_source_sans_pro.__file__).parent / "files"
_ROUNDING = "Each line is rounded once, half away from zero; totals are sums of rounded lines. Times are UTC."
_FOR_READING = "For your information: nothing is charged. This is what the month would have cost."


class NotFinalized(Conflict):
    """A draft may still change, so there is no document of it."""

    code = "not_finalized"

    def __init__(self, kind: str = "invoice") -> None:
        self.kind = kind
        super().__init__(f"This {kind} may still change; its PDF exists once it is issued.")


def invoice_pdf(invoice: Invoice) -> bytes:
    """Set an issued invoice or statement as PDF/A-3. Raises NotFinalized.

    Everything printed comes from rows that can no longer change, and the document's date is that of issue.
    """
    if invoice.state == Invoice.State.DRAFT or invoice.issued_at is None:
        raise NotFinalized
    return typeset(_document(invoice), at=invoice.issued_at)


def typeset(document: dict[str, Any], *, at: datetime) -> bytes:
    """Set texts that are ready to print as PDF/A-3; ``at`` is the date inside, so the same texts give the same bytes."""
    pdf: bytes = typst.compile(  # type: ignore[misc]  # a free type variable in its stub
        _TEMPLATE,
        sys_inputs={"invoice": json.dumps(document)},
        font_paths=[str(_FONTS)],
        ignore_system_fonts=True,
        pdf_standards=["a-3b"],
        timestamp=int(at.timestamp()),
    )
    return pdf


def _document(invoice: Invoice) -> dict[str, Any]:
    words = {
        Invoice.Kind.INVOICE: ("Invoice", "Bill to"),
        Invoice.Kind.STATEMENT: ("Statement", "Cost center"),
    }
    heading, to_label = words[Invoice.Kind(invoice.kind)]
    totals = [("Subtotal", format_money(invoice.subtotal_minor, invoice.currency))]
    if invoice.tax_minor:
        totals.append(("Tax", format_money(invoice.tax_minor, invoice.currency)))
    return {
        "title": f"{heading} {invoice.number}",
        "heading": heading,
        "number": invoice.number,
        "issuer": invoice.payer.get("issuer", ""),
        "to_label": to_label,
        "to": addressee(invoice),
        "facts": _facts(invoice),
        "note": "" if is_posted(invoice) else _FOR_READING,
        "lines": [_line(line, invoice.currency) for line in lines(invoice)],
        "totals": totals,
        "total_label": "Total due" if invoice.kind == Invoice.Kind.INVOICE else "Total",
        "total": format_money(invoice.total_minor, invoice.currency),
        "rounding": _ROUNDING,
    }


def addressee(invoice: Invoice) -> list[str]:
    """Give the lines of the address as it was when the invoice was issued."""
    payer = invoice.payer
    center = " ".join(part for part in (payer.get("cost_center"), payer.get("cost_center_name")) if part)
    vat = f"VAT {payer['vat_id']}" if payer.get("vat_id") else ""
    found = [center, payer.get("name", ""), *str(payer.get("address", "")).splitlines(), vat]
    return [line for line in found if line]


def _facts(invoice: Invoice) -> list[tuple[str, str]]:
    facts = [("Period", invoice.period_id), ("Issued", f"{invoice.issued_at:%d %B %Y}")]
    if invoice.due_at:
        facts.append(("Due", f"{invoice.due_at:%d %B %Y}"))
    if invoice.mode:
        facts.append(("Mode", invoice.mode))
    return [*facts, ("Currency", invoice.currency)]


def _line(line: InvoiceLine, currency: str) -> dict[str, str]:
    return {
        "description": line.description,
        "service": service_days(line),
        "quantity": quantity_text(line, currency),
        "amount": format_money(line.amount_minor, currency),
    }


def service_days(line: InvoiceLine) -> str:
    """Write the days a line is for, the last one included where the stored end is excluded."""
    return f"{line.service_starts_at:%d %b %Y} until {line.service_ends_at:%d %b %Y}, end excluded"


def quantity_text(line: InvoiceLine, currency: str) -> str:
    """Write what was counted: calls as a number, cost as an amount of its currency, a fee as nothing."""
    charge = line.code.split(":")[0]
    if ":" in line.code or charge not in ("calls", "cost"):
        return ""
    quantity = to_text(line.quantity)
    return f"{currency} {quantity}" if charge == "cost" else f"{int(line.quantity):,}"
