"""A customer's statement of account as PDF."""

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import font_source_sans_pro
import typst

from billing.customer_account import Account
from marketplace.accounts.models import Organization
from marketplace.core.money import format_money

_TEMPLATE = Path(__file__).resolve().parents[1] / "templates" / "billing" / "account.typ"
_FONTS = Path(font_source_sans_pro.__file__).parent / "files"


def account_pdf(organization: Organization, accounts: list[Account], *, issuer: str, at: datetime) -> bytes:
    """Set a statement of account as PDF/A-3, as of a moment; the same entries and moment give the same bytes."""
    pdf: bytes = typst.compile(  # type: ignore[misc]  # a free type variable in its stub
        _TEMPLATE,
        sys_inputs={"account": json.dumps(_document(organization, accounts, issuer=issuer, at=at))},
        font_paths=[str(_FONTS)],
        ignore_system_fonts=True,
        pdf_standards=["a-3b"],
        timestamp=int(at.timestamp()),
    )
    return pdf


def _document(
    organization: Organization, accounts: list[Account], *, issuer: str, at: datetime
) -> dict[str, Any]:
    name = organization.legal_name or organization.name
    return {
        "title": f"Statement of account {name}",
        "issuer": issuer,
        "to": [name, *organization.address.splitlines()],
        "as_of": f"{at:%d %B %Y, %H:%M} UTC",
        "accounts": [_account(one) for one in accounts],
    }


def _account(account: Account) -> dict[str, Any]:
    return {
        "currency": account.currency,
        "balance": format_money(account.balance_minor, account.currency),
        "rows": [
            {
                "on": f"{entry.movement.on:%d %b %Y}",
                "what": entry.movement.title,
                "reference": _reference(entry.movement.reference, entry.movement.invoice),
                "amount": format_money(entry.movement.amount_minor, account.currency),
                "balance": format_money(entry.balance_minor, account.currency),
            }
            for entry in account.entries
        ],
    }


def _reference(reference: str, invoice: str) -> str:
    return reference if invoice in ("", reference) else f"{reference} for {invoice}"
