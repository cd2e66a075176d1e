"""What a document has to say about tax and payment beside its numbers."""

from billing.einvoice.document import Document

# Codes of the list VATEX; a certificate has none of its own.
CODES = {"AE": "VATEX-EU-AE", "O": "VATEX-EU-O"}


def reason(tax_code: str, document: Document) -> str:
    """Say why no tax is charged; empty where it is."""
    if tax_code == "E":
        return document.tax_reason
    return document.say(tax_code) if tax_code in CODES else ""


def terms(document: Document) -> str:
    """Say by when an invoice is payable, or what becomes of a credit."""
    if document.is_credit or document.due is None:
        return document.say("credit_terms") if document.is_credit else ""
    return document.say("pay_terms", day=document.day(document.due))
