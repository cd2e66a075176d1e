from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import DatabaseError, transaction

from billing import balances, settling
from billing.ledger.verify import verify
from billing.models import FakeCall, Invoice, PaymentAttempt, PaymentMethod, ReceivedPayment
from billing.payments import attempts
from billing.payments.fake import intents
from billing.payments.fake.transport import FakeTransport, Fault
from billing.payments.processor import Processor, ProcessorAway
from marketplace.accounts.access import Actor, actor_for
from marketplace.core.errors import NotAllowed
from marketplace.core.models import Job, Notice
from tests.billing.payments.conftest import AT, AUTHENTICATES, BACK, DECLINES, POOR, VISA, Cards
from tests.billing.test_close import accounts
from tests.conftest import Cast


def pay(
    invoice: Invoice, method: PaymentMethod | None, by: Actor, processor: Processor, **fields: Any
) -> PaymentAttempt:
    attempt = attempts.pay(invoice, method=method, return_url=BACK, by=by, at=AT)
    return attempts.carry_out(attempt, processor=processor, at=fields.get("at", AT))


def charges(fake: FakeTransport) -> int:
    return len(fake.world().listed("charge"))


class TestPay:
    def test_takes_the_money_and_settles_once(
        self, invoice: Invoice, payer: Actor, either: Processor, cards: Callable[..., Cards]
    ) -> None:
        method = cards(either).add(invoice.organization)

        attempt = pay(invoice, method, payer, either)
        attempts.carry_out(attempt, processor=either, at=AT)
        attempts.refresh(attempt, processor=either, at=AT)

        invoice.refresh_from_db()
        assert (attempt.state, invoice.state, settling.due_of(invoice).minor) == ("succeeded", "paid", 0)
        assert accounts(invoice)["processor_balance"] == 5_000
        assert accounts(invoice)["receivable"] == 0
        assert ReceivedPayment.objects.get().reference == attempt.intent_id
        assert all(verdict.is_ok for verdict in verify())

    @pytest.mark.parametrize(("token", "code"), [(DECLINES, "generic_decline"), (POOR, "insufficient_funds")])
    def test_says_why_a_bank_declined(
        self,
        invoice: Invoice,
        payer: Actor,
        processor: Processor,
        cards: Callable[..., Cards],
        token: str,
        code: str,
    ) -> None:
        method = cards(processor).add(invoice.organization, token)

        attempt = pay(invoice, method, payer, processor)

        assert (attempt.state, attempt.failure_code) == ("failed", code)
        assert attempt.failure_message
        assert not ReceivedPayment.objects.exists()
        assert Notice.objects.get(recipient=payer.user).path == f"/bills/{invoice.number}/pay/"

    def test_after_a_decline_needs_only_another_card(
        self, invoice: Invoice, payer: Actor, processor: Processor, cards: Callable[..., Cards]
    ) -> None:
        pay(invoice, cards(processor).add(invoice.organization, DECLINES), payer, processor)

        attempt = pay(invoice, cards(processor).add(invoice.organization, VISA), payer, processor)

        assert attempt.state == "succeeded"

    def test_waits_for_the_bank_where_it_asks(
        self,
        invoice: Invoice,
        payer: Actor,
        fake: FakeTransport,
        processor: Processor,
        cards: Callable[..., Cards],
    ) -> None:
        method = cards(processor).add(invoice.organization, AUTHENTICATES)
        attempt = pay(invoice, method, payer, processor)
        assert (attempt.state, attempt.page_url) == (
            "requires_action",
            f"/payments/fake/bank/{attempt.intent_id}/",
        )

        intents.answer_bank(fake.world(), str(attempt.intent_id), approves=True)
        attempts.refresh(attempt, processor=processor, at=AT)

        assert attempt.state == "succeeded"

    def test_of_a_debit_settles_when_the_money_is_there(
        self,
        invoice: Invoice,
        payer: Actor,
        fake: FakeTransport,
        processor: Processor,
        cards: Callable[..., Cards],
    ) -> None:
        attempt = pay(invoice, cards(processor).add(invoice.organization, "pm_fake_sepa"), payer, processor)
        assert (attempt.state, ReceivedPayment.objects.count()) == ("processing", 0)

        intents.advance(fake.world(), str(attempt.intent_id))
        attempts.refresh(attempt, processor=processor, at=AT)

        assert (attempt.state, ReceivedPayment.objects.count()) == ("succeeded", 1)

    def test_runs_one_at_a_time(
        self, invoice: Invoice, payer: Actor, processor: Processor, cards: Callable[..., Cards]
    ) -> None:
        method = cards(processor).add(invoice.organization, "pm_fake_sepa")
        pay(invoice, method, payer, processor)

        with pytest.raises(attempts.PaymentUnderWay):
            pay(invoice, method, payer, processor)

    def test_is_for_the_payers_finance_only(
        self, cast: Cast, invoice: Invoice, finance: Actor, processor: Processor, cards: Callable[..., Cards]
    ) -> None:
        method = cards(processor).add(invoice.organization)

        for person in (finance, actor_for(cast.consumer)):
            with pytest.raises(NotAllowed):
                pay(invoice, method, person, processor)

    def test_refuses_the_card_of_another_company(
        self, cast: Cast, invoice: Invoice, payer: Actor, processor: Processor, cards: Callable[..., Cards]
    ) -> None:
        with pytest.raises(attempts.MethodGone):
            pay(invoice, cards(processor).add(cast.company), payer, processor)

    def test_of_what_is_paid_is_refused(
        self, invoice: Invoice, payer: Actor, processor: Processor, cards: Callable[..., Cards]
    ) -> None:
        method = cards(processor).add(invoice.organization)
        pay(invoice, method, payer, processor)

        with pytest.raises(attempts.NothingDue):
            pay(invoice, method, payer, processor)


class TestInterruptedCall:
    @pytest.mark.parametrize("kind", ["timeout", "reset", "rate_limit", "server_error", "in_use"])
    @pytest.mark.parametrize("is_after", [False, True], ids=["before", "after"])
    def test_charges_once_when_it_is_repeated(
        self,
        invoice: Invoice,
        payer: Actor,
        fake: FakeTransport,
        processor: Processor,
        cards: Callable[..., Cards],
        kind: str,
        is_after: bool,
    ) -> None:
        method = cards(processor).add(invoice.organization)
        attempt = attempts.pay(invoice, method=method, return_url=BACK, by=payer, at=AT)
        fake.faults.append(Fault(kind, "payment_intents", is_after=is_after, times=2))

        for _ in range(2):
            with pytest.raises(ProcessorAway):
                attempts.carry_out(attempt, processor=processor, at=AT)
        attempts.carry_out(attempt, processor=processor, at=AT)

        assert (attempt.state, charges(fake), ReceivedPayment.objects.count()) == ("succeeded", 1, 1)

    def test_is_found_at_the_processor_when_its_key_may_be_forgotten(
        self,
        invoice: Invoice,
        payer: Actor,
        fake: FakeTransport,
        processor: Processor,
        cards: Callable[..., Cards],
    ) -> None:
        method = cards(processor).add(invoice.organization)
        attempt = attempts.pay(invoice, method=method, return_url=BACK, by=payer, at=AT)
        fake.faults.append(Fault("timeout", "payment_intents", is_after=True))
        with pytest.raises(ProcessorAway):
            attempts.carry_out(attempt, processor=processor, at=AT)
        forget_keys()

        attempts.carry_out(attempt, processor=processor, at=AT + timedelta(days=2))

        assert (attempt.state, charges(fake)) == ("succeeded", 1)

    def test_leaves_a_job_that_carries_it_out(
        self, invoice: Invoice, payer: Actor, processor: Processor, cards: Callable[..., Cards]
    ) -> None:
        attempt = attempts.pay(
            invoice, method=cards(processor).add(invoice.organization), return_url=BACK, by=payer, at=AT
        )

        job = Job.objects.get(name="billing.carry_out_payment")

        assert (job.arguments, job.run_at > AT) == ({"attempt_id": str(attempt.pk)}, True)


def forget_keys() -> None:
    """Let a day pass for idempotency keys."""

    FakeCall.objects.all().delete()


class TestSurplus:
    def test_of_an_invoice_that_was_paid_meanwhile_is_the_payers_balance(
        self,
        invoice: Invoice,
        payer: Actor,
        finance: Actor,
        fake: FakeTransport,
        processor: Processor,
        cards: Callable[..., Cards],
    ) -> None:
        attempt = pay(invoice, cards(processor).add(invoice.organization, "pm_fake_sepa"), payer, processor)
        # 20.00 of 50.00 came by bank, so 30.00 are due when the debit brings 50.00.
        settling.record_payment(
            invoice, amount_minor=2_000, reference="R-1", received_date=AT.date(), by=finance, at=AT
        )

        intents.advance(fake.world(), str(attempt.intent_id))
        attempts.refresh(attempt, processor=processor, at=AT)

        assert balances.balance_of(invoice.organization_id, "USD") == 2_000
        assert (accounts()["processor_balance"], accounts()["receivable"]) == (5_000, 0)
        assert all(verdict.is_ok for verdict in verify())

    def test_of_an_invoice_with_nothing_due_is_kept_as_a_whole(
        self,
        invoice: Invoice,
        payer: Actor,
        finance: Actor,
        fake: FakeTransport,
        processor: Processor,
        cards: Callable[..., Cards],
    ) -> None:
        attempt = pay(invoice, cards(processor).add(invoice.organization, "pm_fake_sepa"), payer, processor)
        settling.record_payment(
            invoice, amount_minor=5_000, reference="R-1", received_date=AT.date(), by=finance, at=AT
        )

        intents.advance(fake.world(), str(attempt.intent_id))
        for _ in range(2):
            attempts.refresh(attempt, processor=processor, at=AT)

        assert balances.balance_of(invoice.organization_id, "USD") == 5_000
        assert accounts()["processor_balance"] == 5_000


class TestStates:
    def test_never_go_back(
        self, invoice: Invoice, payer: Actor, processor: Processor, cards: Callable[..., Cards]
    ) -> None:
        attempt = pay(invoice, cards(processor).add(invoice.organization), payer, processor)
        told = processor.read("payment_intents.retrieve", str(attempt.intent_id))

        for status in ("processing", "requires_action", "canceled", "requires_payment_method"):
            attempts.apply(attempt, {**told, "status": status, "last_payment_error": {"code": "x"}}, at=AT)

        attempt.refresh_from_db()
        assert (attempt.state, attempt.failure_code) == ("succeeded", "")

    def test_belong_to_an_amount_that_stays(
        self, invoice: Invoice, payer: Actor, processor: Processor, cards: Callable[..., Cards]
    ) -> None:
        attempt = pay(invoice, cards(processor).add(invoice.organization), payer, processor)

        with pytest.raises(DatabaseError, match="asked_payment_stays"), transaction.atomic():
            PaymentAttempt.objects.filter(pk=attempt.pk).update(amount_minor=1)
