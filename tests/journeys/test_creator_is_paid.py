"""A sale, from the first cent that the payer pays to what is carried forward when it all goes back."""

from datetime import UTC, date, datetime

from billing import credit_notes, settling
from billing.creators import bank_files, paying, plans, statements
from billing.creators.balances import balance_of
from billing.credit_asks import Ask
from billing.ledger.verify import verify
from billing.models import Posting
from marketplace.accounts.access import actor_for
from marketplace.core.periods import parse_month
from tests import factories
from tests.billing.paying import HOUSE, TERMS, sell
from tests.billing.test_close import TERMS as HOUSE_TERMS
from tests.conftest import Cast


def day(number: int, month: int = 11) -> datetime:
    return datetime(2026, month, number, 9, tzinfo=UTC)


def test_sale_part_paid_credit_note_payout_refund_carried_forward(cast: Cast) -> None:
    studio = factories.make_team(factories.make_organization(billing="invoice"), name="Makers")
    maker = factories.make_user()
    factories.join(maker, studio, "creator")
    finance = actor_for(cast.finance)
    invoice = sell(studio, cast)  # 50.00, of which 40.00 are the creator's
    choice = plans.Choice(plans.Method.BANK, hold_days=0, holder="Makers", iban="DE89370400440532013000")
    plans.choose(studio, currency="USD", choice=choice, by=actor_for(maker), at=day(3))

    def state() -> tuple[int, int]:
        now = balance_of(studio.pk, "USD")
        return now.held_minor, now.available_minor

    assert state() == (4_000, 0)

    # Half is paid: half is released. 10.00 are given back: 32.00 are owed of 40.00, of which 25.00 came in: 20.00.
    payment = settling.record_payment(
        invoice, amount_minor=2_500, reference="R-1", received_date=date(2026, 11, 4), by=finance, at=day(4)
    )
    assert state() == (2_000, 2_000)
    credit_notes.propose(
        invoice, ask=Ask(amount_minor=1_000), reason="Late.", by=finance, at=day(5), terms=HOUSE_TERMS
    )
    assert state() == (1_200, 2_000)

    # What is released is paid out on the 10th.
    (payout,) = paying.schedule_due(at=day(10), terms=TERMS)
    paying.approve_one(payout, by=finance, at=day(10))
    bank_files.make(currency="USD", execution_date=date(2026, 11, 11), debtor=HOUSE, by=finance, at=day(10))
    paying.confirm(payout, reference="B-1", by=finance, at=day(11))
    assert state() == (1_200, 0)

    # The payer's money goes back: 20.00 that were paid out are missing, and nobody owes them.
    settling.reverse_payment(payment, amount_minor=2_500, reference="X-1", reason="Refunded.", at=day(20))
    assert state() == (3_200, -2_000)
    assert paying.schedule_due(at=day(10, 12), terms=TERMS) == []

    november = statements.statement_of(studio, currency="USD", month=parse_month("2026-11"))
    assert [(one.kind, one.held_minor, one.available_minor) for one in november.sums] == [
        ("earned", 4_000, 0),
        ("released", -2_000, 2_000),
        ("held_back", 2_000, -2_000),
        ("reversed", -800, 0),
        ("paid", 0, -2_000),
    ]
    owed = -sum(
        Posting.objects.filter(account="creator_payable", team=studio).values_list("amount_minor", flat=True)
    )
    assert november.closing.minor == owed == 1_200
    assert all(verdict.is_ok for verdict in verify())
