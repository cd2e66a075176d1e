from collections.abc import Iterator
from typing import Any
from unittest import mock

import pytest
from django.test import Client
from django.urls import reverse

from billing.models import CreditNote, Invoice
from marketplace.accounts.models import User
from tests import factories
from tests.billing.test_close import COST, FEE, close, subscribe
from tests.billing.test_credit_notes import AT
from tests.billing.usage import use
from tests.conftest import Cast


@pytest.fixture(autouse=True)
def clock() -> Iterator[None]:
    with mock.patch("django.utils.timezone.now", return_value=AT):
        yield


@pytest.fixture
def invoice(cast: Cast) -> Invoice:
    use(subscribe(cast, [FEE, COST]), requests=10_000, cost="100")
    (found,) = close()
    return found


@pytest.fixture
def second(cast: Cast) -> User:
    other = factories.make_user("second@demo.example")
    factories.join(other, None, "finance", organization=cast.company)
    return other


def signed_in(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def credit(user: User, invoice: Invoice, **fields: str) -> Any:
    body = {"what": "all", "reason": "Billed twice.", "key": "k1", **fields}
    return signed_in(user).post(reverse("billing:credit", args=[invoice.number]), body, follow=True)


class TestGivingBack:
    def test_is_offered_and_previewed_before_it_is_done(self, cast: Cast, invoice: Invoice) -> None:
        page = signed_in(cast.finance).get(reverse("billing:invoice", args=[invoice.number]))
        assert reverse("billing:credit", args=[invoice.number]) in page.content.decode()

        shown = credit(cast.finance, invoice, what="amount", amount="36", preview="1").content.decode()

        assert "$36.00 would be given back" in shown
        assert "$12.80 of it comes back from creators" in shown
        assert not CreditNote.objects.exists()

    def test_shows_on_note_invoice_and_list(self, cast: Cast, invoice: Invoice) -> None:
        page = credit(cast.finance, invoice, what="lines", line_1="12.34").content.decode()
        assert "CN-2026-000001 is issued and posted." in page

        for address in (
            reverse("billing:invoice", args=[invoice.number]),
            reverse("billing:credit-notes"),
        ):
            text = signed_in(cast.finance).get(address).content.decode()
            assert "CN-2026-000001" in text
            assert "$12.34" in text

    def test_says_at_the_field_what_is_wrong(self, cast: Cast, invoice: Invoice) -> None:
        assert (
            "what is left of the line"
            in credit(cast.finance, invoice, what="lines", line_1="50.01").content.decode()
        )
        assert (
            "what is left of the invoice"
            in credit(cast.finance, invoice, what="amount", amount="180.01").content.decode()
        )
        assert not CreditNote.objects.exists()

    def test_of_much_is_decided_by_a_second_person(self, cast: Cast, invoice: Invoice, second: User) -> None:
        assert "waits for a second person" in credit(cast.finance, invoice).content.decode()
        note = CreditNote.objects.get()
        address = reverse("billing:credit-note", args=[note.pk])

        own = signed_in(cast.finance).post(address, {"decision": "approve", "note": ""})
        assert "Nobody decides their own credit note" in own.content.decode()
        assert "Approve" in signed_in(second).get(address).content.decode()
        signed_in(second).post(address, {"decision": "approve", "note": "Seen."})

        note.refresh_from_db()
        assert note.state == "issued"
        pdf = signed_in(second).get(reverse("billing:credit-note-pdf", args=[note.pk]))
        assert pdf.content.startswith(b"%PDF")


class TestAccess:
    def test_is_for_finance_and_whom_the_invoice_concerns(self, cast: Cast, invoice: Invoice) -> None:
        credit(cast.finance, invoice, what="amount", amount="1")
        issued = CreditNote.objects.get()
        credit(cast.finance, invoice, key="k2")
        waiting = CreditNote.objects.exclude(pk=issued.pk).get()
        consumer, stranger = signed_in(cast.consumer), signed_in(cast.stranger)

        # The consumer's team books on the cost center of the statement.
        assert consumer.get(reverse("billing:credit-note", args=[issued.pk])).status_code == 200
        assert consumer.get(reverse("billing:credit-note", args=[waiting.pk])).status_code == 404
        assert consumer.get(reverse("billing:credit", args=[invoice.number])).status_code == 403
        for name in ("billing:credit-note", "billing:credit-note-pdf"):
            assert stranger.get(reverse(name, args=[issued.pk])).status_code == 404
        assert stranger.get(reverse("billing:credit", args=[invoice.number])).status_code == 403
        assert "CN-2026" not in stranger.get(reverse("billing:credit-notes")).content.decode()

    def test_reads_little(self, cast: Cast, invoice: Invoice, django_assert_max_num_queries: Any) -> None:
        for number in range(3):
            credit(cast.finance, invoice, what="amount", amount="1", key=f"k{number}")
        client = signed_in(cast.finance)
        for address in (
            reverse("billing:credit-notes"),
            reverse("billing:credit-note", args=[CreditNote.objects.latest("pk").pk]),
            reverse("billing:credit", args=[invoice.number]),
            reverse("billing:invoice", args=[invoice.number]),
        ):
            with django_assert_max_num_queries(12):
                client.get(address)


class TestApi:
    def send(self, user: User, path: str, body: Any = None, *, status: int = 200, key: str = "") -> Any:
        client, address = signed_in(user), f"/api/v1/{path}"
        headers = {"Idempotency-Key": key} if key else {}
        answer = (
            client.get(address)
            if body is None
            else client.post(address, body, content_type="application/json", headers=headers)
        )
        assert answer.status_code == status, answer.content
        return answer.json()

    def test_goes_from_a_proposal_to_an_issued_note(self, cast: Cast, invoice: Invoice, second: User) -> None:
        body = {"invoice": invoice.number, "reason": "Wrong.", "lines": [{"position": 2}]}
        made = self.send(cast.finance, "credit-notes", body, status=201, key="one")
        assert (made["state"], made["number"], made["total"]) == ("proposed", None, "130.00")
        assert self.send(cast.finance, "credit-notes", body, status=201, key="one")["id"] == made["id"]
        self.send(cast.finance, f"credit-notes/{made['id']}/approve", {}, status=403)

        issued = self.send(second, f"credit-notes/{made['id']}/approve", {"note": "Seen."})

        assert issued["number"] == "CN-2026-000001"
        assert [(one["position"], one["net_minor"], one["creator_minor"]) for one in issued["lines"]] == [
            (2, 13_000, 4_622)
        ]
        listed = self.send(cast.finance, f"invoices/{invoice.number}/credit-notes")
        assert [one["number"] for one in listed] == ["CN-2026-000001"]
        assert self.send(cast.finance, f"credit-notes?invoice={invoice.number}")["results"] == listed

    @pytest.mark.parametrize(
        ("change", "field"),
        [
            ({"amount": "0.001"}, "amount"),
            ({"amount": 1.5}, "amount"),
            ({"amount": "180.01"}, "amount"),
            ({"lines": [{"position": 9}]}, "lines[9]"),
            ({"lines": [{}]}, "lines[0].position"),
            ({"lines": []}, "lines"),
            ({"amount": "1", "lines": [{"position": 1}]}, "lines"),
            ({"reason": ""}, "reason"),
            ({"invoice": "ST-2026-999999"}, "invoice"),
            ({"all": True}, "all"),
        ],
    )
    def test_names_the_field(self, cast: Cast, invoice: Invoice, change: dict[str, Any], field: str) -> None:
        body = {"invoice": invoice.number, "reason": "Wrong.", **change}

        problem = self.send(cast.finance, "credit-notes", body, status=400)

        assert [one["field"] for one in problem["errors"]] == [field]

    def test_tells_strangers_nothing(self, cast: Cast, invoice: Invoice) -> None:
        body = {"invoice": invoice.number, "reason": "Wrong.", "amount": "1"}
        made = self.send(cast.finance, "credit-notes", body, status=201)

        self.send(cast.stranger, "credit-notes", body, status=403)
        self.send(cast.stranger, f"credit-notes/{made['id']}", status=404)
        self.send(cast.stranger, f"credit-notes/{made['id']}/approve", {}, status=404)
        self.send(cast.stranger, f"invoices/{invoice.number}/credit-notes", status=404)
        assert self.send(cast.stranger, "credit-notes")["results"] == []
        assert signed_in(cast.stranger).get(f"/api/v1/credit-notes/{made['id']}.pdf").status_code == 404
        assert signed_in(cast.consumer).get(f"/api/v1/credit-notes/{made['id']}.pdf").status_code == 200
