from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from django.db import DatabaseError, connection, transaction

from billing import credit_notes, settling
from billing.creators.accruing import Collected, Owed
from billing.credit_asks import Ask
from billing.ledger import chart, journal
from billing.ledger.journal import Fact, Leg
from billing.models import CreatorMovement, Invoice, Posting
from marketplace.accounts.access import Actor, actor_for
from tests.billing.test_close import FEE, TERMS, close, subscribe
from tests.billing.usage import use
from tests.conftest import Cast

AT = datetime(2026, 11, 10, 9, tzinfo=UTC)


@pytest.fixture
def invoice(cast: Cast) -> Invoice:
    """An invoice of 50.00 to the other company, 40.00 of it the creator's."""
    use(subscribe(cast, [FEE], team=cast.stranger_team), requests=1, cost="0")
    (found,) = close()
    return found


@pytest.fixture
def finance(cast: Cast) -> Actor:
    return actor_for(cast.finance)


def pay(invoice: Invoice, by: Actor, amount_minor: int, reference: str = "R-1", at: datetime = AT) -> None:
    settling.record_payment(
        invoice, amount_minor=amount_minor, reference=reference, received_date=at.date(), by=by, at=at
    )


def give_back(invoice: Invoice, by: Actor, amount_minor: int, at: datetime = AT) -> None:
    credit_notes.propose(
        invoice, ask=Ask(amount_minor=amount_minor), reason="Less.", by=by, at=at, terms=TERMS
    )


def refund(invoice: Invoice, amount_minor: int, at: datetime = AT) -> None:
    """Money that goes back to the payer, as the books take it."""
    who: dict[str, Any] = {"organization_id": invoice.organization_id}
    fact = Fact(
        key=f"refund:{invoice.pk}:{at}",
        kind="billing.refund",
        memo="Refund",
        legs=[
            Leg(chart.RECEIVABLE, amount_minor, invoice.currency, **who),
            Leg(chart.BANK, -amount_minor, invoice.currency, **who),
        ],
        invoice=invoice,
    )
    journal.post(fact, at=at)


def movements() -> list[tuple[str, int, int]]:
    found = CreatorMovement.objects.order_by("at", "pk")
    return list(found.values_list("kind", "held_minor", "available_minor"))


def in_books() -> int:
    return -sum(Posting.objects.filter(account="creator_payable").values_list("amount_minor", flat=True))


class TestFollow:
    def test_holds_what_is_earned_until_the_payer_paid(self, invoice: Invoice, finance: Actor) -> None:
        assert movements() == [("earned", 4_000, 0)]

        # A third of 50.00 releases a third of 40.00: 16.67 / 50 x 40 = 13.336.
        pay(invoice, finance, 1_667)
        pay(invoice, finance, 3_333, "R-2", AT + timedelta(days=1))

        assert movements() == [("earned", 4_000, 0), ("released", -1_334, 1_334), ("released", -2_666, 2_666)]

    def test_takes_a_credit_note_off_what_is_held_and_what_is_not(
        self, invoice: Invoice, finance: Actor
    ) -> None:
        pay(invoice, finance, 2_000)
        give_back(invoice, finance, 1_000, AT + timedelta(days=1))

        # 32.00 are owed of 40.00 that are asked for, half of which came in: 16.00 each.
        assert movements()[1:] == [("released", -1_600, 1_600), ("reversed", -800, 0)]
        assert in_books() == 3_200

    def test_carries_forward_what_was_refunded(self, invoice: Invoice, finance: Actor) -> None:
        pay(invoice, finance, 5_000)
        give_back(invoice, finance, 5_000, AT + timedelta(days=1))
        refund(invoice, 5_000, AT + timedelta(days=2))

        assert movements()[2:] == [("reversed", 0, -4_000)]
        assert in_books() == 0

    def test_holds_back_when_money_goes_back_without_a_credit_note(
        self, invoice: Invoice, finance: Actor
    ) -> None:
        pay(invoice, finance, 5_000)
        refund(invoice, 2_500, AT + timedelta(days=2))

        assert movements()[2:] == [("held_back", 2_000, -2_000)]

    def test_releases_statements_at_once(self, cast: Cast) -> None:
        use(subscribe(cast, [FEE]), requests=1, cost="0")
        close()

        assert movements() == [("earned", 0, 4_000)]

    def test_is_checked_by_the_database(self, invoice: Invoice) -> None:
        one = CreatorMovement.objects.get()
        lie = CreatorMovement(
            key="lie",
            kind="earned",
            team=one.team,
            app=one.app,
            currency="USD",
            held_minor=1,
            entry=one.entry,
            at=AT,
        )

        with pytest.raises(DatabaseError, match="not what the books owe"), transaction.atomic():
            lie.save()
            with connection.cursor() as cursor:
                cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")

    def test_never_loses_a_part(self, invoice: Invoice) -> None:
        one = CreatorMovement.objects.get()
        with pytest.raises(DatabaseError, match="creator_release_moves_whole"), transaction.atomic():
            CreatorMovement.objects.create(
                key="lie",
                kind="released",
                team=one.team,
                currency="USD",
                held_minor=-2,
                available_minor=1,
                at=AT,
            )
        with pytest.raises(DatabaseError), transaction.atomic():
            CreatorMovement.objects.update(held_minor=0)


class TestCollected:
    @pytest.mark.parametrize(
        ("asked", "paid", "owed", "expected"),
        [
            (300, 100, 100, Owed(67, 33)),
            (300, 0, 100, Owed(100, 0)),
            (300, 400, 100, Owed(0, 100)),
            (300, -5, 100, Owed(100, 0)),
            (0, 0, -7, Owed(0, -7)),
        ],
    )
    def test_splits_what_is_owed(self, asked: int, paid: int, owed: int, expected: Owed) -> None:
        assert Collected(asked, paid).split(owed) == expected


def test_dates_are_those_of_the_books(invoice: Invoice) -> None:
    assert CreatorMovement.objects.get().at.date() == date(2026, 11, 2)
