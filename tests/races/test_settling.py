import threading
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
from django.db import connection

from billing import balances, dunning, dunning_policies, overdue, settling, write_offs
from billing.close import close_period
from billing.collecting_terms import CollectingTerms
from billing.dunning_policies import StepTerms
from billing.ledger.verify import verify
from billing.models import DunningNotice, Invoice, ReceivedPayment
from billing.terms import ShareTerms, Terms
from marketplace.accounts.access import Actor, actor_for
from marketplace.core.errors import HalfpennyError
from quotas import payment_stops
from tests import factories
from tests.billing.usage import use

TERMS = Terms(legal_entity="Test Company", default_share=ShareTerms(Decimal("0.20")), currency="USD")
AT = datetime(2026, 11, 2, 8, tzinfo=UTC)
LATE = AT + timedelta(days=60)  # 1 January 2027, a Friday

pytestmark = [pytest.mark.race, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def finance() -> Actor:
    company = factories.make_organization(is_platform=True)
    person = factories.make_user("finance@demo.example")
    factories.join(person, None, "finance", organization=company)
    return actor_for(person)


@pytest.fixture
def invoice(finance: Actor) -> Invoice:
    """An invoice of 50.00, overdue."""
    customer = factories.make_team(factories.make_organization(billing="invoice"))
    app = factories.make_app(factories.make_team(factories.make_organization()))
    plan = factories.make_plan(app, charges=[{"code": "fee", "model": "flat", "amount": "50"}])
    use(factories.make_subscription(app, customer, plan=plan), requests=1, cost="0")
    close_period("2026-10", at=AT, terms=TERMS)
    overdue.mark_overdue(at=LATE)
    return Invoice.objects.get(kind="invoice")


def at_once(*acts: Callable[[], object]) -> list[str]:
    """Do things at the same moment; returns the codes of what was refused."""
    refused: list[str] = []
    barrier = threading.Barrier(len(acts))

    def run(act: Callable[[], object]) -> None:
        barrier.wait()
        try:
            act()
        except HalfpennyError as error:
            refused.append(error.code)
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=(act,)) for act in acts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return refused


def paying(invoice: Invoice, by: Actor, amount_minor: int, reference: str) -> Callable[[], object]:
    return lambda: settling.record_payment(
        invoice,
        amount_minor=amount_minor,
        reference=reference,
        received_date=date(2026, 12, 30),
        by=by,
        at=LATE,
    )


class TestPaymentsAtOnce:
    def test_never_take_more_than_is_due(self, invoice: Invoice, finance: Actor) -> None:
        refused = at_once(*(paying(invoice, finance, 3_000, f"R-{place}") for place in range(4)))

        # Two pay it, the second with 10.00 too much; the others find it paid.
        assert refused == ["not_payable", "not_payable"]
        assert sum(ReceivedPayment.objects.values_list("amount_minor", flat=True)) == 5_000
        assert balances.balance_of(invoice.organization_id, "USD") == 1_000
        assert all(verdict.is_ok for verdict in verify())

    def test_of_the_same_reference_are_one(self, invoice: Invoice, finance: Actor) -> None:
        assert at_once(*[paying(invoice, finance, 2_000, "R-1")] * 4) == []

        assert settling.due_of(invoice).minor == 3_000


class TestPaymentAgainstWriteOff:
    def test_ends_paid_or_recovered(self, invoice: Invoice, finance: Actor) -> None:
        terms = CollectingTerms("USD")
        refused = at_once(
            paying(invoice, finance, 5_000, "R-1"),
            lambda: write_offs.propose(invoice, reason="Gone.", by=finance, at=LATE, terms=terms),
        )

        invoice.refresh_from_db()
        due = settling.due_of(invoice)
        # The money is never lost, whoever came first.
        assert (due.minor, due.lost_minor, due.paid_minor) == (0, 0, 5_000)
        assert refused == (["not_writable_off"] if invoice.state == "paid" else [])
        assert all(verdict.is_ok for verdict in verify())


class TestPaymentAgainstStop:
    @pytest.fixture(autouse=True)
    def policy(self, invoice: Invoice, finance: Actor) -> None:
        steps = (StepTerms(3, "friendly"), StepTerms(4, "stop"))
        dunning_policies.introduce(steps=steps, starts_at=AT, currency="USD", by=finance, at=AT)
        dunning.run(at=LATE - timedelta(days=2))

    def test_never_leaves_a_customer_stopped_who_paid(self, invoice: Invoice, finance: Actor) -> None:
        at_once(paying(invoice, finance, 5_000, "R-1"), *[lambda: dunning.run(at=LATE)] * 2)

        assert payment_stops.standing(invoice.organization_id) is None

    def test_is_lifted_by_the_last_of_the_parts(self, invoice: Invoice, finance: Actor) -> None:
        dunning.run(at=LATE)
        assert payment_stops.standing(invoice.organization_id) is not None

        at_once(paying(invoice, finance, 2_500, "R-1"), paying(invoice, finance, 2_500, "R-2"))

        assert payment_stops.standing(invoice.organization_id) is None

    def test_reminds_once(self, invoice: Invoice) -> None:
        at_once(*[lambda: dunning.run(at=LATE)] * 4)

        assert DunningNotice.objects.count() == 2
