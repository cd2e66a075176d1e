from collections.abc import Callable
from decimal import Decimal

import pytest
from django.db import DatabaseError, transaction

from billing import balances, credit_notes
from billing.credit_asks import Ask
from billing.ledger.verify import verify
from billing.models import CreditNote, Invoice, PaymentAttempt, PaymentRefund
from billing.payments import attempts, disputes, refunds
from billing.payments.fake import intents
from billing.payments.fake import refunds as fake_refunds
from billing.payments.fake.transport import FakeTransport, Fault
from billing.payments.processor import Processor, ProcessorAway
from billing.terms import ShareTerms, Terms
from marketplace.accounts.access import Actor
from marketplace.core.errors import InvalidInput, NotAllowed
from tests.billing.payments.conftest import AT, BACK, DISPUTES, VISA, Cards
from tests.billing.test_close import accounts

TERMS = Terms(legal_entity="Test Company", default_share=ShareTerms(Decimal("0.20")), currency="USD")
Paid = Callable[..., PaymentAttempt]


@pytest.fixture
def paid(invoice: Invoice, payer: Actor, processor: Processor, cards: Callable[..., Cards]) -> Paid:
    """Pays the invoice by a card."""

    def pay(token: str = VISA, by: Processor = processor) -> PaymentAttempt:
        method = cards(by).add(invoice.organization, token)
        attempt = attempts.pay(invoice, method=method, return_url=BACK, by=payer, at=AT)
        return attempts.carry_out(attempt, processor=by, at=AT)

    return pay


def credit(invoice: Invoice, by: Actor, amount_minor: int) -> CreditNote:
    return credit_notes.propose(
        invoice, ask=Ask(amount_minor=amount_minor), reason="Twice.", by=by, at=AT, terms=TERMS
    )


class TestRefund:
    @pytest.mark.parametrize("amount_minor", [2_000, 5_000], ids=["partial", "full"])
    def test_gives_back_what_a_credit_note_left(
        self, invoice: Invoice, finance: Actor, either: Processor, paid: Paid, amount_minor: int
    ) -> None:
        paid(by=either)
        note = credit(invoice, finance, amount_minor)

        (refund,) = refunds.refund_credit(note, by=finance, at=AT)
        for _ in range(2):
            refunds.carry_out(refund, processor=either, at=AT)

        assert (refund.state, refund.amount_minor) == ("succeeded", amount_minor)
        assert balances.balance_of(invoice.organization_id, "USD") == 0
        assert accounts()["processor_balance"] == 5_000 - amount_minor
        assert all(verdict.is_ok for verdict in verify())

    def test_is_made_once_though_its_answer_is_lost(
        self, invoice: Invoice, finance: Actor, fake: FakeTransport, processor: Processor, paid: Paid
    ) -> None:
        paid()
        (refund,) = refunds.refund_credit(credit(invoice, finance, 2_000), by=finance, at=AT)
        fake.faults.append(Fault("timeout", "refunds", is_after=True))

        with pytest.raises(ProcessorAway):
            refunds.carry_out(refund, processor=processor, at=AT)
        refunds.carry_out(refund, processor=processor, at=AT)

        assert len(fake.world().listed("refund")) == 1

    def test_that_the_bank_sends_back_is_the_payers_balance_again(
        self, invoice: Invoice, finance: Actor, fake: FakeTransport, processor: Processor, paid: Paid
    ) -> None:
        paid("pm_card_refundFail")
        (refund,) = refunds.refund_credit(credit(invoice, finance, 2_000), by=finance, at=AT)
        refunds.carry_out(refund, processor=processor, at=AT)
        fake_refunds.come_back(fake.world(), str(refund.refund_id))

        for _ in range(2):
            refunds.refresh(refund, processor=processor, at=AT)

        assert (refund.state, refund.failure) == ("failed", "lost or stolen card")
        assert balances.balance_of(invoice.organization_id, "USD") == 2_000
        assert accounts()["processor_balance"] == 5_000

    def test_never_takes_more_than_the_payer_has(self, invoice: Invoice, finance: Actor, paid: Paid) -> None:
        attempt = paid()
        note = credit(invoice, finance, 2_000)
        refunds.refund(attempt, amount_minor=1_500, by=finance, at=AT)

        with pytest.raises(InvalidInput, match=r"at most \$5\.00"):
            refunds.refund(attempt, amount_minor=501, by=finance, at=AT)
        (rest,) = refunds.refund_credit(note, by=finance, at=AT)

        assert rest.amount_minor == 500
        with pytest.raises(refunds.NothingToRefund):
            refunds.refund_credit(note, by=finance, at=AT)

    def test_never_exceeds_its_payment(self, invoice: Invoice, finance: Actor, paid: Paid) -> None:
        attempt = paid()

        with pytest.raises(DatabaseError, match="more is refunded"), transaction.atomic():
            PaymentRefund.objects.create(attempt=attempt, invoice=invoice, amount_minor=5_001, created_at=AT)

    def test_is_for_the_marketplaces_finance(
        self, invoice: Invoice, finance: Actor, payer: Actor, paid: Paid
    ) -> None:
        attempt = paid()
        note = credit(invoice, finance, 2_000)

        with pytest.raises(NotAllowed):
            refunds.refund_credit(note, by=payer, at=AT)
        with pytest.raises(NotAllowed):
            refunds.refund(attempt, amount_minor=1, by=payer, at=AT)


class TestDispute:
    def open(self, fake: FakeTransport, processor: Processor) -> str:
        (found,) = fake.world().listed("dispute")
        dispute = disputes.refresh(found["id"], processor=processor, at=AT)
        assert dispute is not None
        return str(found["id"])

    def test_books_what_was_withdrawn_until_it_is_decided(
        self, invoice: Invoice, fake: FakeTransport, processor: Processor, paid: Paid
    ) -> None:
        paid(DISPUTES)

        self.open(fake, processor)

        assert (accounts()["disputed_payments"], accounts()["processor_balance"]) == (5_000, 0)
        invoice.refresh_from_db()
        assert invoice.state == "paid"

    def test_that_is_won_brings_the_money_back(
        self, finance: Actor, fake: FakeTransport, processor: Processor, paid: Paid
    ) -> None:
        paid(DISPUTES)
        dispute = disputes.refresh(self.open(fake, processor), processor=processor, at=AT)
        assert dispute is not None

        answered = disputes.answer(
            dispute, evidence="winning_evidence", processor=processor, by=finance, at=AT
        )

        assert answered.state == "won"
        assert (accounts()["disputed_payments"], accounts()["processor_balance"]) == (0, 5_000)
        with pytest.raises(disputes.DisputeClosed):
            disputes.accept(answered, processor=processor, by=finance, at=AT)

    def test_that_is_lost_makes_the_invoice_due_again(
        self, invoice: Invoice, finance: Actor, fake: FakeTransport, processor: Processor, paid: Paid
    ) -> None:
        paid(DISPUTES)
        dispute_id = self.open(fake, processor)
        dispute = disputes.refresh(dispute_id, processor=processor, at=AT)
        assert dispute is not None

        disputes.accept(dispute, processor=processor, by=finance, at=AT)
        disputes.refresh(dispute_id, processor=processor, at=AT)

        invoice.refresh_from_db()
        assert invoice.state == "finalized"
        assert (accounts()["disputed_payments"], accounts()["receivable"]) == (0, 5_000)
        assert all(verdict.is_ok for verdict in verify())

    def test_is_answered_by_the_marketplaces_finance(
        self, payer: Actor, fake: FakeTransport, processor: Processor, paid: Paid
    ) -> None:
        paid(DISPUTES)
        dispute = disputes.refresh(self.open(fake, processor), processor=processor, at=AT)
        assert dispute is not None

        with pytest.raises(NotAllowed):
            disputes.answer(dispute, evidence="x", processor=processor, by=payer, at=AT)

    def test_of_a_payment_that_is_not_ours_is_left_alone(
        self, fake: FakeTransport, processor: Processor, db: None
    ) -> None:
        world = fake.world()
        intent = intents.begin(world, {"amount": 100, "currency": "usd"})
        intents.succeed(world, intent)
        found = intents.dispute(world, world.listed("charge")[0])

        assert disputes.refresh(found["id"], processor=processor, at=AT) is None
