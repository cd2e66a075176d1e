"""A studio that sells an app, is paid by the payer, and wants to be paid out."""

from datetime import UTC, date, datetime
from decimal import Decimal

from billing import settling
from billing.creators import bank_files, paying, plans
from billing.creators.bank_files import Debtor
from billing.creators.terms import PayoutTerms
from billing.models import Invoice, Payout, PayoutPlan
from marketplace.accounts.access import Actor, actor_for
from marketplace.accounts.models import Team, User
from tests import factories
from tests.billing.test_close import FEE, close
from tests.billing.usage import use
from tests.conftest import Cast

RELEASED = datetime(2026, 11, 3, 9, tzinfo=UTC)
TENTH = datetime(2026, 11, 10, 6, tzinfo=UTC)
TERMS = PayoutTerms(currency="USD", alone_up_to=Decimal(100))
BANK = plans.Choice(
    plans.Method.BANK, hold_days=5, holder="Studio Größe & Co", iban="DE89 3704 0044 0532 0130 00"
)
HOUSE = Debtor("Test Company", "DE02120300000000202051", "BYLADEM1001")


def sell(studio: Team, cast: Cast, *, amount: str = "50") -> Invoice:
    app = factories.make_app(studio)
    plan = factories.make_plan(app, charges=[{**FEE, "amount": amount}])
    use(factories.make_subscription(app, cast.stranger_team, plan=plan), requests=1, cost="0")
    (invoice,) = close()
    return invoice


def pay(invoice: Invoice, finance: Actor, *, at: datetime = RELEASED) -> None:
    settling.record_payment(
        invoice,
        amount_minor=invoice.total_minor,
        reference="R-1",
        received_date=at.date(),
        by=finance,
        at=at,
    )


def choose(studio: Team, maker: User, choice: plans.Choice = BANK) -> PayoutPlan:
    return plans.choose(studio, currency="USD", choice=choice, by=actor_for(maker), at=RELEASED)


def in_file(payout: Payout, finance: Actor) -> None:
    paying.approve_one(payout, by=finance, at=TENTH)
    bank_files.make(currency="USD", execution_date=date(2026, 11, 11), debtor=HOUSE, by=finance, at=TENTH)
