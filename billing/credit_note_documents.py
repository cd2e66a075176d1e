"""Credit notes as PDF: the same sheet as invoices, with their data inside, and the same bytes every time."""

from billing.documents import set_document
from billing.einvoice import obstacles
from billing.einvoice.document import of_credit_note
from billing.models import CreditNote


def credit_note_pdf(note: CreditNote) -> bytes:
    """Set an issued credit note as PDF/A-3; everything printed comes from rows that can no longer change.

    Raises NotFinalized for a proposal.
    """
    document = of_credit_note(note)
    assert note.issued_at is not None
    is_electronic = not obstacles.of_invoice(note.invoice)
    return set_document(document, at=note.issued_at, note="", is_electronic=is_electronic)
