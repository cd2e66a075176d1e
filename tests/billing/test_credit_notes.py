from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pgtrigger
import pytest
from django.db import DatabaseError, transaction

from billing import credit_notes
from billing.credit_asks import Ask
from billing.credit_note_documents import credit_note_pdf
from billing.crediting import NothingLeft
from billing.ledger.balances import trial_balance
from billing.ledger.verify import verify
from billing.models import CreditNote, CreditNoteLine, Invoice, InvoiceLine, JournalEntry, Posting
from marketplace.accounts.access import Actor, actor_for
from marketplace.accounts.models import User
from marketplace.core.errors import InvalidInput, NotAllowed
from marketplace.core.models import AuditEntry, Notice, NumberSequence
from marketplace.core.transitions import IllegalTransition
from tests import factories
from tests.billing.test_close import COST, FEE, TERMS, accounts, close, subscribe
from tests.billing.test_documents import text_of
from tests.billing.usage import use
from tests.conftest import Cast

AT = datetime(2026, 11, 10, 9, tzinfo=UTC)


@pytest.fixture
def invoice(cast: Cast) -> Invoice:
    """Lines of 50.00 and 130.00; 64.00 of them the creator's, 17.78 and 46.22."""
    use(subscribe(cast, [FEE, COST]), requests=10_000, cost="100")
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


def credit(invoice: Invoice, by: Actor, ask: Ask | None = None, **fields: Any) -> CreditNote:
    fields = {"reason": "Billed twice.", "at": AT, "terms": TERMS, **fields}
    return credit_notes.propose(invoice, ask=ask or Ask(), by=by, **fields)


def taxed(invoice: Invoice, *, percent: int) -> None:
    """Let an invoice have tax, as if it had been drafted with it."""
    with pgtrigger.ignore(
        "billing.Invoice:finalized_amounts_stay", "billing.InvoiceLine:lines_of_finalized_stay"
    ):
        for line in invoice.lines.all():
            tax = line.amount_minor * percent // 100
            InvoiceLine.objects.filter(pk=line.pk).update(tax_minor=tax, tax_percent=percent)
        tax = sum(invoice.lines.values_list("tax_minor", flat=True))
        Invoice.objects.filter(pk=invoice.pk).update(tax_minor=tax, total_minor=invoice.subtotal_minor + tax)
    invoice.refresh_from_db()


def parts(note: CreditNote) -> list[tuple[int, int, int, int]]:
    return [(one.line.position, one.net_minor, one.tax_minor, one.creator_minor) for one in note.lines.all()]


class TestASmallCredit:
    def test_is_issued_and_posted_at_once(self, invoice: Invoice, finance: Actor) -> None:
        # 36.00 over 50.00 and 130.00: 10.00 and 26.00; of the creator's 17.78 and 46.22 a fifth, 3.56 and 9.24.
        note = credit(invoice, finance, Ask(amount_minor=3_600))

        assert (note.state, note.number, note.total_minor) == ("issued", "CN-2026-000001", 3_600)
        assert parts(note) == [(1, 1_000, 0, 356), (2, 2_600, 0, 924)]
        entry = JournalEntry.objects.get(credit_note=note)
        assert entry.corrects == JournalEntry.objects.get(idempotency_key=f"invoice:{invoice.pk}")
        assert entry.period_id == "2026-11"
        assert dict(entry.postings.values_list("account", "amount_minor")) == {
            "cost_center_charge": -3_600,
            "creator_payable": 1_280,
            "platform_revenue": 2_320,
        }
        assert all(verdict.is_ok for verdict in verify())

    def test_is_the_first_one_when_it_is_sent_again(self, invoice: Invoice, finance: Actor) -> None:
        first = credit(invoice, finance, Ask(amount_minor=100), idempotency_key="once")

        assert credit(invoice, finance, Ask(amount_minor=100), idempotency_key="once") == first
        with pytest.raises(credit_notes.KeyReused):
            credit(invoice, finance, Ask(amount_minor=200), idempotency_key="once")
        assert CreditNote.objects.count() == 1

    def test_is_told_to_who_pays(self, invoice: Invoice, finance: Actor, cast: Cast) -> None:
        credit(invoice, finance, Ask(amount_minor=100))

        assert "CN-2026-000001" in Notice.objects.get(recipient=cast.finance).text

    def test_of_a_line_takes_tax_and_shares_of_that_line(self, invoice: Invoice, finance: Actor) -> None:
        taxed(invoice, percent=20)

        # Line 1 is 50.00 with 10.00 of tax: 12.00 of it are 10.00 and 2.00, a fifth.
        note = credit(invoice, finance, Ask(lines={1: 1_200}))

        assert parts(note) == [(1, 1_000, 200, 356)]
        assert (note.net_minor, note.tax_minor, note.total_minor) == (1_000, 200, 1_200)

    def test_goes_back_from_the_teams_that_were_credited(self, cast: Cast, finance: Actor) -> None:
        subscription = subscribe(cast, [FEE])
        use(subscription, requests=1, cost="0")
        new_team = factories.make_team(cast.company, slug="new-owner", cost_center=cast.cost_center)
        factories.hand_over(subscription.app, new_team, at=datetime(2026, 10, 11, tzinfo=UTC))
        (invoice,) = close()

        note = credit(invoice, finance, Ask(amount_minor=2_000))

        # 40.00 of 50.00 are the creators'. Of 31 days the first owner had 10: 12.90 and 27.10. Two fifths of each.
        given = dict(
            Posting.objects.filter(entry__credit_note=note, account="creator_payable").values_list(
                "team__slug", "amount_minor"
            )
        )
        assert given == {"team-ux": 516, "new-owner": 1_084}


class TestAllOfIt:
    def test_mirrors_the_invoice_after_any_parts(
        self, invoice: Invoice, finance: Actor, second: Actor
    ) -> None:
        taxed(invoice, percent=19)
        posted = accounts(invoice)
        credit(invoice, finance, Ask(amount_minor=3_333))
        credit(invoice, finance, Ask(lines={2: 1_111}))

        credit_notes.approve(credit(invoice, finance), by=second, at=AT)

        sums = {
            line.pk: (
                sum(one.net_minor for one in line.credits.all()),
                sum(one.tax_minor for one in line.credits.all()),
                sum(one.creator_minor for one in line.credits.all()),
            )
            for line in invoice.lines.all()
        }
        assert sums == {
            line.pk: (line.amount_minor, line.tax_minor, line.creator_minor) for line in invoice.lines.all()
        }
        # The postings of the tax are not there, because it was added behind the books' back.
        assert posted["creator_payable"] + accounts_of_notes(invoice)["creator_payable"] == 0
        assert posted["platform_revenue"] + accounts_of_notes(invoice)["platform_revenue"] == 0
        assert trial_balance().is_balanced

    def test_leaves_nothing(self, invoice: Invoice, finance: Actor, second: Actor) -> None:
        credit_notes.approve(credit(invoice, finance), by=second, at=AT)

        with pytest.raises(NothingLeft):
            credit(invoice, finance, Ask(amount_minor=1))
        assert all(amount == 0 for amount in accounts(invoice).values())
        assert all(verdict.is_ok for verdict in verify())


def accounts_of_notes(invoice: Invoice) -> dict[str, int]:
    sums: dict[str, int] = {}
    for one in Posting.objects.filter(entry__credit_note__invoice=invoice):
        sums[one.account] = sums.get(one.account, 0) + one.amount_minor
    return sums


class TestABigCredit:
    def test_waits_for_a_second_person(self, invoice: Invoice, finance: Actor, second: Actor) -> None:
        note = credit(invoice, finance, Ask(amount_minor=10_001))

        assert (note.state, note.number) == ("proposed", None)
        assert not JournalEntry.objects.filter(credit_note=note).exists()
        assert Notice.objects.filter(recipient=second.user).exists()
        with pytest.raises(credit_notes.OwnCreditNote):
            credit_notes.approve(note, by=finance, at=AT)

        credit_notes.approve(note, by=second, at=AT, decision_note="Seen.")

        note.refresh_from_db()
        assert (note.state, note.number, note.decided_by) == ("issued", "CN-2026-000001", second.user)
        actions = AuditEntry.objects.filter(subject_id=str(note.pk)).order_by("id")
        assert [one.action for one in actions] == [
            "billing.credit_note.proposed",
            "billing.credit_note.issued",
        ]

    def test_of_another_currency_always_waits(self, invoice: Invoice, finance: Actor) -> None:
        note = credit(invoice, finance, Ask(amount_minor=1), terms=replace(TERMS, currency="EUR"))

        assert note.state == "proposed"

    def test_can_be_rejected_with_a_reason_or_taken_back(
        self, invoice: Invoice, finance: Actor, second: Actor
    ) -> None:
        note = credit(invoice, finance)
        with pytest.raises(InvalidInput):
            credit_notes.reject(note, by=second, at=AT, decision_note=" ")
        credit_notes.reject(note, by=second, at=AT, decision_note="Not ours.")
        again = credit(invoice, finance)
        with pytest.raises(NotAllowed):
            credit_notes.withdraw(again, by=second, at=AT)
        credit_notes.withdraw(again, by=finance, at=AT)

        with pytest.raises(IllegalTransition):
            credit_notes.approve(note, by=second, at=AT)
        assert not NumberSequence.objects.filter(series="CN:2026").exists()

    def test_waits_alone(self, invoice: Invoice, finance: Actor, second: Actor) -> None:
        credit(invoice, finance)

        with pytest.raises(credit_notes.ProposalWaits):
            credit(invoice, second)
        with pytest.raises(credit_notes.ProposalWaits):
            credit(invoice, second, Ask(amount_minor=1))


class TestWhatIsRefused:
    def test_other_people(self, invoice: Invoice, cast: Cast) -> None:
        for person in (cast.operator, cast.consumer, cast.stranger):
            with pytest.raises(NotAllowed):
                credit(invoice, actor_for(person))

    def test_statements_for_reading(self, cast: Cast, finance: Actor) -> None:
        center = factories.make_cost_center(cast.company, mode="showback")
        use(subscribe(cast, [FEE], cost_center=center), requests=1, cost="0")
        (statement,) = close()

        with pytest.raises(credit_notes.NotCreditable):
            credit(statement, finance)

    @pytest.mark.parametrize(
        ("ask", "field"),
        [
            (Ask(amount_minor=18_001), "amount"),
            (Ask(amount_minor=0), "amount"),
            (Ask(lines={3: None}), "lines[3]"),
            (Ask(lines={1: 5_001}), "lines[1]"),
            (Ask(lines={1: -1}), "lines[1]"),
        ],
    )
    def test_more_than_there_is(self, invoice: Invoice, finance: Actor, ask: Ask, field: str) -> None:
        with pytest.raises(InvalidInput) as refused:
            credit(invoice, finance, ask)

        assert refused.value.field == field

    def test_no_reason(self, invoice: Invoice, finance: Actor) -> None:
        with pytest.raises(InvalidInput) as refused:
            credit(invoice, finance, reason="  ")

        assert refused.value.field == "reason"


class TestTheDatabase:
    def note(self, invoice: Invoice, user: User, **fields: Any) -> CreditNote:
        fields = {"net_minor": 100, "total_minor": 100, "needs_second_person": False, **fields}
        return CreditNote.objects.create(
            invoice=invoice, asked={}, reason="x", proposed_by=user, proposed_at=AT, **fields
        )

    def line(self, note: CreditNote, line: InvoiceLine, net_minor: int) -> None:
        CreditNoteLine.objects.create(
            credit_note=note, line=line, net_minor=net_minor, creator_minor=0, platform_minor=net_minor
        )

    def issue(self, note: CreditNote, **fields: Any) -> None:
        with transaction.atomic():
            fields = {"state": "issued", "number": f"CN-{note.pk}"[:40], "issued_at": AT, **fields}
            CreditNote.objects.filter(pk=note.pk).update(**fields)

    def test_refuses_more_than_the_invoice(self, invoice: Invoice, cast: Cast) -> None:
        first, last = invoice.lines.all()
        note = self.note(invoice, cast.finance, net_minor=18_100, total_minor=18_100)
        self.line(note, first, 5_000)
        self.line(note, last, 13_100)

        with pytest.raises(DatabaseError, match="more is credited"):
            self.issue(note)

    def test_refuses_more_than_a_line(self, invoice: Invoice, cast: Cast) -> None:
        note = self.note(invoice, cast.finance, net_minor=5_001, total_minor=5_001)
        self.line(note, invoice.lines.all()[0], 5_001)

        with pytest.raises(DatabaseError, match="more is credited"):
            self.issue(note)

    def test_refuses_a_note_that_is_not_its_lines(self, invoice: Invoice, cast: Cast) -> None:
        note = self.note(invoice, cast.finance)
        self.line(note, invoice.lines.all()[0], 99)

        with pytest.raises(DatabaseError, match="not the sum of its lines"):
            self.issue(note)

    def test_refuses_big_ones_without_a_second_person(self, invoice: Invoice, cast: Cast) -> None:
        note = self.note(invoice, cast.finance, needs_second_person=True)
        self.line(note, invoice.lines.all()[0], 100)

        with pytest.raises(DatabaseError, match="credit_note_big_has_decider"):
            self.issue(note)
        with pytest.raises(DatabaseError, match="credit_note_four_eyes"):
            self.issue(note, decided_by=cast.finance)

    def test_keeps_issued_ones_as_they_are(self, invoice: Invoice, finance: Actor) -> None:
        note = credit(invoice, finance, Ask(amount_minor=100))

        for change in (
            lambda: CreditNote.objects.filter(pk=note.pk).update(reason="Other"),
            lambda: CreditNote.objects.filter(pk=note.pk).delete(),
            lambda: CreditNoteLine.objects.update(net_minor=1, platform_minor=1, creator_minor=0),
            lambda: self.line(note, invoice.lines.all()[1], 1),
        ):
            with pytest.raises(DatabaseError), transaction.atomic():
                change()

    def test_needs_a_reason_and_an_amount(self, invoice: Invoice, cast: Cast) -> None:
        for wrong in ({"total_minor": 0, "net_minor": 0}, {"total_minor": 101}):
            with pytest.raises(DatabaseError, match="credit_note_total_adds_up"), transaction.atomic():
                self.note(invoice, cast.finance, **wrong)


class TestVerify:
    def test_tells_of_a_note_that_is_not_in_the_books(self, invoice: Invoice, cast: Cast) -> None:
        note = TestTheDatabase().note(invoice, cast.finance)
        TestTheDatabase().line(note, invoice.lines.all()[0], 100)
        TestTheDatabase().issue(note, number="CN-2026-000001")

        wrong = [one.what for verdict in verify() for one in verdict.findings if not one.is_ok]

        assert "credit notes that are not in the books as they are" in wrong


class TestPdf:
    def test_is_the_same_bytes_every_time(self, invoice: Invoice, finance: Actor) -> None:
        note = credit(invoice, finance, Ask(lines={1: None}), at=AT + timedelta(days=1))

        first = credit_note_pdf(note)
        assert credit_note_pdf(CreditNote.objects.get(pk=note.pk)) == first
        text = text_of(first)
        assert "CN-2026-000001" in text
        assert "ST-2026-000001" in text
        assert "Billed twice." in text
        assert "$50.00" in text
        assert Decimal(note.total_minor) == 5_000
