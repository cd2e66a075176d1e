from collections.abc import Iterator
from typing import Any
from unittest import mock

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from billing import dunning, overdue, settling
from billing.models import BankLine, Invoice
from marketplace.accounts.access import Actor, actor_for
from marketplace.accounts.models import User
from tests import factories
from tests.billing.test_bank_imports import CSV
from tests.billing.test_close import FEE, close, subscribe
from tests.billing.test_dunning import day, introduce
from tests.billing.usage import use
from tests.conftest import Cast

NOW = day(11)


@pytest.fixture(autouse=True)
def clock() -> Iterator[None]:
    with mock.patch("django.utils.timezone.now", return_value=NOW):
        yield


@pytest.fixture
def payer(cast: Cast) -> User:
    factories.join(cast.stranger, None, "finance", organization=cast.stranger_team.organization)
    return cast.stranger


@pytest.fixture
def invoice(cast: Cast, payer: User) -> Invoice:
    """An invoice of 50.00 to the other company, reminded of twice."""
    use(subscribe(cast, [FEE], team=cast.stranger_team), requests=1, cost="0")
    (found,) = close()
    introduce(actor_for(cast.finance))
    for number in (3, 10):
        overdue.mark_overdue(at=day(number))
        dunning.run(at=day(number))
    return found


@pytest.fixture
def finance(cast: Cast) -> Actor:
    return actor_for(cast.finance)


def send(person: User, path: str, body: Any = None, *, status: int = 200, **options: Any) -> Any:
    client = Client()
    client.force_login(person)
    options = {"content_type": "application/json", **options}
    answer = (
        client.get(f"/api/v1/{path}") if body is None else client.post(f"/api/v1/{path}", body, **options)
    )
    assert answer.status_code == status, answer.content
    return answer.json()


class TestPayments:
    def test_are_listed_and_reversed(self, invoice: Invoice, cast: Cast, payer: User) -> None:
        paid = {"amount": "20.00", "reference": "R-1", "received_date": "2026-12-10"}
        made = send(cast.finance, f"invoices/{invoice.number}/payments", paid, status=201)
        back = {"amount": "5", "reference": "RV", "reason": "Bounced."}

        send(payer, f"payments/{made['id']}/reverse", back, status=403)
        shown = send(cast.finance, f"payments/{made['id']}/reverse", back)

        assert (shown["amount_minor"], shown["reversed_minor"]) == (2_000, 500)
        assert settling.due_of(invoice).minor == 3_500
        assert send(payer, "payments?source=transfer")["results"] == [shown]
        assert send(cast.consumer, "payments")["results"] == []
        send(cast.consumer, f"payments/{made['id']}", status=404)


class TestDunning:
    def test_says_what_was_sent_and_what_comes(self, invoice: Invoice, cast: Cast, payer: User) -> None:
        shown = send(payer, f"dunning/{invoice.number}")

        assert [one["step"] for one in shown["sent"]] == [2, 1]
        assert [one["amount_minor"] for one in shown["sent"][0]["charges"]] == [500, 10]
        assert (shown["next_step"], shown["next_at"]) == (3, "2026-12-22T08:00:00Z")
        assert shown["calls_stop_at"] == "2026-12-28T00:00:00Z"
        send(cast.consumer, f"dunning/{invoice.number}", status=404)

    def test_rests_by_a_promise_and_is_answered(self, invoice: Invoice, cast: Cast, payer: User) -> None:
        said = {
            "invoice": invoice.number,
            "kind": "promise",
            "note": "Soon.",
            "until": "2026-12-24T00:00:00Z",
        }
        made = send(payer, "dunning-pauses", said, status=201)
        assert send(payer, f"dunning/{invoice.number}")["rests_until"] == "2026-12-24T00:00:00Z"
        send(payer, "dunning-pauses", said, status=409)
        send(cast.consumer, "dunning-pauses", said, status=400)
        assert send(cast.consumer, "dunning-pauses")["results"] == []

        ended = send(cast.finance, f"dunning-pauses/{made['id']}/end", {"note": "Thank you."})

        assert ended["answer"] == "Thank you."

    def test_is_paused_for_a_customer_by_finance(self, invoice: Invoice, cast: Cast, payer: User) -> None:
        body = {"organization": "other", "kind": "courtesy", "note": "Kind.", "days": 3, "lifts_stop": True}
        made = send(cast.finance, "dunning-pauses", body, status=201)
        assert (made["invoice"], made["lifts_stop"], made["ends_at"]) == (None, True, "2026-12-16T08:00:00Z")
        send(payer, "dunning-pauses", body, status=403)


class TestWriteOffs:
    def test_are_made_by_finance_alone(self, invoice: Invoice, cast: Cast, payer: User) -> None:
        body = {"invoice": invoice.number, "reason": "Gone."}
        for person in (payer, cast.consumer):
            send(person, "write-offs", body, status=403)
            send(person, "write-offs", status=403)
        send(cast.finance, "write-offs", {**body, "invoice": "INV-9"}, status=400)

        made = send(cast.finance, "write-offs", body, status=201)

        assert (made["state"], made["amount_minor"]) == ("posted", 5_000)
        assert send(cast.finance, "write-offs?state=posted")["results"] == [made]
        send(cast.finance, f"write-offs/{made['id']}/approve", {}, status=403)


class TestBankImports:
    def test_are_read_in_applied_and_assigned(self, invoice: Invoice, cast: Cast, payer: User) -> None:
        file = {"file": SimpleUploadedFile("bank.csv", CSV), "format": "csv"}
        client = Client()
        client.force_login(cast.finance)
        made = client.post("/api/v1/bank-imports", file).json()
        assert [one["line"] for one in made["unreadable"]] == [4, 6]

        assert send(cast.finance, f"bank-imports/{made['id']}/apply", {}) == {"applied": 1}
        line = BankLine.objects.get(reference="R2")
        shown = send(cast.finance, f"bank-lines/{line.pk}/assign", {"organization": "other"})
        other = BankLine.objects.get(reference="R6")
        send(cast.finance, f"bank-lines/{other.pk}/dismiss", {"note": ""}, status=400)
        send(cast.finance, f"bank-lines/{other.pk}/dismiss", {"note": "Not ours."})

        assert (shown["state"], shown["how"]) == ("applied", "hand")
        assert send(cast.finance, f"bank-lines?bank_import={made['id']}&state=open")["results"] == []
        for path in ("bank-imports", "bank-lines"):
            send(payer, path, status=403)
