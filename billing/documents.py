"""Invoices, statements and credit notes as PDF. The same document gives the same bytes, today and in ten years.

What can be invoiced electronically has its data inside, by EN 16931, so that one file serves people and programs.
"""

import json
from collections.abc import Sequence
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

import font_source_sans_pro
import typst

from billing import document_words as words
from billing.einvoice import facturx, obstacles, reasons
from billing.einvoice.cii import to_cii
from billing.einvoice.document import Document, Line, NotFinalized, of_invoice
from billing.invoicing import is_posted
from billing.models import Invoice

__all__ = ["NotFinalized", "invoice_pdf", "set_document", "typeset"]
_TEMPLATE = Path(__file__).resolve().parents[1] / "templates" / "billing" / "invoice.typ"
_FONTS = Path(font_source_sans_pro.__file__).parent / "files"


def invoice_pdf(invoice: Invoice) -> bytes:
    """Set an issued invoice or statement as PDF/A-3. Raises NotFinalized.

    Everything printed comes from rows that can no longer change, and the document's date is that of issue.
    """
    document = of_invoice(invoice)
    assert invoice.issued_at is not None
    note = "" if is_posted(invoice) else document.say("for_reading")
    is_electronic = not obstacles.of_invoice(invoice)
    return set_document(document, at=invoice.issued_at, note=note, is_electronic=is_electronic)


def set_document(document: Document, *, at: datetime, note: str, is_electronic: bool) -> bytes:
    """Set a document as PDF/A-3, with its data inside when it can be read electronically."""
    data = to_cii(document).decode() if is_electronic else ""
    return typeset(printed(document, note=note), at=at, data=data)


@cache
def _compiler() -> Any:
    """Read fonts and template once a process."""
    return typst.Compiler(str(_TEMPLATE), font_paths=[str(_FONTS)], ignore_system_fonts=True)


def typeset(texts: dict[str, Any], *, at: datetime, data: str = "") -> bytes:
    """Set texts that are ready to print as PDF/A-3; ``at`` is the date inside, so the same texts give the same bytes.

    ``data`` is XML of Factur-X to be carried inside.
    """
    pdf: bytes = _compiler().compile(
        sys_inputs={"invoice": json.dumps(texts), "data": data},
        pdf_standards=["a-3b"],
        timestamp=int(at.timestamp()),
    )
    return facturx.declare(pdf) if data else pdf


def printed(document: Document, *, note: str) -> dict[str, Any]:
    """Give every text of a document, in its language and in the order of the page."""
    say = document.say
    kind = "credit_note" if document.is_credit else document.kind
    heading = say(kind)
    return {
        "language": document.language,
        "title": f"{heading} {document.number}",
        "heading": heading,
        "number": document.number,
        "headline": _headline(document),
        "issuer": document.issuer,
        "sender": _sender(document),
        "to_label": say("to_statement" if document.mode else f"to_{kind}"),
        "to": list(document.buyer_lines),
        "facts": _facts(document),
        "note": note,
        "columns": [say(word) for word in ("description", "quantity", "tax", "amount")],
        "with_tax": bool(document.rates) and any(rate.tax_minor for rate in document.rates),
        "carried": say("carried"),
        "lines": _lines(document),
        "totals": _totals(document),
        "total_label": say(_TOTALS.get(kind, "total")),
        "total": document.money(document.due_minor),
        "notes": _notes(document),
        "rounding": say("parts" if document.kind == "credit_note" else "rounding"),
        "footer": _footer(document),
        "page": say("page", page="{page}", pages="{pages}"),
    }


_TOTALS = {"invoice": "total_due", "credit_note": "given_back"}


def _headline(document: Document) -> str:
    total = document.money(document.due_minor)
    if document.is_credit:
        return document.say("amount_back", total=total)
    if document.due and document.due_minor > 0:
        return document.say("amount_due", total=total, day=document.day(document.due))
    return ""


def _sender(document: Document) -> str:
    seller = document.seller
    place = " ".join(part for part in (seller.get("postal_code"), seller.get("city")) if part)
    return " · ".join(part for part in (seller["name"], seller.get("street"), place) if part)


def _facts(document: Document) -> list[tuple[str, str]]:
    say = document.say
    facts = [(say("number"), document.number), (say("issued"), document.day(document.issued))]
    if document.due:
        facts.append((say("due"), document.day(document.due)))
    for number, issued in document.preceding[:3]:
        facts.append((say("for_invoice"), say("of_day", number=number, day=document.day(issued))))
    first, last = (words.short_day(day, document.language) for day in (document.first_day, document.last_day))
    facts.append((say("period"), say("days", first=first, last=last)))
    others = (
        ("order", document.purchase_order),
        ("reference", document.buyer_reference),
        ("your_vat_id", document.buyer.get("vat_id", "")),
        ("mode", document.mode),
    )
    return facts + [(say(word), value) for word, value in others if value]


def _lines(document: Document) -> list[dict[str, str]]:
    found, sum_minor = [], 0
    for line in document.lines:
        sum_minor += line.amount_minor
        found.append(
            {
                "position": str(line.position),
                "description": line.name,
                "service": _service(line, document),
                "quantity": line.quantity,
                "tax": f"{words.number(line.percent, document.language)} %",
                "amount": document.money(line.amount_minor),
                "sum": document.money(sum_minor),
            }
        )
    return found


def _service(line: Line, document: Document) -> str:
    first, last = (words.short_day(day, document.language) for day in (line.first_day, line.last_day))
    return document.say("days", first=first, last=last)


def _totals(document: Document) -> list[tuple[str, str]]:
    totals = [(document.say("subtotal"), document.money(document.net_minor))]
    for rate in document.rates:
        if rate.percent:
            base = document.money(rate.base_minor)
            percent = words.number(rate.percent, document.language)
            totals.append(
                (document.say("tax_on", percent=percent, base=base), document.money(rate.tax_minor))
            )
    if document.prepaid_minor:
        totals.append((document.say("before_credit"), document.money(document.total_minor)))
        totals.append((document.say("prepaid"), document.money(-document.prepaid_minor)))
    return totals


def _notes(document: Document) -> list[str]:
    """Give the sentences below the total: why no tax is charged, and how to pay."""
    notes = [document.note] if document.note else []
    has_tax_number = bool(document.seller.get("vat_id"))
    codes = dict.fromkeys(rate.tax_code for rate in document.rates) if has_tax_number else ()
    notes += [words_ for code in codes if (words_ := reasons.reason(code, document))]
    if document.due and document.due_minor > 0:
        total, day = document.money(document.due_minor), document.day(document.due)
        notes.append(document.say("pay", total=total, day=day, number=document.number))
    elif document.is_credit:
        notes.append(reasons.terms(document))
    return notes


def _footer(document: Document) -> list[str]:
    """Give the three blocks at the foot of each page: who, where the money goes, numbers."""
    seller = document.seller
    place = " ".join(part for part in (seller.get("postal_code"), seller.get("city")) if part)
    labeled = (
        ("vat_number", "vat_id"),
        ("tax_number", "tax_number"),
        ("register", "registration"),
    )
    blocks: Sequence[Sequence[str]] = (
        [seller["name"], seller.get("street", ""), place],
        [seller.get("bank_name", ""), _grouped(seller.get("iban", "")), seller.get("bic", "")],
        [f"{document.say(word)} {seller[field]}" for word, field in labeled if seller.get(field)],
        [seller.get("email", ""), seller.get("phone", "")],
    )
    found = ["\n".join(line for line in block if line) for block in blocks]
    return [block for block in found if block]


def _grouped(iban: str) -> str:
    return " ".join(iban[place : place + 4] for place in range(0, len(iban), 4))
