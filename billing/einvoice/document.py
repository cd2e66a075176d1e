"""An invoice or credit note as every form of it sees it: the PDF, CII and UBL are made of this and say the same.

Everything comes from rows that no longer change. A bill that ends below zero is a credit note here: whoever gets it has
money coming, and what reads it takes an amount below zero for a mistake. Its signs are turned, so that amounts are what
is given back; its number stays, for it is one of the series of bills.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from billing import document_words as words
from billing import queries
from billing.credit_note_queries import lines as lines_of_note
from billing.models import CreditNote, Invoice, InvoiceLine, ReceivedPayment
from billing.tax_treatment import code_of
from marketplace.core.errors import Conflict

INVOICE, CREDIT_NOTE = 380, 381


class NotFinalized(Conflict):
    """A draft may still change, so there is no document of it."""

    code = "not_finalized"

    def __init__(self, kind: str = "invoice") -> None:
        self.kind = kind
        super().__init__(f"This {kind} may still change; its documents exist once it is issued.")


@dataclass(frozen=True)
class Line:
    """One line; its days are both included. ``tax_code`` is that of EN 16931."""

    position: int
    name: str
    amount_minor: int
    tax_code: str
    percent: Decimal
    first_day: date
    last_day: date
    quantity: str = ""


@dataclass(frozen=True)
class Rate:
    """The sum of one rate: base and tax."""

    tax_code: str
    percent: Decimal
    base_minor: int
    tax_minor: int


@dataclass(frozen=True)
class Document:
    """Everything a document says. Amounts of a credit note are positive: what is given back."""

    type_code: int
    kind: str
    number: str
    issued: date
    due: date | None
    language: str
    currency: str
    issuer: str
    seller: Mapping[str, str]
    buyer_name: str
    buyer: Mapping[str, str]
    buyer_lines: Sequence[str]
    purchase_order: str
    buyer_reference: str
    first_day: date
    last_day: date
    lines: Sequence[Line]
    rates: Sequence[Rate]
    net_minor: int
    tax_minor: int
    tax_code: str = ""
    tax_reason: str = ""
    note: str = ""
    mode: str = ""
    prepaid_minor: int = 0
    preceding: Sequence[tuple[str, date]] = field(default=())

    @property
    def total_minor(self) -> int:
        return self.net_minor + self.tax_minor

    @property
    def due_minor(self) -> int:
        """What is asked for: the total, less what prepaid credit paid at the moment of issue."""
        return self.total_minor - self.prepaid_minor

    @property
    def is_credit(self) -> bool:
        return self.type_code == CREDIT_NOTE

    def say(self, word: str, **facts: object) -> str:
        return words.say(word, self.language, **facts)

    def money(self, amount_minor: int) -> str:
        return words.money(amount_minor, self.currency, self.language)

    def day(self, when: date) -> str:
        return words.day(when, self.language)


def of_invoice(invoice: Invoice) -> Document:
    """Read an issued invoice or statement as a document. Raises NotFinalized."""
    if invoice.state == Invoice.State.DRAFT or invoice.issued_at is None or invoice.number is None:
        raise NotFinalized
    tax = invoice.payer.get("tax", {})
    found = Document(
        type_code=INVOICE,
        kind=invoice.kind,
        number=invoice.number,
        issued=invoice.issued_at.date(),
        due=invoice.due_at.date() if invoice.due_at else None,
        lines=[_line(line, invoice, tax) for line in queries.lines(invoice)],
        rates=[_rate(row, tax) for row in tax.get("rates", ())],
        net_minor=invoice.subtotal_minor,
        tax_minor=invoice.tax_minor,
        prepaid_minor=_prepaid(invoice, invoice.issued_at),
        **_common(invoice),
    )
    if invoice.kind == Invoice.Kind.INVOICE and invoice.total_minor < 0:
        return _turned(found, preceding=_corrected(invoice))
    return found


def _prepaid(invoice: Invoice, at: datetime) -> int:
    """Sum what the payer's wallet paid when the invoice was issued; what came in later is not printed."""
    paid = invoice.payments.filter(source=ReceivedPayment.Source.PREPAID, recorded_at=at)
    return sum(paid.values_list("amount_minor", flat=True))


def of_credit_note(note: CreditNote) -> Document:
    """Read an issued credit note as a document. Raises NotFinalized for a proposal."""
    invoice = note.invoice
    if note.issued_at is None or note.number is None:
        raise NotFinalized("credit note")
    assert invoice.issued_at is not None and invoice.number is not None
    tax = invoice.payer.get("tax", {})
    lines = [
        replace(_line(part.line, invoice, tax), amount_minor=part.net_minor) for part in lines_of_note(note)
    ]
    common = _common(invoice)
    place = {line.position: words.say("line", common["language"], position=line.position) for line in lines}
    taxes = {part.line.position: part.tax_minor for part in lines_of_note(note)}
    return Document(
        type_code=CREDIT_NOTE,
        kind="credit_note",
        number=note.number,
        issued=note.issued_at.date(),
        due=None,
        lines=[replace(line, quantity=place[line.position]) for line in lines],
        rates=_summed(lines, taxes) if tax else [],
        net_minor=note.net_minor,
        tax_minor=note.tax_minor,
        **{**common, "note": note.reason},
        preceding=[(invoice.number, invoice.issued_at.date())],
    )


def _common(invoice: Invoice) -> dict[str, Any]:
    payer, period = invoice.payer, invoice.period
    seller: dict[str, str] = {"name": payer.get("issuer", ""), **payer.get("seller", {})}
    tax = payer.get("tax", {})
    return {
        "language": payer.get("language", "en"),
        "currency": invoice.currency,
        "issuer": payer.get("issuer", ""),
        "seller": seller,
        "buyer_name": payer.get("name", ""),
        "buyer": {**payer.get("buyer", {}), "vat_id": payer.get("vat_id", "")},
        "buyer_lines": addressee(payer),
        "purchase_order": payer.get("purchase_order", ""),
        "buyer_reference": payer.get("buyer_reference", ""),
        "first_day": period.starts_at.date(),
        "last_day": (period.ends_at - timedelta(microseconds=1)).date(),
        "tax_code": tax.get("code", ""),
        "tax_reason": tax.get("reason", ""),
        "mode": invoice.mode,
    }


def addressee(payer: Mapping[str, Any]) -> list[str]:
    """Give the lines of the address as it was when the invoice was issued."""
    center = " ".join(part for part in (payer.get("cost_center"), payer.get("cost_center_name")) if part)
    return [
        line for line in (center, payer.get("name", ""), *str(payer.get("address", "")).splitlines()) if line
    ]


def _line(line: InvoiceLine, invoice: Invoice, tax: Mapping[str, Any]) -> Line:
    language = invoice.payer.get("language", "en")
    return Line(
        position=line.position,
        name=words.describe(line.description, language),
        amount_minor=line.amount_minor,
        tax_code=code_of(tax.get("code", ""), line.tax_percent),
        percent=line.tax_percent,
        first_day=line.service_starts_at.date(),
        last_day=(line.service_ends_at - timedelta(microseconds=1)).date(),
        quantity=_quantity(line, invoice.currency, language),
    )


def _quantity(line: InvoiceLine, currency: str, language: str) -> str:
    """Write what was counted: calls as a number, cost as an amount of its currency, a fee as nothing."""
    charge = line.code.split(":")[0]
    if ":" in line.code or charge not in ("calls", "cost"):
        return ""
    if charge == "cost":
        return f"{currency} {words.number(line.quantity, language)}"
    return words.number(int(line.quantity), language)


def _rate(row: Mapping[str, Any], tax: Mapping[str, Any]) -> Rate:
    percent = Decimal(row["percent"])
    return Rate(code_of(tax.get("code", ""), percent), percent, row["base_minor"], row["tax_minor"])


def _summed(lines: Sequence[Line], taxes: Mapping[int, int]) -> list[Rate]:
    """Sum lines and their taxes by rate, in the order in which rates first appear."""
    sums: dict[tuple[str, Decimal], tuple[int, int]] = {}
    for line in lines:
        base, tax = sums.get((line.tax_code, line.percent), (0, 0))
        sums[line.tax_code, line.percent] = (base + line.amount_minor, tax + taxes[line.position])
    return [Rate(code, percent, base, tax) for (code, percent), (base, tax) in sums.items()]


def _turned(document: Document, *, preceding: Sequence[tuple[str, date]]) -> Document:
    """Turn the signs of a bill that ends below zero, which makes it a credit note."""
    return replace(
        document,
        type_code=CREDIT_NOTE,
        due=None,
        lines=[replace(line, amount_minor=-line.amount_minor) for line in document.lines],
        rates=[
            replace(rate, base_minor=-rate.base_minor, tax_minor=-rate.tax_minor) for rate in document.rates
        ],
        net_minor=-document.net_minor,
        tax_minor=-document.tax_minor,
        preceding=preceding,
    )


def _corrected(invoice: Invoice) -> list[tuple[str, date]]:
    """Name the invoices of the months that correction lines are for."""
    months = {f"{line.service_starts_at:%Y-%m}" for line in invoice.lines.filter(is_correction=True)}
    before = Invoice.objects.filter(
        queries.ISSUED,
        kind=invoice.kind,
        organization=invoice.organization_id,
        currency=invoice.currency,
        period__in=months,
        issued_at__lt=invoice.issued_at,
    )
    found = before.order_by("number").values_list("number", "issued_at")
    return [(number, at.date()) for number, at in found if number and at]
