from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any
from unittest import mock

import pytest
from django.db import DatabaseError, transaction
from django.test import Client
from django.urls import reverse

from billing import balances, credit_notes, overdue, settling
from billing.credit_asks import Ask
from billing.ledger.verify import verify
from billing.models import BalanceEntry, Invoice, JournalEntry, PaymentReversal, ReceivedPayment
from marketplace.accounts.access import Actor, actor_for
from marketplace.accounts.models import User
from marketplace.core.errors import InvalidInput, NotAllowed
from marketplace.core.models import AuditEntry, Notice
from tests.billing.test_close import FEE, TERMS, accounts, close, subscribe
from tests.billing.usage import use
from tests.conftest import Cast

AT = datetime(2026, 11, 10, 9, tzinfo=UTC)
PAID_ON = date(2026, 11, 9)
# Issued on 2 November at 8, due after 30 days.
DUE = datetime(2026, 12, 2, 8, tzinfo=UTC)


@pytest.fixture
def invoice(cast: Cast) -> Invoice:
    """An invoice of 50.00 to the other company."""
    use(subscribe(cast, [FEE], team=cast.stranger_team), requests=1, cost="0")
    (found,) = close()
    return found


@pytest.fixture
def finance(cast: Cast) -> Actor:
    return actor_for(cast.finance)


def pay(invoice: Invoice, by: Actor, amount_minor: int, reference: str = "R-1", **fields: Any) -> Any:
    fields = {"received_date": PAID_ON, "at": AT, **fields}
    return settling.record_payment(invoice, amount_minor=amount_minor, reference=reference, by=by, **fields)


def state(invoice: Invoice) -> str:
    return str(Invoice.objects.values_list("state", flat=True).get(pk=invoice.pk))


class TestPayment:
    def test_in_parts_makes_it_paid_with_the_last_one(self, invoice: Invoice, finance: Actor) -> None:
        pay(invoice, finance, 2_000)
        assert (state(invoice), settling.due_of(invoice).minor) == ("finalized", 3_000)

        pay(invoice, finance, 3_000, "R-2")

        assert (state(invoice), settling.due_of(invoice).minor) == ("paid", 0)
        assert (accounts(invoice)["bank"], accounts(invoice)["receivable"]) == (5_000, 0)
        assert JournalEntry.objects.filter(kind="billing.payment", period="2026-11").count() == 2
        assert AuditEntry.objects.filter(action="billing.invoice.paid").count() == 1
        assert all(verdict.is_ok for verdict in verify())

    def test_sent_again_is_counted_once(self, invoice: Invoice, finance: Actor) -> None:
        first = pay(invoice, finance, 5_000)

        assert pay(invoice, finance, 5_000) == first
        with pytest.raises(settling.ReferenceUsed):
            pay(invoice, finance, 100)
        assert ReceivedPayment.objects.count() == 1

    @pytest.mark.parametrize(
        ("fields", "field"),
        [
            ({"amount_minor": 0}, "amount"),
            ({"reference": " "}, "reference"),
            ({"received_date": date(2026, 11, 11)}, "received_date"),
        ],
    )
    def test_names_what_is_wrong(
        self, invoice: Invoice, finance: Actor, fields: dict[str, Any], field: str
    ) -> None:
        with pytest.raises(InvalidInput) as refused:
            pay(invoice, finance, **{"amount_minor": 100, **fields})

        assert refused.value.field == field

    def test_is_recorded_by_the_marketplace_only(self, invoice: Invoice, cast: Cast) -> None:
        for person in (cast.operator, cast.stranger):
            with pytest.raises(NotAllowed):
                pay(invoice, actor_for(person), 100)

    def test_is_not_taken_for_statements_or_what_is_paid(
        self, invoice: Invoice, finance: Actor, cast: Cast
    ) -> None:
        pay(invoice, finance, 5_000)
        with pytest.raises(settling.NotPayable):
            pay(invoice, finance, 1, "R-2")

    def test_together_with_credit_notes_settles(self, invoice: Invoice, finance: Actor) -> None:
        pay(invoice, finance, 3_000)

        credit_notes.propose(
            invoice, ask=Ask(amount_minor=2_000), reason="Less.", by=finance, at=AT, terms=TERMS
        )

        assert (state(invoice), settling.due_of(invoice).minor) == ("paid", 0)
        assert accounts(invoice)["receivable"] == 0

    def test_of_the_database_never_exceeds_what_is_due(self, invoice: Invoice, finance: Actor) -> None:
        payment = pay(invoice, finance, 4_999)
        row = {"reference": "R-2", "received_date": PAID_ON, "recorded_by": finance.user, "recorded_at": AT}

        with pytest.raises(DatabaseError, match="more is paid"), transaction.atomic():
            ReceivedPayment.objects.create(invoice=invoice, amount_minor=2, **row)
        with pytest.raises(DatabaseError, match="has_amount"), transaction.atomic():
            ReceivedPayment.objects.create(invoice=invoice, amount_minor=0, **row)
        with pytest.raises(DatabaseError), transaction.atomic():
            ReceivedPayment.objects.filter(pk=payment.pk).update(amount_minor=1)


class TestOverdue:
    def test_from_its_day_on_and_told_once(self, invoice: Invoice, cast: Cast) -> None:
        assert overdue.mark_overdue(at=DUE - timedelta(seconds=1)) == 0
        assert overdue.mark_overdue(at=DUE) == 1
        assert overdue.mark_overdue(at=DUE) == 0

        assert state(invoice) == "overdue"
        assert "$50.00 were due on 02 December 2026" in Notice.objects.get(recipient=cast.stranger).text

    def test_can_still_be_paid(self, invoice: Invoice, finance: Actor) -> None:
        overdue.mark_overdue(at=DUE)

        pay(invoice, finance, 5_000, at=DUE, received_date=DUE.date())

        assert state(invoice) == "paid"

    def test_is_not_what_was_paid(self, invoice: Invoice, finance: Actor) -> None:
        pay(invoice, finance, 5_000)

        assert overdue.mark_overdue(at=DUE) == 0

    def test_is_summed_by_age(self, invoice: Invoice, finance: Actor) -> None:
        pay(invoice, finance, 1_000)
        found = overdue.open_invoices(Invoice.objects.all())

        for days, age in (
            (-1, "not_due_minor"),
            (0, "to_30_minor"),
            (30, "to_60_minor"),
            (60, "older_minor"),
        ):
            (sums,) = overdue.aged(found, at=DUE + timedelta(days=days))
            assert (getattr(sums, age), sums.total_minor) == (4_000, 4_000)


class TestPages:
    @pytest.fixture(autouse=True)
    def clock(self) -> Iterator[None]:
        with mock.patch("django.utils.timezone.now", return_value=AT):
            yield

    def client(self, user: User) -> Client:
        client = Client()
        client.force_login(user)
        return client

    def test_record_a_payment_and_show_it(self, invoice: Invoice, cast: Cast) -> None:
        client = self.client(cast.finance)
        address = reverse("billing:payment", args=[invoice.number])
        assert address in client.get(reverse("billing:receivables")).content.decode()
        body = {"amount": "20.00", "reference": "R-1", "received_date": "2026-11-09"}

        assert "more than zero" in client.post(address, {**body, "amount": "0"}).content.decode()
        page = client.post(address, body, follow=True).content.decode()

        assert "R-1" in page
        assert "$30.00" in page
        assert "$30.00" in client.get(reverse("billing:receivables")).content.decode()

    def test_forgive_what_is_too_small_to_ask_for(self, invoice: Invoice, cast: Cast) -> None:
        address = reverse("billing:payment", args=[invoice.number])
        body = {"amount": "49.50", "reference": "R-1", "received_date": "2026-11-09", "forgives": "on"}
        client = self.client(cast.finance)

        assert (
            "more than a small difference" in client.post(address, {**body, "amount": "9"}).content.decode()
        )
        client.post(address, body)

        assert state(invoice) == "paid"

    def test_show_payers_what_is_due(self, invoice: Invoice, cast: Cast) -> None:
        assert "$50.00" in self.client(cast.stranger).get(reverse("billing:bills")).content.decode()
        page = self.client(cast.stranger).get(reverse("billing:receivables")).content.decode()
        assert invoice.number in page
        assert "Record payment" not in page

    def test_are_for_finance(self, invoice: Invoice, cast: Cast) -> None:
        payment = reverse("billing:payment", args=[invoice.number])
        assert self.client(cast.stranger).get(payment).status_code == 403
        for person in (cast.consumer, cast.operator):
            assert self.client(person).get(payment).status_code == 403
            assert self.client(person).get(reverse("billing:receivables")).status_code == 403

    def test_read_little(self, invoice: Invoice, cast: Cast, django_assert_max_num_queries: Any) -> None:
        client = self.client(cast.finance)
        for address in (
            reverse("billing:receivables"),
            reverse("billing:bills"),
            reverse("billing:payment", args=[invoice.number]),
        ):
            with django_assert_max_num_queries(12):
                client.get(address)


class TestApi:
    def test_takes_payments_and_says_what_is_due(self, invoice: Invoice, cast: Cast) -> None:
        client = Client()
        client.force_login(cast.finance)
        address = f"/api/v1/invoices/{invoice.number}"
        body = {"amount": "20.00", "reference": "R-1", "received_date": "2026-11-09"}
        with mock.patch("django.utils.timezone.now", return_value=AT):
            assert (
                client.post(f"{address}/payments", body, content_type="application/json").status_code == 201
            )
            wrong = client.post(
                f"{address}/payments", {**body, "amount": "99"}, content_type="application/json"
            )
            shown = client.get(address).json()
            client.force_login(cast.stranger)
            refused = client.post(f"{address}/payments", body, content_type="application/json")

        assert (shown["paid_minor"], shown["credited_minor"], shown["due_minor"]) == (2_000, 0, 3_000)
        assert wrong.status_code == 409  # The reference is known with another amount.
        assert refused.status_code == 403


class TestBeyondWhatIsDue:
    def test_becomes_the_customers_balance(self, invoice: Invoice, finance: Actor) -> None:
        payment = pay(invoice, finance, 6_200)

        assert (payment.amount_minor, state(invoice)) == (5_000, "paid")
        assert balances.balance_of(invoice.organization_id, "USD") == 1_200
        assert (accounts()["bank"], accounts()["customer_balance"]) == (6_200, -1_200)
        assert pay(invoice, finance, 6_200) == payment
        with pytest.raises(settling.ReferenceUsed):
            pay(invoice, finance, 5_000)
        assert all(verdict.is_ok for verdict in verify())

    def test_pays_the_next_invoice_once(self, invoice: Invoice, finance: Actor) -> None:
        keep(invoice, finance, 2_000)

        assert (settling.use_balances(at=AT), settling.use_balances(at=AT)) == (1, 0)
        assert settling.use_balance(invoice, by=finance, at=AT) is None

        used = invoice.payments.get()
        assert (used.amount_minor, used.source, used.recorded_by) == (2_000, "balance", None)
        assert settling.due_of(invoice).minor == 3_000
        assert balances.balance_of(invoice.organization_id, "USD") == 0
        assert accounts()["customer_balance"] == 0
        assert all(verdict.is_ok for verdict in verify())

    def test_is_paid_back_up_to_what_is_there(self, invoice: Invoice, finance: Actor) -> None:
        keep(invoice, finance, 2_000)
        back = {"currency": "USD", "reference": "B-1", "by": finance, "at": AT}

        with pytest.raises(InvalidInput, match="at most"):
            balances.pay_back(invoice.organization, amount_minor=2_001, **back)
        entry = balances.pay_back(invoice.organization, amount_minor=1_500, **back)

        assert balances.pay_back(invoice.organization, amount_minor=1_500, **back) == entry
        assert balances.balance_of(invoice.organization_id, "USD") == 500
        assert (accounts()["bank"], accounts()["customer_balance"]) == (500, -500)

    def test_of_the_database_is_never_used_twice(self, invoice: Invoice, finance: Actor) -> None:
        entry = keep(invoice, finance, 2_000)
        row = {
            "organization": invoice.organization, "currency": "USD", "kind": "paid_back", "amount_minor": -2_001,
            "reference": "B-1", "happened_on": PAID_ON, "recorded_at": AT,
        }  # fmt: skip

        with pytest.raises(DatabaseError, match="customer_balance_not_negative"), transaction.atomic():
            BalanceEntry.objects.create(**row)
        with pytest.raises(DatabaseError, match="no such surplus"), transaction.atomic():
            BalanceEntry.objects.create(**{**row, "kind": "surplus", "amount_minor": 1, "invoice": invoice})
        with pytest.raises(DatabaseError), transaction.atomic():
            BalanceEntry.objects.filter(pk=entry.pk).delete()

    def test_is_also_what_was_paid_and_given_back(self, invoice: Invoice, finance: Actor) -> None:
        pay(invoice, finance, 5_000)

        credit_notes.propose(
            invoice, ask=Ask(amount_minor=800), reason="Less.", by=finance, at=AT, terms=TERMS
        )

        assert balances.balance_of(invoice.organization_id, "USD") == 800
        assert (state(invoice), settling.due_of(invoice).minor) == ("paid", 0)
        assert (accounts()["receivable"], accounts()["customer_balance"]) == (0, -800)
        assert all(verdict.is_ok for verdict in verify())


class TestReversal:
    def back(self, payment: ReceivedPayment, amount_minor: int, **fields: Any) -> Any:
        fields = {"reference": "RV-1", "reason": "The debit bounced.", "at": AT, **fields}
        return settling.reverse_payment(payment, amount_minor=amount_minor, **fields)

    def test_makes_the_invoice_due_again(self, invoice: Invoice, finance: Actor) -> None:
        payment = pay(invoice, finance, 5_000)

        first = self.back(payment, 5_000)

        assert self.back(payment, 5_000) == first
        assert (state(invoice), settling.due_of(invoice).minor) == ("finalized", 5_000)
        assert (accounts()["bank"], accounts(invoice)["receivable"]) == (0, 5_000)
        assert all(verdict.is_ok for verdict in verify())

    @pytest.mark.parametrize("source", ["prepaid", "balance"])
    def test_is_not_for_money_that_was_here_already(
        self, invoice: Invoice, finance: Actor, source: str
    ) -> None:
        payment = pay(invoice, finance, 5_000)
        payment.source = source

        with pytest.raises(InvalidInput, match="give it back by a credit note"):
            self.back(payment, 5_000)
        assert state(invoice) == "paid"

    def test_takes_back_no_more_than_came(self, invoice: Invoice, finance: Actor) -> None:
        payment = pay(invoice, finance, 5_000)
        self.back(payment, 4_000, at=DUE)

        with pytest.raises(InvalidInput, match=r"at most \$10.00"):
            self.back(payment, 1_001, reference="RV-2")
        with pytest.raises(DatabaseError, match="more goes back"), transaction.atomic():
            PaymentReversal.objects.create(
                payment=payment,
                invoice=invoice,
                amount_minor=1_001,
                reference="x",
                reason="x",
                recorded_at=AT,
            )
        assert state(invoice) == "overdue"


def keep(invoice: Invoice, by: Actor, amount_minor: int) -> BalanceEntry:
    return settling.receive_on_account(
        invoice.organization,
        amount_minor=amount_minor,
        currency="USD",
        reference="A-1",
        received_date=PAID_ON,
        by=by,
        at=AT,
    )
