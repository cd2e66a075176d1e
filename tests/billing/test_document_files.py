"""PDF and XML of issued documents: what is inside, who gets them, and that they never change."""

import hashlib
from io import BytesIO
from typing import Any

import facturx
import pytest
from django.test import Client
from django.urls import reverse
from pypdf import PdfReader

from billing.credit_note_documents import credit_note_pdf
from billing.documents import invoice_pdf
from billing.einvoice.document import of_invoice
from billing.models import CreditNote, Invoice
from marketplace.accounts.access import actor_for
from marketplace.accounts.models import User
from tests import factories
from tests.billing import parties
from tests.billing.norms import broken_by_cii, broken_by_ubl
from tests.billing.test_close import AT, COST, FEE, close, subscribe
from tests.billing.test_documents import text_of
from tests.billing.test_parties import billed
from tests.billing.usage import use
from tests.conftest import Cast


@pytest.fixture
def seller(cast: Cast) -> Any:
    parties.approve_rate(cast, "DE", "19")
    return parties.set_up_seller(cast)


@pytest.fixture
def invoice(cast: Cast, seller: Any) -> Invoice:
    billed(cast, parties.buyer(cast, language="de", purchase_order="PO-7"))
    (found,) = close()
    return found


@pytest.fixture
def note(cast: Cast, invoice: Invoice) -> CreditNote:
    from billing.credit_asks import Ask  # noqa: PLC0415
    from billing.credit_notes import propose  # noqa: PLC0415
    from tests.billing.test_close import TERMS  # noqa: PLC0415

    return propose(
        invoice,
        ask=Ask(amount_minor=1_000),
        reason="Zu viel.",
        by=actor_for(cast.finance),
        at=AT,
        terms=TERMS,
    )


def signed_in(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


class TestPdf:
    def test_carries_data_that_keep_the_norm(self, invoice: Invoice) -> None:
        pdf = invoice_pdf(invoice)

        name, xml = facturx.get_facturx_xml_from_pdf(BytesIO(pdf), check_xsd=True)

        assert name == "factur-x.xml"
        assert broken_by_cii(xml) == []
        assert b"<ram:GrandTotalAmount>78.61</ram:GrandTotalAmount>" in xml

    def test_says_in_its_metadata_that_it_does(self, invoice: Invoice) -> None:
        reader = PdfReader(BytesIO(invoice_pdf(invoice)), strict=True)

        xmp = reader.xmp_metadata
        assert xmp is not None
        said = xmp.rdf_root.toxml()
        assert "<fx:ConformanceLevel>EN 16931</fx:ConformanceLevel>" in said
        assert "<pdfaid:part>3</pdfaid:part>" in said
        assert said.count("Factur-X PDFA Extension Schema") == 1
        (attached,) = reader.root_object["/AF"]
        assert attached.get_object()["/AFRelationship"] == "/Alternative"

    def test_is_the_same_bytes_whatever_profiles_say_by_then(
        self, cast: Cast, invoice: Invoice, note: CreditNote
    ) -> None:
        before = [hashlib.sha256(pdf).hexdigest() for pdf in (invoice_pdf(invoice), credit_note_pdf(note))]

        parties.set_profile(invoice.organization, cast, language="en", legal_name="Renamed", city="Kiel")
        invoice.lines.first().app.__class__.objects.update(name="Renamed")  # type: ignore[union-attr]
        again = [
            invoice_pdf(Invoice.objects.get(pk=invoice.pk)),
            credit_note_pdf(CreditNote.objects.get(pk=note.pk)),
        ]

        assert [hashlib.sha256(pdf).hexdigest() for pdf in again] == before

    def test_speaks_the_language_of_the_profile(self, invoice: Invoice, note: CreditNote) -> None:
        text, credited = text_of(invoice_pdf(invoice)), text_of(credit_note_pdf(note))

        for words in (
            "Rechnung INV-2026-000001",
            "2. November 2026",
            "19 % USt auf 66,06",
            "Monatsgebühr",
            "78,61",
        ):
            assert words in text, words
        assert "Rechnungskorrektur CN-2026-000001" in credited
        assert "Zu viel." in credited

    def test_is_made_without_data_when_something_is_missing(self, cast: Cast) -> None:
        use(subscribe(cast, [FEE]), requests=1, cost="0")
        (statement,) = close()

        reader = PdfReader(BytesIO(invoice_pdf(statement)))

        assert "/AF" not in reader.root_object

    def test_carries_sums_over_from_page_to_page(self, cast: Cast, seller: Any) -> None:
        organization = parties.buyer(cast)
        team = factories.make_team(organization)
        for _ in range(50):
            subscribe(cast, [FEE], team=team, cost_center=team.cost_center)
        (invoice,) = close()

        pages = [page.extract_text() for page in PdfReader(BytesIO(invoice_pdf(invoice))).pages]

        assert len(pages) == 3
        first = [line for line in pages[0].splitlines() if "Carried over" in line]
        second = [line for line in pages[1].splitlines() if "Carried over" in line]
        # Every line is 50.00; what ends a page begins the next one.
        assert len(first) == 1
        assert len(second) == 2
        assert first[0].split("$")[1] == second[0].split("$")[1]
        assert "Description" in pages[1]
        assert "Carried over" in pages[2]


class TestNegativeBill:
    def test_is_a_credit_note_that_names_what_it_corrects(self, cast: Cast, invoice: Invoice) -> None:
        # A later month in which more is taken back than charged.
        line = invoice.lines.get(code="fee")
        before = of_invoice(invoice)
        invoice_of_less = Invoice.objects.create(
            kind="invoice",
            period=invoice.period,
            organization=invoice.organization,
            currency="JPY",
            subtotal_minor=-5_000,
            tax_minor=-950,
            total_minor=-5_950,
            payer=invoice.payer
            | {
                "tax": {
                    "code": "",
                    "reason": "",
                    "rates": [{"percent": "19", "base_minor": -5_000, "tax_minor": -950}],
                }
            },
            created_at=AT,
        )
        line.pk, line.invoice, line.position = None, invoice_of_less, 1
        line.amount_minor = line.platform_minor = -5_000
        line.creator_minor, line.tax_minor, line.is_correction = 0, -950, True
        line.save(force_insert=True)
        Invoice.objects.filter(pk=invoice_of_less.pk).update(
            state="finalized", number="INV-2026-000009", issued_at=AT
        )
        invoice_of_less.refresh_from_db()

        document = of_invoice(invoice_of_less)

        assert (before.type_code, document.type_code) == (380, 381)
        assert (document.net_minor, document.tax_minor, document.total_minor) == (5_000, 950, 5_950)
        assert [one.amount_minor for one in document.lines] == [5_000]
        from billing.einvoice.files import invoice_xml  # noqa: PLC0415

        assert broken_by_cii(invoice_xml(invoice_of_less)) == []
        assert b"CreditNoteTypeCode>381" in (ubl := invoice_xml(invoice_of_less, form="ubl"))
        assert broken_by_ubl(ubl) == []


class TestXmlFiles:
    def test_come_in_both_forms(self, cast: Cast, invoice: Invoice, note: CreditNote) -> None:
        client = signed_in(cast.finance)
        page = reverse("billing:invoice-xml", args=[invoice.number])
        of_note = reverse("billing:credit-note-xml", args=[note.pk])

        assert broken_by_cii(client.get(page).content) == []
        assert broken_by_ubl(client.get(f"{page}?form=ubl").content) == []
        assert broken_by_ubl(client.get(f"{of_note}?form=ubl").content) == []

    def test_come_by_the_api(self, cast: Cast, invoice: Invoice, note: CreditNote) -> None:
        client = signed_in(cast.finance)

        cii = client.get(f"/api/v1/invoices/{invoice.number}.xml")
        ubl = client.get(f"/api/v1/invoices/{invoice.number}.xml?format=ubl")

        assert (cii.status_code, cii["Content-Type"]) == (200, "application/xml")
        assert b"CrossIndustryInvoice" in cii.content
        assert broken_by_ubl(ubl.content) == []
        assert client.get(f"/api/v1/credit-notes/{note.pk}.xml").status_code == 200

    def test_are_hidden_from_strangers(self, cast: Cast, invoice: Invoice, note: CreditNote) -> None:
        client = signed_in(cast.stranger)

        for path in (
            reverse("billing:invoice-xml", args=[invoice.number]),
            reverse("billing:credit-note-xml", args=[note.pk]),
            f"/api/v1/invoices/{invoice.number}.xml",
            f"/api/v1/credit-notes/{note.pk}.xml",
        ):
            assert client.get(path).status_code == 404, path

    def test_say_what_is_missing(self, cast: Cast) -> None:
        use(subscribe(cast, [FEE, COST]), requests=1, cost="1")
        (statement,) = close()

        answer = signed_in(cast.finance).get(f"/api/v1/invoices/{statement.number}.xml")

        assert answer.status_code == 409
        assert answer.json()["code"] == "not_electronic"
        assert "a statement is settled inside of its organization" in answer.json()["detail"]
