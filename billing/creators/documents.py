"""Statements of creators and self-billed documents as PDF: the same rows give the same bytes."""

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import font_source_sans_pro
import typst

from billing.creators.accruing import Owed
from billing.creators.statements import WORDS, Statement, document_of
from billing.models import SelfBill
from marketplace.core.money import format_money

_TEMPLATES = Path(__file__).resolve().parents[2] / "templates" / "billing"
_FONTS = Path(font_source_sans_pro.__file__).parent / "files"


def statement_pdf(statement: Statement, *, issuer: str) -> bytes:
    """Set a statement; its date is the end of its month, so a month that is over gives the same bytes for ever."""
    currency = statement.currency
    document = {
        "title": f"Statement {statement.month.name} {statement.team}",
        "issuer": issuer,
        "team": str(statement.team),
        "organization": str(statement.team.organization),
        "month": f"{statement.month.starts_at:%B %Y}",
        "currency": currency,
        "sums": [
            _row("Opening balance", statement.opening, currency),
            *(_row(one.words, Owed(one.held_minor, one.available_minor), currency) for one in statement.sums),
            _row("Closing balance", statement.closing, currency),
        ],
        "rows": [
            [
                f"{one.at:%d %b}",
                WORDS[one.kind],
                one.app.name if one.app else "",
                document_of(one),
                format_money(one.held_minor, currency),
                format_money(one.available_minor, currency),
            ]
            for one in statement.movements
        ],
    }
    return _typeset("creator_statement.typ", document, at=statement.month.ends_at)


def _row(words: str, owed: Owed, currency: str) -> list[str]:
    amounts = (owed.held_minor, owed.available_minor, owed.minor)
    return [words, *(format_money(one, currency) for one in amounts)]


def self_bill_pdf(bill: SelfBill) -> bytes:
    """Set a self-billed invoice or credit note; all of it comes from a row that never changes."""
    parties = bill.parties
    heading = "Self-billed invoice" if bill.kind == SelfBill.Kind.INVOICE else "Self-billed credit note"
    document = {
        "title": f"{heading} {bill.number}",
        "heading": heading,
        "number": bill.number,
        "supplier": parties["supplier"],
        "recipient": parties["recipient"],
        "facts": [
            ["Period", bill.period_id],
            ["Issued", f"{bill.issued_at:%d %B %Y}"],
            ["Currency", bill.currency],
        ],
        "consent": parties["consent"],
        "lines": [
            [one["description"], format_money(one["amount_minor"], bill.currency)] for one in bill.lines
        ],
        "net": format_money(bill.net_minor, bill.currency),
        "tax": format_money(bill.tax_minor, bill.currency),
        "total": format_money(bill.net_minor + bill.tax_minor, bill.currency),
        "tax_note": bill.tax_note,
    }
    return _typeset("self_bill.typ", document, at=bill.issued_at)


def _typeset(template: str, document: dict[str, Any], *, at: datetime) -> bytes:
    pdf: bytes = typst.compile(  # type: ignore[misc]  # a free type variable in its stub
        _TEMPLATES / template,
        sys_inputs={"document": json.dumps(document)},
        font_paths=[str(_FONTS)],
        ignore_system_fonts=True,
        pdf_standards=["a-3b"],
        timestamp=int(at.timestamp()),
    )
    return pdf
