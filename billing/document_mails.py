"""Invoices and credit notes by mail: to the billing addresses when they are issued, and again when finance says so.

The mail is written into the outbox in the transaction that issues; its PDF is made when it leaves, for it is the same
bytes then. A round goes to an address once.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import Max, QuerySet

from billing import billing_profiles
from billing.einvoice import obstacles
from billing.einvoice.document import Document, of_credit_note, of_invoice
from billing.models import CreditNote, DocumentMail, Invoice
from marketplace.accounts import access
from marketplace.accounts.access import Actor, Role
from marketplace.core import audit, notices
from marketplace.core.errors import Conflict

SOURCES = {Invoice: "billing.invoice", CreditNote: "billing.credit_note"}
Mailed = Invoice | CreditNote


class NoBillingAddress(Conflict):
    """There is nobody to send a document to."""

    code = "no_billing_address"

    def __init__(self) -> None:
        super().__init__("The billing profile names no mail address. Add one, then send the document.")


def send_issued(document: Mailed, *, at: datetime) -> None:
    """Mail a document that has just been issued to the billing addresses; a second call sends nothing.

    Statements are not mailed: who owns the cost center is told in the product.
    """
    invoice = _invoice(document)
    if invoice.kind == Invoice.Kind.INVOICE and (addresses := _addresses(document)):
        _send(document, addresses, round_=1, at=at, by=None)


def send_again(document: Mailed, *, by: Actor, at: datetime) -> int:
    """Mail an issued document to the billing addresses of now; returns to how many.

    Locks the invoice, so that two who ask at once are two rounds. Raises NotAllowed, NoBillingAddress, NotFinalized.
    """
    access.require_platform(by, Role.FINANCE)
    invoice = _invoice(document)
    profile = billing_profiles.profile_of(invoice.organization)
    addresses = list(profile.emails) if profile else []
    if not addresses:
        raise NoBillingAddress
    with transaction.atomic():
        Invoice.objects.select_for_update(of=("self",)).get(pk=invoice.pk)
        last = mails_of(document).aggregate(last=Max("round"))["last"] or 0
        _send(document, addresses, round_=last + 1, at=at, by=by.user)
        new = {"addresses": addresses, "round": last + 1}
        audit.record("billing.document.sent_again", subject=document, at=at, by=by.user, new=new)
    return len(addresses)


def mails_of(document: Mailed) -> QuerySet[DocumentMail]:
    """Mails of a document, the newest first."""
    found = document.mails.select_related("delivery", "asked_by")
    return found.order_by("-asked_at", "address")


def _invoice(document: Mailed) -> Invoice:
    return document if isinstance(document, Invoice) else document.invoice


def _addresses(document: Mailed) -> list[str]:
    """Give the addresses of the moment of issue: an invoice has them frozen, a credit note asks the profile."""
    invoice = _invoice(document)
    if isinstance(document, CreditNote) and (profile := billing_profiles.profile_of(invoice.organization)):
        return list(profile.emails)
    return list(invoice.payer.get("emails", ()))


def _send(document: Mailed, addresses: Iterable[str], *, round_: int, at: datetime, by: Any) -> None:
    read = of_invoice(document) if isinstance(document, Invoice) else of_credit_note(document)
    of = {"invoice": document} if isinstance(document, Invoice) else {"credit_note": document}
    body = _body(read, is_electronic=not obstacles.of_invoice(_invoice(document)))
    for address in addresses:
        delivery = notices.mail_to(
            address,
            subject=_subject(read),
            body=body,
            at=at,
            key=f"document:{document.pk}:{round_}",
            attached=[(SOURCES[type(document)], str(document.pk))],
        )
        DocumentMail.objects.get_or_create(
            **of,
            address=address,
            round=round_,
            defaults={"asked_at": at, "asked_by": by, "delivery": delivery},
        )


def _heading(document: Document) -> str:
    return document.say("credit_note" if document.is_credit else document.kind)


def _subject(document: Document) -> str:
    return document.say(
        "mail_subject", heading=_heading(document), number=document.number, issuer=document.issuer
    )


def _body(document: Document, *, is_electronic: bool) -> str:
    facts = {
        "number": document.number,
        "issued": document.day(document.issued),
        "total": document.money(document.total_minor),
    }
    sentences = [document.say("mail_credit_note" if document.is_credit else "mail_invoice", **facts)]
    if document.due and document.due_minor > 0:
        due = {"total": document.money(document.due_minor), "day": document.day(document.due)}
        sentences.append(document.say("pay", **due, number=document.number))
    if is_electronic:
        sentences.append(document.say("mail_data"))
    seller = document.seller
    signed = [document.issuer, *(seller[field] for field in ("email", "phone") if seller.get(field))]
    return "\n\n".join([*sentences, "\n".join(["--", *signed])]) + "\n"
