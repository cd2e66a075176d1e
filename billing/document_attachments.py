"""What makes the PDF of a mailed document, when the mail leaves."""

from billing.credit_note_documents import credit_note_pdf
from billing.document_mails import SOURCES
from billing.documents import invoice_pdf
from billing.models import CreditNote, Invoice
from marketplace.core import attachments
from marketplace.core.attachments import Attachment

PDF = "application/pdf"


@attachments.source(SOURCES[Invoice])
def _invoice_file(key: str) -> Attachment:
    invoice = Invoice.objects.select_related("period").get(pk=key)
    return Attachment(f"{invoice.number}.pdf", invoice_pdf(invoice), PDF)


@attachments.source(SOURCES[CreditNote])
def _credit_note_file(key: str) -> Attachment:
    note = CreditNote.objects.select_related("invoice__period").get(pk=key)
    return Attachment(f"{note.number}.pdf", credit_note_pdf(note), PDF)
