"""The electronic forms of invoices and credit notes, or why there are none."""

from collections.abc import Sequence
from typing import Literal

from billing.einvoice.cii import to_cii
from billing.einvoice.document import Document, of_credit_note, of_invoice
from billing.einvoice.obstacles import Obstacle
from billing.einvoice.obstacles import of_invoice as obstacles_of
from billing.einvoice.ubl import to_ubl
from billing.models import CreditNote, Invoice
from marketplace.core.errors import Conflict, InvalidInput

Form = Literal["cii", "ubl"]
FORMS: tuple[Form, ...] = ("cii", "ubl")
_WRITERS = {"cii": to_cii, "ubl": to_ubl}


class NotElectronic(Conflict):
    """A document lacks what EN 16931 needs, so that there is no XML of it."""

    code = "not_electronic"

    def __init__(self, number: str, obstacles: Sequence[Obstacle]) -> None:
        self.obstacles = tuple(obstacles)
        why = "; ".join(str(one) for one in obstacles)
        super().__init__(f"{number} cannot be invoiced electronically because {why}.")


def read_form(text: str) -> Form:
    """Read which form is asked for; CII when nothing is said. Raises InvalidInput."""
    for form in FORMS:
        if text.lower() in (form, "" if form == "cii" else form):
            return form
    raise InvalidInput("format", f"is one of {', '.join(FORMS)}", code="unknown_format")


def invoice_xml(invoice: Invoice, *, form: Form = "cii") -> bytes:
    """Write an issued invoice by EN 16931. Raises NotFinalized, NotElectronic."""
    document = of_invoice(invoice)
    return _written(document, obstacles_of(invoice), form)


def credit_note_xml(note: CreditNote, *, form: Form = "cii") -> bytes:
    """Write an issued credit note by EN 16931. Raises NotFinalized, NotElectronic."""
    document = of_credit_note(note)
    return _written(document, obstacles_of(note.invoice), form)


def _written(document: Document, obstacles: Sequence[Obstacle], form: Form) -> bytes:
    if obstacles:
        raise NotElectronic(document.number, obstacles)
    return _WRITERS[form](document)
