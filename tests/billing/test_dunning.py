from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from unittest import mock

import pytest
from django.db import DatabaseError, transaction
from django.db.models import Sum
from django.test import Client
from django.urls import reverse

from billing import (
    balances,
    customers,
    dunning,
    dunning_charges,
    dunning_pauses,
    dunning_policies,
    overdue,
    settling,
    write_offs,
)
from billing.collecting_terms import CollectingTerms
from billing.customer_account import accounts as running
from billing.dunning_policies import StepTerms
from billing.ledger.verify import verify
from billing.models import DunningCharge, DunningNotice, DunningPause, DunningPolicy, Invoice, Posting
from marketplace.accounts.access import Actor, actor_for
from marketplace.accounts.models import User
from marketplace.core.errors import InvalidInput, NotAllowed
from marketplace.core.models import Notice
from quotas import payment_stops
from tests import factories
from tests.billing.test_close import FEE, accounts, close, subscribe
from tests.billing.usage import use
from tests.conftest import Cast

AT = datetime(2026, 11, 10, 9, tzinfo=UTC)
# Issued on 2 November at 8, due after 30 days: a Wednesday.
DUE = datetime(2026, 12, 2, 8, tzinfo=UTC)
STEPS = (
    StepTerms(3, "friendly"),
    StepTerms(10, "firm", fee_minor=500, interest_percent=Decimal("7.3")),
    StepTerms(20, "final"),
    StepTerms(24, "stop"),
)


def day(number: int) -> datetime:
    return DUE + timedelta(days=number)


@pytest.fixture
def payer(cast: Cast) -> User:
    """The finance of the other company."""
    factories.join(cast.stranger, None, "finance", organization=cast.stranger_team.organization)
    return cast.stranger


@pytest.fixture
def invoice(cast: Cast, payer: User) -> Invoice:
    """An invoice of 50.00 to the other company."""
    use(subscribe(cast, [FEE], team=cast.stranger_team), requests=1, cost="0")
    (found,) = close()
    return found


@pytest.fixture
def finance(cast: Cast) -> Actor:
    return actor_for(cast.finance)


@pytest.fixture
def policy(finance: Actor) -> DunningPolicy:
    return introduce(finance)


def introduce(by: Actor, **fields: Any) -> DunningPolicy:
    fields = {"steps": STEPS, "starts_at": AT, "currency": "USD", "at": AT, **fields}
    return dunning_policies.introduce(by=by, **fields)


def run(*days: int) -> list[int]:
    """Let the routine run on days after the due date; returns how many steps each took."""
    taken = []
    for number in days:
        overdue.mark_overdue(at=day(number))
        taken.append(dunning.run(at=day(number)))
    return taken


def pay(invoice: Invoice, by: Actor, amount_minor: int, *, at: datetime, reference: str = "R-1") -> None:
    settling.record_payment(
        invoice, amount_minor=amount_minor, reference=reference, received_date=at.date(), by=by, at=at
    )


def is_stopped(invoice: Invoice) -> bool:
    return payment_stops.standing(invoice.organization_id) is not None


class TestRun:
    def test_takes_each_step_once_on_its_day(
        self, invoice: Invoice, policy: DunningPolicy, payer: User
    ) -> None:
        assert run(2, 3, 3, 9, 10, 19, 20) == [0, 1, 0, 0, 1, 0, 1]

        texts = [one.text for one in DunningNotice.objects.order_by("position")]
        assert texts[0].startswith("Reminder: INV-2026-000001, $50.00, was due on 02 December 2026.")
        assert "is 10 days overdue" in texts[1]
        # Day 24 is Saturday 26 December.
        assert "Calls of Other Company will be stopped on 28 December 2026" in texts[2]
        told = Notice.objects.filter(recipient=payer, idempotency_key__startswith="dunning:")
        assert sorted(told.values_list("text", flat=True)) == sorted(texts)

    def test_stops_calls_last_but_on_no_weekend(self, invoice: Invoice, policy: DunningPolicy) -> None:
        assert run(3, 10, 20, 24, 25) == [1, 1, 1, 0, 0]
        assert not is_stopped(invoice)

        assert run(26) == [1]

        stop = payment_stops.standing(invoice.organization_id)
        assert stop is not None
        assert "invoice INV-2026-000001 is overdue, $50.00 since 02 December 2026" in stop.text
        assert "under /bills/INV-2026-000001/" in stop.text

    def test_catches_up_one_step_at_a_time(self, invoice: Invoice, policy: DunningPolicy) -> None:
        # Nothing ran for three weeks: the first goes out now, the second seven days later.
        assert run(22, 23, 28, 29) == [1, 0, 0, 1]

    def test_ends_with_the_payment(self, invoice: Invoice, policy: DunningPolicy, finance: Actor) -> None:
        run(3)
        pay(invoice, finance, 5_000, at=day(4))

        assert run(10, 20, 26) == [0, 0, 0]

    def test_needs_a_policy_that_held_when_it_fell_due(self, invoice: Invoice, finance: Actor) -> None:
        introduce(finance, starts_at=day(1))

        assert run(10, 20) == [0, 0]

    def test_of_the_database_reminds_once(self, invoice: Invoice, policy: DunningPolicy) -> None:
        run(3)
        notice = DunningNotice.objects.get()

        with pytest.raises(DatabaseError, match="dunning_notice_once"), transaction.atomic():
            DunningNotice.objects.create(
                invoice=invoice, step=notice.step, position=1, text="x", due_minor=1, sent_at=AT
            )


class TestStop:
    @pytest.fixture(autouse=True)
    def stopped(self, invoice: Invoice, policy: DunningPolicy) -> None:
        run(3, 10, 20, 26)
        assert is_stopped(invoice)

    def test_is_lifted_at_once_when_all_is_paid(self, invoice: Invoice, finance: Actor) -> None:
        pay(invoice, finance, 4_999, at=day(27))
        assert is_stopped(invoice)

        pay(invoice, finance, 1, at=day(27), reference="R-2")

        assert not is_stopped(invoice)

    def test_holds_again_when_the_payment_bounces(self, invoice: Invoice, finance: Actor) -> None:
        pay(invoice, finance, 5_000, at=day(27))

        settling.reverse_payment(
            invoice.payments.get(), amount_minor=5_000, reference="RV", reason="Bounced.", at=day(29)
        )

        assert is_stopped(invoice)

    def test_is_lifted_by_finance_for_some_days(self, invoice: Invoice, finance: Actor) -> None:
        grant = {"note": "They called.", "by": finance, "at": day(27), "lifts_stop": True}
        dunning_pauses.grant(invoice.organization, days=7, **grant)
        assert not is_stopped(invoice)

        run(33)
        assert not is_stopped(invoice)
        run(34)
        assert is_stopped(invoice)

    def test_outlasts_a_write_off_until_it_is_recovered(self, invoice: Invoice, finance: Actor) -> None:
        terms = CollectingTerms("USD")
        write_offs.propose(invoice, reason="Gone.", by=finance, at=day(40), terms=terms)
        assert is_stopped(invoice)

        pay(invoice, finance, 5_000, at=day(41))

        assert not is_stopped(invoice)

    def test_of_the_database_is_one_for_a_customer(self, invoice: Invoice) -> None:
        held = payment_stops.standing(invoice.organization_id)
        assert held is not None
        again = payment_stops.stop(invoice.organization, text="x", at=AT)
        assert again == held
        with pytest.raises(DatabaseError, match="payment_stop_one_open"), transaction.atomic():
            type(held).objects.create(organization=invoice.organization, text="x", started_at=AT)


class TestCharges:
    @pytest.fixture(autouse=True)
    def charged(self, invoice: Invoice, policy: DunningPolicy) -> None:
        run(3, 10)

    def test_are_asked_for_beside_the_invoice(self, invoice: Invoice) -> None:
        # 5.00, and 50.00 x 7.3 % x 10 / 365 = 0.10.
        assert [one.amount_minor for one in DunningCharge.objects.order_by("kind")] == [500, 10]
        assert settling.due_of(invoice).minor == 5_000
        assert (accounts()["receivable"], accounts()["reminder_charges"]) == (5_510, -510)
        assert all(verdict.is_ok for verdict in verify())

    def test_are_paid_by_what_comes_in_beyond_the_invoice(self, invoice: Invoice, finance: Actor) -> None:
        pay(invoice, finance, 5_520, at=day(12))

        assert set(DunningCharge.objects.values_list("state", flat=True)) == {"paid"}
        assert balances.balance_of(invoice.organization_id, "USD") == 10
        assert accounts()["receivable"] == 0
        assert all(verdict.is_ok for verdict in verify())

    def test_are_waived_with_a_reason(self, invoice: Invoice, finance: Actor, cast: Cast) -> None:
        fee = DunningCharge.objects.get(kind="fee")
        with pytest.raises(InvalidInput):
            dunning_charges.waive(fee, reason=" ", by=finance, at=day(11))
        with pytest.raises(NotAllowed):
            dunning_charges.waive(fee, reason="Me.", by=actor_for(cast.stranger), at=day(11))

        dunning_charges.waive(fee, reason="Good customer.", by=finance, at=day(11))

        assert accounts()["reminder_charges"] == -10


class TestPause:
    def test_of_a_promise_rests_until_its_day_and_is_given_once(
        self, invoice: Invoice, policy: DunningPolicy, payer: User, finance: Actor
    ) -> None:
        run(3)
        said = {"kind": "promise", "note": "On Friday.", "by": actor_for(payer), "at": day(9)}
        with pytest.raises(InvalidInput, match="a day from tomorrow to 25 December"):
            dunning_pauses.say(invoice, until=day(24), **said)

        dunning_pauses.say(invoice, until=day(13), **said)

        assert (
            "promises to pay INV-2026-000001: On Friday." in Notice.objects.get(recipient=finance.user).text
        )
        assert run(10, 12, 13) == [0, 0, 1]
        with pytest.raises(dunning_pauses.SaidBefore):
            dunning_pauses.say(invoice, until=day(20), **{**said, "at": day(14)})

    def test_of_a_dispute_is_answered(
        self, invoice: Invoice, policy: DunningPolicy, payer: User, finance: Actor
    ) -> None:
        run(3)
        pause = dunning_pauses.say(invoice, kind="dispute", note="Not ours.", by=actor_for(payer), at=day(9))
        assert run(10) == [0]
        with pytest.raises(InvalidInput):
            dunning_pauses.end(pause, answer=" ", by=finance, at=day(11))

        dunning_pauses.end(pause, answer="It is yours.", by=finance, at=day(11))

        assert run(11) == [1]
        assert Notice.objects.filter(recipient=payer, text__contains="It is yours.").exists()

    def test_is_for_who_pays_and_for_finance(self, invoice: Invoice, cast: Cast, finance: Actor) -> None:
        said = {"kind": "dispute", "note": "Not ours.", "at": day(1)}
        for person in (cast.consumer, cast.finance):
            with pytest.raises(NotAllowed):
                dunning_pauses.say(invoice, by=actor_for(person), **said)
        with pytest.raises(NotAllowed):
            dunning_pauses.grant(
                invoice.organization, days=1, note="x", by=actor_for(cast.stranger), at=day(1)
            )
        with pytest.raises(InvalidInput):
            dunning_pauses.grant(invoice.organization, days=181, note="x", by=finance, at=day(1))

    def test_of_a_customer_never_lifts_a_stop(self, invoice: Invoice, payer: User) -> None:
        row = {"organization": invoice.organization, "kind": "promise", "note": "x", "made_by": payer}
        with pytest.raises(DatabaseError, match="lifts_nothing"), transaction.atomic():
            DunningPause.objects.create(
                **row, is_by_customer=True, lifts_stop=True, starts_at=AT, ends_at=day(0)
            )


class TestPolicies:
    def test_of_a_group_goes_before_that_of_who_issued_and_of_everybody(
        self, invoice: Invoice, finance: Actor
    ) -> None:
        dunning_policies.join_group(invoice.organization, name="Hotels", by=finance, at=AT)
        group = invoice.organization.dunning_member.group
        everybody = introduce(finance)
        assert dunning_policies.PolicyBook().policy_for(invoice) == everybody
        issuer = introduce(finance, legal_entity="Test Company")
        assert dunning_policies.PolicyBook().policy_for(invoice) == issuer
        hotels = introduce(finance, group=group)
        assert dunning_policies.PolicyBook().policy_for(invoice) == hotels

        dunning_policies.join_group(invoice.organization, name="", by=finance, at=AT)
        assert dunning_policies.PolicyBook().policy_for(Invoice.objects.get()) == issuer

    def test_follow_one_another(self, finance: Actor) -> None:
        first = introduce(finance)
        introduce(finance, starts_at=day(0))

        first.refresh_from_db()
        assert first.ends_at == day(0)
        with pytest.raises(dunning_policies.OtherPolicyBegins):
            introduce(finance, starts_at=day(-1))
        with pytest.raises(DatabaseError, match="dunning_policy_one_in_force"), transaction.atomic():
            DunningPolicy.objects.filter(pk=first.pk).update(ends_at=day(1))

    @pytest.mark.parametrize(
        ("steps", "field"),
        [
            ((), "steps"),
            ((StepTerms(3, "friendly"), StepTerms(3, "firm")), "steps"),
            ((StepTerms(3, "stop"), StepTerms(9, "firm")), "steps"),
            ((StepTerms(3, "stop"),), "steps"),
            ((StepTerms(400, "firm"),), "steps[0].days_after_due"),
            ((StepTerms(3, "angry"),), "steps[0].tone"),
            ((StepTerms(3, "firm", fee_minor=-1),), "steps[0].fee"),
            ((StepTerms(3, "firm", text="Dear {nobody}"),), "steps[0].text"),
        ],
    )
    def test_name_what_is_wrong(self, finance: Actor, steps: Any, field: str) -> None:
        with pytest.raises(InvalidInput) as refused:
            introduce(finance, steps=steps)
        assert refused.value.field == field

    def test_are_made_by_finance(self, cast: Cast) -> None:
        with pytest.raises(NotAllowed):
            introduce(actor_for(cast.operator))


class TestAccount:
    def test_is_what_the_books_say(self, invoice: Invoice, policy: DunningPolicy, finance: Actor) -> None:
        run(3, 10)
        pay(invoice, finance, 3_000, at=day(11))
        settling.reverse_payment(
            invoice.payments.get(), amount_minor=1_000, reference="RV", reason="Bounced.", at=day(12)
        )
        settling.receive_on_account(
            invoice.organization, amount_minor=700, currency="USD", reference="A", received_date=date(2026, 12, 1),
            by=finance, at=day(12),
        )  # fmt: skip
        write_offs.propose(invoice, reason="Gone.", by=finance, at=day(13), terms=CollectingTerms("USD"))
        pay(invoice, finance, 1_200, at=day(14), reference="R-2")

        (account,) = running(customers.movements(invoice.organization))

        posted = Posting.objects.filter(
            organization=invoice.organization, account__in=["receivable", "customer_balance"]
        )
        # 50.00 + 5.10 - 30.00 + 10.00 - 7.00 - 30.00 written off; what is recovered changes nothing.
        assert account.balance_minor == -190
        assert posted.aggregate(total=Sum("amount_minor"))["total"] == -190


class TestPages:
    @pytest.fixture(autouse=True)
    def clock(self, invoice: Invoice, policy: DunningPolicy) -> Iterator[None]:
        run(3, 10)
        with mock.patch("django.utils.timezone.now", return_value=day(11)):
            yield

    def client(self, person: User) -> Client:
        client = Client()
        client.force_login(person)
        return client

    def text(self, person: User, name: str, *args: Any) -> str:
        answer = self.client(person).get(reverse(f"billing:{name}", args=args))
        assert answer.status_code == 200, name
        return str(answer.content.decode())

    def test_show_what_goes_out_next_and_send_it(self, invoice: Invoice, cast: Cast) -> None:
        page = self.text(cast.finance, "dunning")
        assert "Last reminder: INV-2026-000001, $50.00, is 20 days overdue." in page
        client = self.client(cast.finance)

        answer = client.post(reverse("billing:dunning"), {"number": [invoice.number]}, follow=True)
        again = client.post(reverse("billing:dunning"), {"number": [invoice.number]}, follow=True)

        assert "1 sent." in answer.content.decode()
        assert "the next step stops calls" in again.content.decode()
        assert DunningNotice.objects.latest("position").sent_by == cast.finance

    def test_say_whom_a_stop_concerns_and_let_reminders_rest(self, invoice: Invoice, cast: Cast) -> None:
        page = self.text(cast.finance, "customer-outlook", "other")
        assert "Calls will be stopped on 28 December 2026" in page
        assert invoice.lines.latest("position").app.name in page
        address = reverse("billing:customer-reminders", args=["other"])
        client = self.client(cast.finance)

        client.post(address, {"do": "pause", "invoice": "", "days": "10", "note": "Holidays."})
        fee = DunningCharge.objects.get(kind="fee")
        client.post(address, {"do": "waive", "target": str(fee.pk), "answer": "Kind."})
        client.post(address, {"do": "group", "name": "Studios"})

        fee.refresh_from_db()
        assert (fee.state, invoice.organization.dunning_member.group.name) == ("waived", "Studios")
        assert "Holidays." in self.text(cast.finance, "customer-reminders", "other")
        pause = DunningPause.objects.get()
        client.post(address, {"do": "end", "target": str(pause.pk), "answer": ""})
        pause.refresh_from_db()
        assert pause.ended_at is not None

    def test_take_money_on_account_and_pay_it_back(self, invoice: Invoice, cast: Cast) -> None:
        address = reverse("billing:customer-money", args=["other"])
        client = self.client(cast.finance)
        body = {
            "do": "came", "came-amount": "20.00", "came-currency": "USD", "came-reference": "A-1",
            "came-received_date": "2026-12-01",
        }  # fmt: skip
        # 5.10 of it pays the charges.
        assert "$14.90" in client.post(address, body, follow=True).content.decode()
        went = {"do": "went", "went-amount": "15", "went-currency": "USD", "went-reference": "B-1"}
        assert "at most $14.90" in client.post(address, went).content.decode()
        client.post(address, {**went, "went-amount": "14.90"})

        assert balances.balance_of(invoice.organization_id, "USD") == 0

    def test_begin_a_policy(self, cast: Cast) -> None:
        client, address = self.client(cast.finance), reverse("billing:dunning-policies")
        body = {"starts_on": "2027-01-01", "currency": "USD", "promise_days": "7"}
        body |= {f"tone_{row}": "friendly" for row in range(6)}
        body |= {"days_after_due_0": "5", "text_0": "Dear {nobody}"}

        assert "{nobody} is unknown" in client.post(address, body).content.decode()
        client.post(address, {**body, "text_0": "{invoice}, please.", "fee_0": "2.50"})

        made = DunningPolicy.objects.latest("starts_at")
        assert (made.steps.get().fee_minor, made.promise_days) == (250, 7)

    def test_let_the_payer_see_and_say(self, invoice: Invoice, payer: User) -> None:
        page = self.text(payer, "bill", invoice.number)
        assert "Second reminder" in page
        assert "$5.00" in page
        assert invoice.number in self.text(payer, "bills")
        assert "Estimate" in self.text(payer, "bills-so-far")
        address = reverse("billing:bill", args=[invoice.number])

        wrong = self.client(payer).post(address, {"kind": "promise", "note": "Soon."})
        assert "has to be a day from tomorrow" in wrong.content.decode()
        said = {"kind": "promise", "note": "Soon.", "until": "2026-12-20"}
        assert "Finance was told" in self.client(payer).post(address, said, follow=True).content.decode()

    def test_give_the_account_as_page_and_files(self, invoice: Invoice, payer: User, cast: Cast) -> None:
        for person in (payer, cast.finance):
            assert "$55.10" in self.text(person, "customer-account", "other")
            assert "$5.10" in self.text(person, "customer", "other")
        file = self.text(payer, "customer-account-csv", "other")
        assert "2026-11-02,Invoice,INV-2026-000001,INV-2026-000001,50.00,50.00,USD" in file
        pdf = self.client(payer).get(reverse("billing:customer-account-pdf", args=["other"])).content
        assert pdf.startswith(b"%PDF")

    def test_tell_strangers_nothing(self, invoice: Invoice, cast: Cast) -> None:
        stranger = self.client(cast.consumer)
        for name in ("customer", "customer-account", "customer-account-csv", "customer-account-pdf"):
            assert stranger.get(reverse(f"billing:{name}", args=["other"])).status_code == 404
        assert stranger.get(reverse("billing:bill", args=[invoice.number])).status_code == 404
        for name in ("dunning", "dunning-policies"):
            assert stranger.get(reverse(f"billing:{name}")).status_code == 403
            assert self.client(cast.stranger).get(reverse(f"billing:{name}")).status_code == 403
        for name in ("customer-money", "customer-reminders", "customer-outlook"):
            assert (
                self.client(cast.stranger).get(reverse(f"billing:{name}", args=["other"])).status_code == 403
            )

    def test_read_little(
        self, invoice: Invoice, cast: Cast, payer: User, finance: Actor, django_assert_max_num_queries: Any
    ) -> None:
        pay(invoice, finance, 1_000, at=day(10))
        dunning_pauses.say(invoice, kind="dispute", note="No.", by=actor_for(payer), at=day(10))
        for person, name, *args in (
            (cast.finance, "receivables"),
            (cast.finance, "dunning"),
            (cast.finance, "dunning-policies"),
            (cast.finance, "customer", "other"),
            (cast.finance, "customer-account", "other"),
            (cast.finance, "customer-money", "other"),
            (cast.finance, "customer-reminders", "other"),
            (cast.finance, "customer-outlook", "other"),
            (payer, "bills"),
            (payer, "bill", invoice.number),
        ):
            client = self.client(person)
            with django_assert_max_num_queries(12, info=name):
                client.get(reverse(f"billing:{name}", args=args))
