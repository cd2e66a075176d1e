from collections.abc import Callable

from billing.models import BalanceTransaction, Invoice, Posting
from billing.payments import attempts, balance, queries
from billing.payments.fake import intents
from billing.payments.fake.transport import FakeTransport
from billing.payments.processor import Processor
from marketplace.accounts.access import Actor
from tests.billing.payments.conftest import AT, BACK, VISA, Cards
from tests.billing.test_close import accounts


def pay(
    invoice: Invoice, payer: Actor, processor: Processor, cards: Callable[..., Cards], token: str = VISA
) -> None:
    method = cards(processor).add(invoice.organization, token)
    attempt = attempts.pay(invoice, method=method, return_url=BACK, by=payer, at=AT)
    attempts.carry_out(attempt, processor=processor, at=AT)


class TestSync:
    def test_books_fees_once_and_agrees(
        self, invoice: Invoice, payer: Actor, processor: Processor, cards: Callable[..., Cards]
    ) -> None:
        pay(invoice, payer, processor, cards)

        assert [balance.sync(processor=processor, at=AT) for _ in range(2)] == [1, 0]

        # 2.9 % of 50.00 are 1.45, and 0.30.
        assert accounts()["payment_fees"] == 175
        (found,) = queries.balances()
        assert (found.booked_minor, found.told_minor, found.difference_minor) == (4_825, 4_825, 0)
        assert BalanceTransaction.objects.get().difference == ""
        assert not queries.unmatched_entries().exists()

    def test_books_what_goes_to_the_bank_and_comes_from_it(self, processor: Processor, db: None) -> None:
        processor.write("topups.create", key="t", amount=10_000, currency="usd")
        processor.write("payouts.create", key="p", amount=4_000, currency="usd")

        balance.sync(processor=processor, at=AT)

        assert accounts() == {"bank": -6_000, "processor_balance": 6_000}
        assert queries.balances()[0].difference_minor == 0

    def test_lists_money_that_our_books_do_not_know(
        self, fake: FakeTransport, processor: Processor, db: None
    ) -> None:
        world = fake.world()
        intents.succeed(world, intents.begin(world, {"amount": 1_000, "currency": "usd"}))

        balance.sync(processor=processor, at=AT)

        line = queries.transactions(only_differing=True).get()
        assert (line.amount_minor, line.difference) == (1_000, "It is in no entry of the books.")
        # 10.00 came and 0.59 of it was kept, which is booked: the books lack 10.00.
        assert queries.balances()[0].difference_minor == -1_000

    def test_lists_money_that_the_processor_does_not_know(
        self, invoice: Invoice, payer: Actor, processor: Processor, cards: Callable[..., Cards]
    ) -> None:
        pay(invoice, payer, processor, cards)

        (entry,) = queries.unmatched_entries()

        assert (entry.moved_minor, entry.moved_currency) == (5_000, "USD")

    def test_finds_a_line_whose_entry_comes_later(
        self,
        invoice: Invoice,
        payer: Actor,
        fake: FakeTransport,
        processor: Processor,
        cards: Callable[..., Cards],
    ) -> None:
        pay(invoice, payer, processor, cards, "pm_fake_sepa")
        attempt = invoice.payment_attempts.get()
        intents.advance(fake.world(), str(attempt.intent_id))
        balance.sync(processor=processor, at=AT)
        assert queries.transactions(only_differing=True).count() == 1

        attempts.refresh(attempt, processor=processor, at=AT)
        balance.sync(processor=processor, at=AT)

        assert queries.transactions(only_differing=True).count() == 0
        assert Posting.objects.filter(account="payment_fees").count() == 1
