"""Payments that several begin at once, or whose process is killed beside the call: one customer, one charge."""

import threading
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from django.db import connection

from billing.close import close_period
from billing.models import FakeObject, Invoice, PaymentAttempt, ReceivedPayment
from billing.payments import attempts, methods
from billing.payments.customers import customer_of, known
from billing.payments.fake.transport import FakeTransport
from billing.payments.fake.world import FAKE_SECRET
from billing.payments.processor import Processor, of_fake
from marketplace.accounts.access import Actor, actor_for
from marketplace.core.errors import Conflict
from tests import factories
from tests.billing.test_close import TERMS
from tests.billing.usage import use
from tests.races.killing import run_until_killed, wait_until_let_go

AT = datetime(2026, 11, 2, 8, tzinfo=UTC)
KILLED = -9

pytestmark = [pytest.mark.race, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def processor() -> Processor:
    return of_fake(FakeTransport(clock=lambda: AT), webhook_secret=FAKE_SECRET)


@pytest.fixture
def payer() -> Actor:
    """Somebody who pays for a company with an invoice of 50.00."""
    house = factories.make_organization(is_platform=True)
    app = factories.make_app(factories.make_team(house))
    plan = factories.make_plan(app, charges=[{"code": "fee", "model": "flat", "amount": "50"}])
    company = factories.make_organization(billing="invoice")
    person = factories.make_user()
    factories.join(person, None, "finance", organization=company)
    use(factories.make_subscription(app, factories.make_team(company), plan=plan), requests=1, cost="0")
    close_period("2026-10", at=AT, terms=TERMS)
    return actor_for(person)


def at_once(work: Callable[[], object], *, times: int = 4) -> None:
    barrier = threading.Barrier(times)

    def run() -> None:
        barrier.wait()
        try:
            work()
        finally:
            connection.close()

    threads = [threading.Thread(target=run) for _ in range(times)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


class TestPayersAtOnce:
    def test_are_one_customer_and_pay_once(self, payer: Actor, processor: Processor) -> None:
        invoice = Invoice.objects.get(kind="invoice")
        ids: list[str] = []
        refused: list[Conflict] = []
        at_once(lambda: ids.append(known(customer_of(invoice.organization, at=AT), processor=processor)))
        customer = customer_of(invoice.organization, at=AT)
        token = {"customer": ids[0]}
        added = processor.write("payment_methods.attach", "pm_card_visa", key="attach", **token)
        method = methods.keep(customer, added["id"], processor=processor, at=AT)

        def pay() -> None:
            try:
                made = attempts.pay(invoice, method=method, return_url="", by=payer, at=AT)
                attempts.carry_out(made, processor=processor, at=AT)
            except Conflict as error:
                refused.append(error)

        at_once(pay)

        assert (len(ids), len(set(ids)), FakeObject.objects.filter(kind="customer").count()) == (4, 1, 1)
        assert (len(refused), FakeObject.objects.filter(kind="charge").count()) == (3, 1)
        assert ReceivedPayment.objects.get().amount_minor == 5_000


class TestKilledPayment:
    @pytest.mark.parametrize("is_after", [False, True], ids=["before the call", "after its effect"])
    def test_charges_once(self, payer: Actor, processor: Processor, is_after: bool) -> None:
        invoice = Invoice.objects.get(kind="invoice")
        customer = customer_of(invoice.organization, at=AT)
        token = {"customer": known(customer, processor=processor)}
        added = processor.write("payment_methods.attach", "pm_card_visa", key="attach", **token)
        method = methods.keep(customer, added["id"], processor=processor, at=AT)
        attempt = attempts.pay(invoice, method=method, return_url="", by=payer, at=AT)

        code = run_until_killed(
            "tests.races.paying:carry_out",
            database=str(connection.settings_dict["NAME"]),
            last=-1,
            attempt_id=str(attempt.pk),
            is_after=is_after,
        )
        wait_until_let_go()

        assert code == KILLED
        assert PaymentAttempt.objects.get().state == "created"
        assert FakeObject.objects.filter(kind="charge").count() == int(is_after)
        for _ in range(2):
            attempts.carry_out(PaymentAttempt.objects.get(), processor=processor, at=AT)
        assert PaymentAttempt.objects.get().state == "succeeded"
        assert FakeObject.objects.filter(kind="charge").count() == 1
        assert ReceivedPayment.objects.get().amount_minor == 5_000
