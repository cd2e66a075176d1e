from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from django.db import DatabaseError, connection, transaction
from django.test import Client
from django.urls import reverse

from billing import settling, write_offs
from billing.collecting_terms import CollectingTerms
from billing.ledger.verify import verify
from billing.models import Invoice, InvoiceLine, Posting, WriteOff
from marketplace.accounts.access import Actor, actor_for
from marketplace.accounts.models import User
from marketplace.core.errors import InvalidInput, NotAllowed
from marketplace.core.models import Notice
from marketplace.core.transitions import IllegalTransition
from tests import factories
from tests.billing.test_close import COST, FEE, accounts, close, subscribe
from tests.billing.usage import use
from tests.conftest import Cast

AT = datetime(2026, 12, 20, 9, tzinfo=UTC)
PAID_ON = date(2026, 12, 18)
TERMS = CollectingTerms("USD", write_off_alone_up_to=Decimal(500))


@pytest.fixture
def invoice(cast: Cast) -> Invoice:
    """180.00 net to the other company: 100.00 was cost, creators are owed 64.00, the platform has 116.00."""
    use(subscribe(cast, [FEE, COST], team=cast.stranger_team), requests=10_000, cost="100")
    (found,) = close()
    return found


@pytest.fixture
def finance(cast: Cast) -> Actor:
    return actor_for(cast.finance)


@pytest.fixture
def second(cast: Cast) -> Actor:
    other = factories.make_user("second@demo.example")
    factories.join(other, None, "finance", organization=cast.company)
    return actor_for(other)


def write_off(invoice: Invoice, by: Actor, **fields: Any) -> WriteOff:
    fields = {"reason": "Insolvent.", "at": AT, "terms": TERMS, **fields}
    return write_offs.propose(invoice, by=by, **fields)


def pay(invoice: Invoice, by: Actor, amount_minor: int, reference: str = "R-1") -> Any:
    return settling.record_payment(
        invoice, amount_minor=amount_minor, reference=reference, received_date=PAID_ON, by=by, at=AT
    )


def state(invoice: Invoice) -> str:
    return str(Invoice.objects.values_list("state", flat=True).get(pk=invoice.pk))


def with_tax(invoice: Invoice) -> None:
    """Let an issued invoice say 20 percent of tax: 36.00 on 180.00, and post it."""
    who = {"organization_id": invoice.organization_id, "currency": "USD"}
    entry = invoice.entries.get()
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")
        Invoice.objects.filter(pk=invoice.pk).update(tax_minor=3_600, total_minor=21_600)
        for line, tax_minor in zip(invoice.lines.order_by("position"), (1_000, 2_600), strict=True):
            InvoiceLine.objects.filter(pk=line.pk).update(tax_minor=tax_minor)
        cursor.execute("SET LOCAL session_replication_role = origin")
    Posting.objects.create(entry=entry, account="receivable", amount_minor=3_600, **who)
    Posting.objects.create(entry=entry, account="tax_payable", amount_minor=-3_600, **who)


class TestWriteOff:
    def test_gives_up_receivable_tax_and_the_creators_part(self, invoice: Invoice, finance: Actor) -> None:
        with_tax(invoice)

        made = write_off(invoice, finance)

        # 216.00 = 36.00 tax + 64.00 that creators are not owed + 116.00 lost.
        assert (made.amount_minor, made.tax_minor, made.creator_minor) == (21_600, 3_600, 6_400)
        assert accounts(invoice) == {
            "receivable": 0, "tax_payable": 0, "creator_payable": 0, "platform_revenue": -11_600, "bad_debt": 11_600,
        }  # fmt: skip
        assert (state(invoice), settling.due_of(invoice).minor) == ("written_off", 0)

    def test_of_a_rest_gives_up_its_part(self, invoice: Invoice, finance: Actor) -> None:
        pay(invoice, finance, 9_000)

        made = write_off(invoice, finance)

        # Half of 180.00 is left, so half of the creators' 64.00.
        assert (made.amount_minor, made.creator_minor, state(invoice)) == (9_000, 3_200, "written_off")
        assert accounts(invoice)["bad_debt"] == 5_800
        assert all(verdict.is_ok for verdict in verify())

    def test_may_leave_tax_and_creators_as_they_are(self, invoice: Invoice, finance: Actor) -> None:
        with_tax(invoice)

        write_off(invoice, finance, takes_tax_back=False, terms=replace(TERMS, creators_bear_losses=False))

        assert (accounts(invoice)["tax_payable"], accounts(invoice)["creator_payable"]) == (-3_600, -6_400)
        assert accounts(invoice)["bad_debt"] == 21_600

    def test_of_much_waits_for_a_second_person(self, invoice: Invoice, finance: Actor, second: Actor) -> None:
        terms = replace(TERMS, write_off_alone_up_to=Decimal(100))
        made = write_off(invoice, finance, terms=terms)

        assert (made.state, state(invoice)) == ("proposed", "finalized")
        assert "waits for your decision" in Notice.objects.get(recipient=second.user).text
        with pytest.raises(write_offs.OwnWriteOff):
            write_offs.approve(made, by=finance, at=AT, terms=terms)
        with pytest.raises(write_offs.WriteOffWaits):
            write_off(invoice, finance)

        # 80.00 came in meanwhile, so 100.00 is given up.
        pay(invoice, finance, 8_000)
        write_offs.approve(made, by=second, at=AT, terms=terms)

        made.refresh_from_db()
        assert (made.state, made.amount_minor, made.decided_by) == ("posted", 10_000, second.user)
        with pytest.raises(IllegalTransition):
            write_offs.reject(made, by=second, at=AT, decision_note="No.")
        with pytest.raises(DatabaseError), transaction.atomic():
            WriteOff.objects.filter(pk=made.pk).update(amount_minor=1)

    def test_is_rejected_with_a_reason_or_taken_back(
        self, invoice: Invoice, finance: Actor, second: Actor
    ) -> None:
        terms = replace(TERMS, write_off_alone_up_to=Decimal(0))
        made = write_off(invoice, finance, terms=terms)
        with pytest.raises(InvalidInput):
            write_offs.reject(made, by=second, at=AT, decision_note=" ")
        write_offs.reject(made, by=second, at=AT, decision_note="They will pay.")
        another = write_off(invoice, finance, terms=terms)
        with pytest.raises(NotAllowed):
            write_offs.withdraw(another, by=second, at=AT)
        write_offs.withdraw(another, by=finance, at=AT)

        assert [one.state for one in WriteOff.objects.order_by("pk")] == ["rejected", "withdrawn"]

    def test_is_for_finance_and_for_what_is_due(self, invoice: Invoice, finance: Actor, cast: Cast) -> None:
        for person in (cast.operator, cast.stranger):
            with pytest.raises(NotAllowed):
                write_off(invoice, actor_for(person))
        with pytest.raises(InvalidInput):
            write_off(invoice, finance, reason=" ")
        pay(invoice, finance, 18_000)
        with pytest.raises(write_offs.NotWritable):
            write_off(invoice, finance)

    def test_of_the_database_takes_two_and_never_more_than_is_due(
        self, invoice: Invoice, finance: Actor
    ) -> None:
        row = {
            "invoice": invoice, "kind": "bad_debt", "state": "posted", "amount_minor": 18_000, "reason": "x",
            "needs_second_person": False, "proposed_by": finance.user, "proposed_at": AT, "posted_at": AT,
        }  # fmt: skip
        for wrong, name in (
            ({"needs_second_person": True}, "write_off_big_has_decider"),
            ({"decided_by": finance.user}, "write_off_four_eyes"),
            ({"amount_minor": 18_001}, "more is written off"),
            ({"reason": ""}, "write_off_has_reason"),
        ):
            with pytest.raises(DatabaseError, match=name), transaction.atomic():
                WriteOff.objects.create(**{**row, **wrong})


class TestRecovery:
    def test_mirrors_the_write_off_part_by_part(self, invoice: Invoice, finance: Actor) -> None:
        with_tax(invoice)
        write_off(invoice, finance)

        pay(invoice, finance, 7_200)
        # A third of 36.00, 64.00 and 116.00: 12.00, 21.33 and 38.67 are back.
        assert accounts(invoice)["recovered_debt"] == -3_867
        assert (accounts(invoice)["tax_payable"], accounts(invoice)["creator_payable"]) == (-1_200, -2_133)

        pay(invoice, finance, 14_400, "R-2")
        assert accounts(invoice)["recovered_debt"] == -11_600
        assert (accounts(invoice)["tax_payable"], accounts(invoice)["creator_payable"]) == (-3_600, -6_400)
        assert (state(invoice), settling.due_of(invoice).minor) == ("written_off", 0)
        with pytest.raises(settling.NotPayable):
            pay(invoice, finance, 1, "R-3")

    def test_beyond_what_was_lost_is_the_customers(self, invoice: Invoice, finance: Actor) -> None:
        write_off(invoice, finance)

        pay(invoice, finance, 20_000)

        assert (accounts()["bank"], accounts()["customer_balance"]) == (20_000, -2_000)
        assert all(verdict.is_ok for verdict in verify())

    def test_that_bounces_goes_back_as_a_whole(self, invoice: Invoice, finance: Actor) -> None:
        write_off(invoice, finance)
        payment = pay(invoice, finance, 6_000)
        back = {"reference": "RV", "reason": "Bounced.", "at": AT}
        with pytest.raises(InvalidInput):
            settling.reverse_payment(payment, amount_minor=5_999, **back)

        settling.reverse_payment(payment, amount_minor=6_000, **back)

        assert (accounts()["bank"], accounts()["recovered_debt"], accounts()["creator_payable"]) == (0, 0, 0)
        assert all(verdict.is_ok for verdict in verify())


class TestSmallDifference:
    def test_is_written_off_with_the_payment(self, invoice: Invoice, finance: Actor) -> None:
        self.forgive(invoice, finance, 17_950)

        assert (state(invoice), settling.due_of(invoice).minor) == ("paid", 0)
        assert (accounts(invoice)["small_difference"], accounts(invoice)["creator_payable"]) == (50, -6_400)
        assert all(verdict.is_ok for verdict in verify())

    def test_that_is_not_small_refuses_the_payment(self, invoice: Invoice, finance: Actor) -> None:
        with pytest.raises(InvalidInput, match=r"leaves \$1.01"):
            self.forgive(invoice, finance, 17_899)

        assert not invoice.payments.exists()

    def forgive(self, invoice: Invoice, by: Actor, amount_minor: int) -> None:
        write_offs.pay_and_forgive(
            invoice,
            amount_minor=amount_minor,
            reference="R-1",
            received_date=PAID_ON,
            by=by,
            at=AT,
            terms=TERMS,
        )


class TestPages:
    def client(self, person: User) -> Client:
        client = Client()
        client.force_login(person)
        return client

    def test_propose_and_decide(
        self, invoice: Invoice, cast: Cast, second: Actor, django_assert_max_num_queries: Any
    ) -> None:
        first, other = self.client(cast.finance), self.client(second.user)
        address = reverse("billing:write-off-propose", args=[invoice.number])
        # 180.00, of which 64.00 are the creators' and 116.00 the platform's.
        assert "$116.00" in first.get(address).content.decode()
        assert "required" in first.post(address, {"reason": ""}).content.decode()

        page = first.post(address, {"reason": "Insolvent.", "takes_tax_back": "on"}, follow=True)
        made = WriteOff.objects.get()
        decision = reverse("billing:write-off", args=[made.pk])
        own = first.post(decision, {"decision": "approve", "note": ""})
        other.post(decision, {"decision": "approve", "note": "Seen."})

        assert "It waits for a second person." in page.content.decode()
        assert "Nobody decides their own write-off" in own.content.decode()
        assert state(invoice) == "written_off"
        assert "Nothing to write off" in first.get(address).content.decode()
        for shown in (decision, reverse("billing:write-offs"), address):
            with django_assert_max_num_queries(12):
                first.get(shown)

    def test_are_for_the_marketplaces_finance(self, invoice: Invoice, finance: Actor, cast: Cast) -> None:
        made = write_off(invoice, finance)
        for address in (
            reverse("billing:write-offs"),
            reverse("billing:write-off", args=[made.pk]),
            reverse("billing:write-off-propose", args=[invoice.number]),
        ):
            for person in (cast.stranger, cast.consumer):
                assert self.client(person).get(address).status_code == 403
