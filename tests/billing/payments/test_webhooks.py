from collections.abc import Callable
from itertools import permutations
from typing import Any

import pytest
from django.test import Client

from billing.ledger.verify import verify
from billing.models import FakeObject, Invoice, JournalEntry, PaymentAttempt, PaymentDispute, ProcessorEvent
from billing.payments import attempts, balance, events, webhooks
from billing.payments.fake import intents, refunds
from billing.payments.fake.delivering import signed
from billing.payments.fake.transport import FakeTransport, Fault
from billing.payments.processor import BadSignature, Processor, ProcessorAway
from marketplace.accounts.access import Actor
from marketplace.core.errors import NotAllowed
from marketplace.core.models import Job
from tests.billing.payments.conftest import AT, BACK, Cards
from tests.billing.test_close import accounts

URL = "/api/v1/webhooks/stripe"


def told(event_type: str = "customer.created", **thing: Any) -> dict[str, Any]:
    return {
        "id": "evt_1", "object": "event", "type": event_type, "created": 1_793_000_000,
        "data": {"object": {"id": "cus_1", **thing}},
    }  # fmt: skip


def receive(event: dict[str, Any], processor: Processor) -> ProcessorEvent:
    body, signature = signed(event)
    return webhooks.receive(body, signature=signature, processor=processor, at=AT)


def hear(processor: Processor, *, of: Callable[[dict[str, Any]], bool] = lambda event: True) -> None:
    """Receive and read what the fake has told, in its order."""
    for row in FakeObject.objects.filter(kind="event").order_by("number"):
        if of(row.body):
            events.read(receive(row.body, processor), processor=processor, at=AT)


@pytest.mark.django_db
class TestReceive:
    def test_keeps_an_event_once_with_the_job_that_reads_it(self, processor: Processor) -> None:
        for _ in range(3):
            receive(told(), processor)

        event = ProcessorEvent.objects.get()
        assert (event.type, event.object_id, event.deliveries, event.state) == (
            "customer.created",
            "cus_1",
            3,
            "received",
        )
        assert Job.objects.filter(name="billing.read_processor_event").count() == 1

    def test_keeps_what_it_does_not_know(self, processor: Processor) -> None:
        event = receive(told("treasury.new_thing", amount=12.5), processor)

        events.read(event, processor=processor, at=AT)

        assert (event.state, event.payload["data"]["object"]["amount"]) == ("ignored", "12.5")

    @pytest.mark.parametrize(
        "change",
        [
            lambda body, signature: (body + b" ", signature),
            lambda body, signature: (body, signature.replace("v1=", "v1=0")),
            lambda body, signature: (body, ""),
            lambda body, signature: (b"\xff", signature),
        ],
        ids=["other body", "other signature", "none", "no text"],
    )
    def test_refuses_what_is_not_signed(
        self, processor: Processor, change: Callable[..., tuple[bytes, str]]
    ) -> None:
        body, signature = change(*signed(told()))

        with pytest.raises(BadSignature):
            webhooks.receive(body, signature=signature, processor=processor, at=AT)

    def test_refuses_what_is_old(self, processor: Processor) -> None:
        body, signature = signed(told(), at=1_600_000_000)

        with pytest.raises(BadSignature):
            webhooks.receive(body, signature=signature, processor=processor, at=AT)

    def test_answers_by_http(self, client: Client) -> None:
        body, signature = signed(told())
        headers = {"Stripe-Signature": signature}

        answer = client.post(URL, body, content_type="application/json", headers=headers)
        forged = client.post(
            URL, body, content_type="application/json", headers={"Stripe-Signature": "t=1,v1=0"}
        )

        assert (answer.status_code, answer.json()) == (200, {"received": "evt_1"})
        assert (forged.status_code, forged.json()["code"]) == (400, "bad_signature")
        assert client.post(URL, b"{}", content_type="application/json").status_code == 400
        assert ProcessorEvent.objects.count() == 1


class TestRead:
    @pytest.fixture
    def attempt(
        self,
        invoice: Invoice,
        payer: Actor,
        fake: FakeTransport,
        processor: Processor,
        cards: Callable[..., Cards],
    ) -> PaymentAttempt:
        """A payment of which we heard nothing: its answer got lost, then it succeeded and was disputed and won."""
        method = cards(processor).add(invoice.organization, "pm_card_createDispute")
        made = attempts.pay(invoice, method=method, return_url=BACK, by=payer, at=AT)
        fake.faults.append(Fault("timeout", "payment_intents", is_after=True))
        with pytest.raises(ProcessorAway):
            attempts.carry_out(made, processor=processor, at=AT)
        (dispute,) = fake.world().listed("dispute")
        refunds.decide(fake.world(), dispute["id"], is_won=True)
        return made

    ORDER = (
        "payment_intent.created",
        "payment_intent.succeeded",
        "charge.dispute.created",
        "charge.dispute.closed",
    )

    @pytest.mark.parametrize(
        "order", list(permutations(range(4))), ids=lambda order: "".join(map(str, order))
    )
    def test_comes_to_the_same_in_any_order_and_twice(
        self, attempt: PaymentAttempt, invoice: Invoice, processor: Processor, order: tuple[int, ...]
    ) -> None:
        told = {row.body["type"]: row.body for row in FakeObject.objects.filter(kind="event")}

        for place in (*order, *reversed(order)):
            assert (
                events.read(receive(told[self.ORDER[place]], processor), processor=processor, at=AT).state
                == "done"
            )

        attempt.refresh_from_db()
        assert (attempt.state, PaymentDispute.objects.get().state) == ("succeeded", "won")
        assert accounts()["processor_balance"] == 5_000
        assert accounts()["disputed_payments"] == 0
        assert JournalEntry.objects.filter(kind="billing.payment").count() == 1
        assert all(verdict.is_ok for verdict in verify())

    def test_is_tried_again_when_the_processor_is_away(
        self, attempt: PaymentAttempt, fake: FakeTransport, processor: Processor
    ) -> None:
        row = FakeObject.objects.get(kind="event", body__type="payment_intent.succeeded")
        event = receive(row.body, processor)
        fake.faults.append(Fault("server_error", "payment_intents", method="get"))

        with pytest.raises(ProcessorAway):
            events.read(event, processor=processor, at=AT)
        assert event.state == "received"

        assert events.read(event, processor=processor, at=AT).state == "done"

    def test_leaves_alone_what_is_about_nothing_of_ours(
        self, processor: Processor, fake: FakeTransport, db: None
    ) -> None:
        intents.create(fake.world(), {"amount": "100", "currency": "usd"})

        hear(processor)

        event = ProcessorEvent.objects.get()
        assert (event.state, event.note) == ("ignored", "It is about nothing of ours.")

    def test_again_is_for_finance(
        self, attempt: PaymentAttempt, processor: Processor, finance: Actor, payer: Actor
    ) -> None:
        row = FakeObject.objects.get(kind="event", body__type="payment_intent.succeeded")
        event = receive(row.body, processor)

        webhooks.replay(event, by=finance, at=AT)

        assert Job.objects.filter(name="billing.read_processor_event").count() == 2
        with pytest.raises(NotAllowed):
            webhooks.replay(event, by=payer, at=AT)

    def test_of_a_payout_fetches_the_balance(
        self, attempt: PaymentAttempt, fake: FakeTransport, processor: Processor
    ) -> None:
        hear(processor)
        balance.sync(processor=processor, at=AT)

        # 50.00 came, disputed and won: 5000 - 175 - 5000 - 1500 + 5000 = 3325.
        assert accounts()["processor_balance"] == 3_325
        assert accounts()["payment_fees"] == 1_675
