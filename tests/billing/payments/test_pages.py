from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from billing.models import (
    ConnectedAccount,
    FakeObject,
    Invoice,
    PaymentAttempt,
    PaymentMethod,
    ProcessorEvent,
)
from billing.payments import attempts, balance, disputes
from billing.payments.fake.delivering import announcing, signed
from billing.payments.house import house_processor
from marketplace.accounts.access import Actor
from marketplace.accounts.models import User
from marketplace.core.models import Job
from tests.billing.payments.conftest import AT, BACK, DECLINES, DISPUTES, Cards
from tests.conftest import Cast

METHODS = "/bills/payment-methods/"
VISA_NUMBER, AUTHENTICATES_NUMBER = "4242424242424242", "4000002760003184"


@pytest.fixture(autouse=True)
def no_key(settings: Any) -> None:
    """Whatever the environment says, pages are tested with the fake."""
    settings.STRIPE_SECRET_KEY, settings.DEMO = "", True


@pytest.fixture
def enter(client: Client) -> Callable[[User], Client]:
    def sign_in(person: User) -> Client:
        client.force_login(person)
        return client

    return sign_in


def add_card(client: Client, number: str = VISA_NUMBER) -> None:
    page = client.post(f"{METHODS}add/", follow=True).redirect_chain[-1][0]
    client.post(page, {"card": number}, follow=True)


class TestMethods:
    def test_are_added_on_the_processors_page_and_removed(
        self, cast: Cast, enter: Callable[[User], Client]
    ) -> None:
        client = enter(cast.stranger)

        page = client.post(f"{METHODS}add/", follow=True)
        back = client.post(page.redirect_chain[-1][0], {"card": VISA_NUMBER}, follow=True)

        method = PaymentMethod.objects.get()
        assert "Visa …4242" in back.content.decode()
        assert (method.is_default, method.customer.organization) == (True, cast.stranger_team.organization)
        client.post(f"{METHODS}automatic/", {"agree": "yes"})
        assert "End automatic payment" in client.get(METHODS).content.decode()
        client.post(f"{METHODS}{method.pk}/", {"remove": "yes"})
        assert "No card or account yet" in client.get(METHODS).content.decode()

    def test_are_nobody_elses(self, cast: Cast, enter: Callable[[User], Client]) -> None:
        add_card(enter(cast.stranger))
        method = PaymentMethod.objects.get()
        session = FakeObject.objects.get(kind="checkout.session").object_id

        client = enter(cast.finance)

        assert "…4242" not in client.get(METHODS).content.decode()
        assert client.get(f"{METHODS}?organization=other").status_code == 404
        assert client.post(f"{METHODS}{method.pk}/", {"remove": "yes"}).status_code == 404
        assert client.get(f"/payments/fake/checkout/{session}/").status_code == 404
        assert enter(cast.consumer).get(METHODS).status_code == 404


class TestPaying:
    def url(self, invoice: Invoice) -> str:
        return f"/bills/{invoice.number}/pay/"

    def test_takes_one_press_with_a_known_card(
        self, cast: Cast, invoice: Invoice, enter: Callable[[User], Client]
    ) -> None:
        client = enter(cast.stranger)
        add_card(client)

        page = client.post(self.url(invoice), {"way": str(PaymentMethod.objects.get().pk)}, follow=True)

        invoice.refresh_from_db()
        assert ("is settled with it" in page.content.decode(), invoice.state) == (True, "paid")

    def test_needs_no_second_entry_after_a_decline(
        self, cast: Cast, invoice: Invoice, enter: Callable[[User], Client]
    ) -> None:
        client = enter(cast.stranger)
        method = Cards(house_processor()).add(invoice.organization, DECLINES)
        client.post(self.url(invoice), {"way": str(method.pk)}, follow=True)

        page = client.get(self.url(invoice)).content.decode()

        assert "The last payment did not go through" in page
        assert (
            f'value="{method.pk}"' in page
            and "checked" in page.split(f'value="{method.pk}"')[1].split(">")[0]
        )

    def test_by_another_card_leads_over_the_processors_page_and_the_bank(
        self, cast: Cast, invoice: Invoice, enter: Callable[[User], Client]
    ) -> None:
        client = enter(cast.stranger)
        checkout = client.post(self.url(invoice), {"way": "another"}, follow=True).redirect_chain[-1][0]
        bank = client.post(checkout, {"card": AUTHENTICATES_NUMBER}, follow=True).redirect_chain[-1][0]
        assert bank.startswith("/payments/fake/bank/")

        page = client.post(bank, {"approve": "yes"}, follow=True)

        assert "is settled with it" in page.content.decode()

    def test_that_is_declined_on_the_processors_page_can_try_another_card_there(
        self, cast: Cast, invoice: Invoice, enter: Callable[[User], Client]
    ) -> None:
        client = enter(cast.stranger)
        checkout = client.post(self.url(invoice), {"way": "another"}, follow=True).redirect_chain[-1][0]

        refused = client.post(checkout, {"card": "4000000000000341"})
        page = client.post(checkout, {"card": VISA_NUMBER}, follow=True)

        assert "Your card was declined." in refused.content.decode()
        assert "is settled with it" in page.content.decode()

    def test_can_be_given_up_and_begun_anew(
        self, cast: Cast, invoice: Invoice, enter: Callable[[User], Client]
    ) -> None:
        client = enter(cast.stranger)
        client.post(self.url(invoice), {"way": "another"})
        attempt = PaymentAttempt.objects.get()
        assert "A payment is under way" in client.get(self.url(invoice)).content.decode()

        client.post(f"/bills/payments/{attempt.pk}/cancel/")

        attempt.refresh_from_db()
        assert attempt.state == "canceled"
        assert "How to pay" in client.get(self.url(invoice)).content.decode()

    def test_is_for_who_pays(self, cast: Cast, invoice: Invoice, enter: Callable[[User], Client]) -> None:
        for person in (cast.finance, cast.consumer, cast.creator):
            assert enter(person).get(self.url(invoice)).status_code == 404

    def test_works_by_the_api(self, cast: Cast, invoice: Invoice, enter: Callable[[User], Client]) -> None:
        client = enter(cast.stranger)
        add_card(client)
        path = f"/api/v1/invoices/{invoice.number}/pay"

        paid = client.post(path, {"return_url": BACK}, content_type="application/json")
        again = client.post(path, {"return_url": BACK}, content_type="application/json")

        assert (paid.status_code, paid.json()["state"], paid.json()["method"]) == (
            201,
            "succeeded",
            "Visa …4242",
        )
        assert (again.status_code, again.json()["code"]) == (409, "nothing_due")
        assert client.get("/api/v1/card-payments").json()["results"][0]["invoice"] == invoice.number
        assert (
            enter(cast.consumer).post(path, {"return_url": BACK}, content_type="application/json").status_code
            == 404
        )
        assert client.get("/api/v1/card-payments").json()["results"] == []


class TestConnectedAccount:
    def test_is_opened_and_filled_in(self, cast: Cast, enter: Callable[[User], Client]) -> None:
        client = enter(cast.creator)
        path = f"/connected-accounts/{cast.creator_team.pk}/"

        page = client.post(path, {"country": "US"}, follow=True).redirect_chain[-1][0]
        client.post(page, {"partly": "yes"}, follow=True)
        assert "external_account" in client.get(path).content.decode()
        page = client.post(path, follow=True).redirect_chain[-1][0]
        client.post(page, {"complete": "yes"}, follow=True)

        assert ConnectedAccount.objects.get().state == "ready"
        assert "It can be paid" in client.get(path).content.decode()
        for stranger in (cast.consumer, cast.stranger):
            assert enter(stranger).get(path).status_code == 404
            assert enter(stranger).get(page).status_code == 404


class TestFinance:
    PAGES = ("", "events/", "disputes/", "reconciliation/")

    @pytest.fixture
    def disputed(self, invoice: Invoice, payer: Actor) -> PaymentAttempt:
        processor = house_processor()
        method = Cards(processor).add(invoice.organization, DISPUTES)
        attempt = attempts.pay(invoice, method=method, return_url=BACK, by=payer, at=AT)
        attempts.carry_out(attempt, processor=processor, at=AT)
        (found,) = announcing().world().listed("dispute")
        disputes.refresh(found["id"], processor=processor, at=AT)
        balance.sync(processor=processor, at=AT)
        return attempt

    def test_sees_payments_disputes_and_what_differs_in_few_queries(
        self, cast: Cast, disputed: PaymentAttempt, enter: Callable[[User], Client]
    ) -> None:
        client = enter(cast.finance)

        for page in self.PAGES:
            with CaptureQueriesContext(connection) as queries:
                assert client.get(f"/finance/payments/{page}").status_code == 200
            assert len(queries) <= 14, page
        shown = client.get(f"/finance/payments/{disputed.pk}/").content.decode()
        assert ("$50.00" in shown, "fraudulent" in shown, "$1.75" in shown) == (True, True, True)

    def test_is_the_marketplaces(
        self, cast: Cast, disputed: PaymentAttempt, enter: Callable[[User], Client]
    ) -> None:
        client = enter(cast.stranger)

        for page in (*self.PAGES, f"{disputed.pk}/", f"disputes/{disputed.disputes.get().pk}/"):
            assert client.get(f"/finance/payments/{page}").status_code == 403

    def test_answers_a_dispute(
        self, cast: Cast, disputed: PaymentAttempt, enter: Callable[[User], Client]
    ) -> None:
        client = enter(cast.finance)
        path = f"/finance/payments/disputes/{disputed.disputes.get().pk}/"

        assert client.post(path, {"answer": "yes", "evidence": " "}).status_code == 200
        assert disputed.disputes.get().state == "needs_response"
        client.post(path, {"answer": "yes", "evidence": "winning_evidence"})

        assert "The money came back." in client.get(path).content.decode()

    def test_replays_an_event(self, cast: Cast, client: Client, enter: Callable[[User], Client]) -> None:
        told = {
            "id": "evt_9", "object": "event", "type": "x.y", "created": 1_793_000_000, "data": {"object": {"id": "x"}},
        }  # fmt: skip
        body, signature = signed(told)
        client.post(
            "/api/v1/webhooks/stripe",
            body,
            content_type="application/json",
            headers={"Stripe-Signature": signature},
        )
        client = enter(cast.finance)

        assert "evt_9" in client.get("/finance/payments/events/evt_9/").content.decode()
        client.post("/finance/payments/events/evt_9/replay/")

        assert ProcessorEvent.objects.get().replays == 1
        assert Job.objects.filter(name="billing.read_processor_event").count() == 2

    def test_of_another_company_sees_its_own_payments_by_the_api(
        self, cast: Cast, disputed: PaymentAttempt, enter: Callable[[User], Client]
    ) -> None:
        shown = [
            enter(person).get("/api/v1/card-payments").json()["results"]
            for person in (cast.finance, cast.stranger)
        ]

        assert [len(rows) for rows in shown] == [1, 1]
