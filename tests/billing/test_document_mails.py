"""Invoices and credit notes by mail, with their PDF, once."""

from datetime import timedelta
from typing import Any

import pytest
from django.core import mail
from django.db import DatabaseError, IntegrityError, transaction
from django.urls import reverse

from billing import document_mails
from billing.credit_asks import Ask
from billing.credit_notes import propose
from billing.document_mails import NoBillingAddress
from billing.documents import invoice_pdf
from billing.models import CreditNote, DocumentMail, Invoice
from marketplace.accounts.access import actor_for
from marketplace.core.errors import NotAllowed
from marketplace.core.models import AuditEntry, NoticeDelivery
from marketplace.gateway.outbox import delivering
from marketplace.gateway.outbox.configured import way_out
from tests.billing import parties
from tests.billing.test_close import AT, FEE, TERMS, close
from tests.billing.test_document_files import signed_in
from tests.billing.test_parties import billed
from tests.conftest import Cast


@pytest.fixture
def invoice(cast: Cast) -> Invoice:
    parties.approve_rate(cast, "DE", "19")
    parties.set_up_seller(cast)
    organization = parties.buyer(
        cast, language="de", emails=["rechnung@blueharbor.example", "ap@blueharbor.example"]
    )
    billed(cast, organization, charges=[FEE])
    (found,) = close()
    return found


def credited(cast: Cast, invoice: Invoice) -> CreditNote:
    return propose(
        invoice,
        ask=Ask(amount_minor=1_190),
        reason="Zu viel.",
        by=actor_for(cast.finance),
        at=AT,
        terms=TERMS,
    )


def delivered(at: Any = AT) -> list[Any]:
    """Let the outbox send, and give the mails of documents."""
    mail.outbox.clear()
    delivering.deliver(at=at, way=way_out())
    return [one for one in mail.outbox if one.attachments]


class TestSendIssued:
    def test_mails_the_pdf_to_each_billing_address(self, invoice: Invoice) -> None:
        found = delivered()

        assert sorted(one.to[0] for one in found) == ["ap@blueharbor.example", "rechnung@blueharbor.example"]
        assert found[0].subject == "Rechnung INV-2026-000001 von Halfpenny Europe GmbH"
        # 50.00 and 9.50 of tax.
        assert "vom 2. November 2026 über 59,50" in found[0].body
        ((name, content, kind),) = found[0].attachments
        assert (name, kind) == ("INV-2026-000001.pdf", "application/pdf")
        assert content == invoice_pdf(invoice)

    def test_mails_once(self, invoice: Invoice) -> None:
        document_mails.send_issued(invoice, at=AT)

        assert DocumentMail.objects.count() == 2
        assert len(delivered()) == 2
        assert delivered(AT + timedelta(hours=1)) == []

    def test_mails_credit_notes_to_the_addresses_of_now(self, cast: Cast, invoice: Invoice) -> None:
        parties.set_profile(invoice.organization, cast, language="en", emails=["new@blueharbor.example"])
        delivered()

        note = credited(cast, invoice)

        (found,) = delivered()
        assert found.to == ["new@blueharbor.example"]
        # The language is that of the invoice.
        assert found.subject == f"Rechnungskorrektur {note.number} von Halfpenny Europe GmbH"

    def test_is_undone_with_what_it_tells_of(self, cast: Cast, invoice: Invoice) -> None:
        before = NoticeDelivery.objects.exclude(address="").count()

        with pytest.raises(RuntimeError), transaction.atomic():
            credited(cast, invoice)
            raise RuntimeError

        assert NoticeDelivery.objects.exclude(address="").count() == before


class TestSendAgain:
    def test_is_another_round_with_an_entry_in_the_audit_trail(self, cast: Cast, invoice: Invoice) -> None:
        delivered()

        assert document_mails.send_again(invoice, by=actor_for(cast.finance), at=AT) == 2

        assert len(delivered()) == 2
        assert sorted(DocumentMail.objects.values_list("round", flat=True)) == [1, 1, 2, 2]
        entry = AuditEntry.objects.get(action="billing.document.sent_again")
        assert entry.new["addresses"] == ["rechnung@blueharbor.example", "ap@blueharbor.example"]

    def test_is_for_finance_of_the_marketplace(self, cast: Cast, invoice: Invoice) -> None:
        with pytest.raises(NotAllowed):
            document_mails.send_again(invoice, by=actor_for(cast.stranger), at=AT)

    def test_needs_an_address(self, cast: Cast, invoice: Invoice) -> None:
        parties.set_profile(invoice.organization, cast, emails=[])

        with pytest.raises(NoBillingAddress):
            document_mails.send_again(invoice, by=actor_for(cast.finance), at=AT)


class TestPage:
    def test_shows_who_got_it_and_sends_again(self, cast: Cast, invoice: Invoice) -> None:
        client = signed_in(cast.finance)
        page = reverse("billing:invoice", args=[invoice.number])

        shown = client.post(f"{page}send/", follow=True).content.decode()

        assert shown.count("rechnung@blueharbor.example") == 2
        assert "It leaves for 2 addresses" in shown
        assert f"{page.rstrip('/')}.xml?form=ubl" in shown

    def test_is_nothing_to_strangers(self, cast: Cast, invoice: Invoice) -> None:
        answer = signed_in(cast.stranger).post(reverse("billing:invoice-send", args=[invoice.number]))

        assert answer.status_code == 404
        assert DocumentMail.objects.count() == 2


class TestConstraints:
    def test_keep_a_round_to_one_mail_an_address(self, invoice: Invoice) -> None:
        known = DocumentMail.objects.first()
        assert known is not None

        with pytest.raises(IntegrityError, match="document_mail_once_a_round"), transaction.atomic():
            DocumentMail.objects.create(invoice=invoice, address=known.address, round=1, asked_at=AT)

    def test_keep_a_mail_to_one_document(self, db: None) -> None:
        with pytest.raises(IntegrityError, match="document_mail_of_one_document"), transaction.atomic():
            DocumentMail.objects.create(address="x@y.example", round=1, asked_at=AT)

    def test_keep_what_was_sent(self, invoice: Invoice) -> None:
        with pytest.raises(DatabaseError, match="Cannot delete"), transaction.atomic():
            DocumentMail.objects.all().delete()

    def test_keep_a_delivery_to_one_mail_an_address(self, invoice: Invoice) -> None:
        known = NoticeDelivery.objects.exclude(address="").first()
        assert known is not None

        with pytest.raises(IntegrityError, match="notice_delivery_once_an_address"), transaction.atomic():
            NoticeDelivery.objects.create(
                address=known.address, idempotency_key=known.idempotency_key, run_at=AT, created_at=AT
            )
