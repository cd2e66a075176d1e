"""Statements of cost centers as PDF: direct use, corrections and shared parts apart. The same bytes every time."""

import json
from functools import cache
from pathlib import Path
from typing import Any

import font_source_sans_pro
import typst

from billing.allocation.tree import ratio_text
from billing.chargeback.statements import rows
from billing.models import AllocationRow, CostStatement
from marketplace.core.money import format_money

_TEMPLATE = Path(__file__).resolve().parents[2] / "templates" / "billing" / "cost_statement.typ"
_FONTS = Path(font_source_sans_pro.__file__).parent / "files"
Kind = AllocationRow.Kind
_HEADINGS = {Kind.DIRECT: "Own use", Kind.CORRECTION: "Correction", Kind.SHARED: "Shared"}


def statement_pdf(statement: CostStatement) -> bytes:
    """Set a published statement; everything printed comes from rows that can no longer change."""
    pdf: bytes = _compiler().compile(
        sys_inputs={"statement": json.dumps(_document(statement))},
        pdf_standards=["a-3b"],
        timestamp=int(statement.published_at.timestamp()),
    )
    return pdf


@cache
def _compiler() -> Any:
    """Read fonts and template once a process."""
    return typst.Compiler(str(_TEMPLATE), font_paths=[str(_FONTS)], ignore_system_fonts=True)


def _document(statement: CostStatement) -> dict[str, Any]:
    currency = statement.currency
    totals = [
        ("Own use", format_money(statement.direct_minor, currency)),
        ("Shared costs", format_money(statement.shared_minor, currency)),
    ]
    if statement.correction_minor:
        totals.insert(1, ("Corrections", format_money(statement.correction_minor, currency)))
    return {
        "title": f"Statement {statement.name}, {statement.cost_center.code}",
        "heading": "Monthly statement",
        "number": f"{statement.name}, {statement.cost_center.code}",
        "issuer": statement.organization.legal_name or statement.organization.name,
        "to_label": "Cost center",
        "to": [str(statement.cost_center), statement.organization.name],
        "facts": [
            ("Period", statement.period_id),
            ("Published", f"{statement.published_at:%d %B %Y}"),
            ("Can be disputed until", f"{statement.disputable_until:%d %B %Y}"),
            ("Mode", statement.mode),
            ("Statement", statement.invoice.number if statement.invoice else "shared costs only"),
            ("Currency", currency),
        ],
        "note": "" if statement.mode == "chargeback" else "For your information: nothing is charged.",
        "lines": [_line(key, amount, statement) for key, amount in _grouped(statement).items()],
        "totals": totals,
        "total_label": "Total",
        "total": format_money(statement.total_minor, currency),
        "rounding": "Parts of shared costs are whole cents that sum to the cost, by largest remainder. Times are UTC.",
    }


def _grouped(statement: CostStatement) -> dict[tuple[str, str, str], int]:
    """Sum rows by what a reader tells apart: an app's use, a correction, a shared cost."""
    found: dict[tuple[str, str, str], int] = {}
    for row in rows(statement):
        what = row.app.name if row.app and row.kind == Kind.DIRECT else row.sku
        how = f"{row.method}, {ratio_text(row)}" if row.kind == Kind.SHARED else row.sku
        key = (row.kind, what, how)
        found[key] = found.get(key, 0) + row.amount_minor
    return found


def _line(key: tuple[str, str, str], amount_minor: int, statement: CostStatement) -> dict[str, str]:
    kind, what, how = key
    return {
        "description": what,
        "service": how,
        "quantity": _HEADINGS[Kind(kind)],
        "amount": format_money(amount_minor, statement.currency),
    }
