"""Money paid ahead and credit that was given: in, out, expired, paid back, and what the books say of it."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.db import IntegrityError, transaction
from django.db.models import Sum

from billing import settling, wallet_spending, wallets
from billing.close import close_period
from billing.ledger.verify import verify
from billing.models import Invoice, Posting, Wallet, WalletCredit, WalletMovement
from billing.terms import ShareTerms, Terms
from billing.wallets import NewCredit, ReferenceUsed
from marketplace.accounts.access import actor_for
from marketplace.core.errors import InvalidInput, NotAllowed
from marketplace.core.models import Notice
from tests import factories
from tests.billing.usage import OCTOBER, use
from tests.conftest import Cast

pytestmark = pytest.mark.django_db
NOW = datetime(2026, 10, 3, 9, tzinfo=UTC)
CLOSED = datetime(2026, 11, 2, 8, tzinfo=UTC)
HOUSE = Terms("House Ltd.", ShareTerms(Decimal("0.2")), "USD")


@pytest.fixture
def wallet(cast: Cast) -> Wallet:
    organization = cast.consumer_team.organization
    organization.billing = "invoice"
    organization.save(update_fields=["billing"])
    return wallets.open_wallet(organization, currency="USD", by=actor_for(cast.finance), at=NOW)


def put(cast: Cast, wallet: Wallet, minor: int, *, kind: str = "paid", **options: object) -> WalletCredit:
    at = options.pop("at", NOW)
    new = NewCredit(kind, minor, str(options.pop("reference", f"{kind} {minor}")), **options)  # type: ignore[arg-type]
    return wallets.add(wallet, new=new, by=actor_for(cast.finance), at=at)  # type: ignore[arg-type]


def booked(account: str) -> int:
    return int(Posting.objects.filter(account=account).aggregate(sum=Sum("amount_minor", default=0))["sum"])


def october_bill(cast: Cast) -> Invoice:
    """An invoice of 180.00: fee 50.00, 10,000 calls that cost 100.00, at cost plus 30 %."""
    app = factories.make_listed_app(cast.creator_team)
    plan = factories.make_plan(
        app,
        charges=[
            {"code": "fee", "model": "flat", "amount": "50", "prorate": True},
            {"code": "cost", "model": "cost_plus", "markup": "0.30"},
        ],
    )
    use(
        factories.make_subscription(app, cast.consumer_team, plan=plan),
        requests=10_000,
        cost="100",
        at=OCTOBER,
    )
    close_period("2026-10", at=CLOSED, terms=HOUSE)
    return Invoice.objects.get(kind="invoice")


def all_agrees() -> bool:
    return all(verdict.is_ok for verdict in verify())


class TestAdd:
    def test_owes_what_was_paid_and_counts_as_cost_what_was_given(self, cast: Cast, wallet: Wallet) -> None:
        put(cast, wallet, 10_000)
        put(cast, wallet, 2_500, kind="promotional")

        wallet.refresh_from_db()
        assert wallet.balance_minor == 12_500
        assert (booked("bank"), booked("prepaid")) == (10_000, -10_000)
        assert (booked("promotions"), booked("promotional_credit")) == (2_500, -2_500)

    def test_adds_once_for_a_reference(self, cast: Cast, wallet: Wallet) -> None:
        first = put(cast, wallet, 10_000, reference="B-1")

        assert put(cast, wallet, 10_000, reference="B-1") == first
        with pytest.raises(ReferenceUsed):
            put(cast, wallet, 9_000, reference="B-1")
        assert WalletMovement.objects.count() == 1

    @pytest.mark.parametrize(("minor", "field"), [(0, "amount"), (-5, "amount"), (10**13 + 1, "amount")])
    def test_refuses_amounts_that_are_none(self, cast: Cast, wallet: Wallet, minor: int, field: str) -> None:
        with pytest.raises(InvalidInput, match=field):
            put(cast, wallet, minor)

    def test_is_for_finance_of_the_marketplace(self, cast: Cast, wallet: Wallet) -> None:
        for person in (cast.consumer, cast.stranger):
            with pytest.raises(NotAllowed):
                wallets.add(wallet, new=NewCredit("paid", 5, "x"), by=actor_for(person), at=NOW)


class TestPay:
    def test_pays_in_part_after_tax_and_leaves_the_rest_due(self, cast: Cast, wallet: Wallet) -> None:
        put(cast, wallet, 5_000)

        invoice = october_bill(cast)

        assert (invoice.total_minor, invoice.state) == (18_000, "finalized")
        assert settling.due_of(invoice).minor == 13_000
        wallet.refresh_from_db()
        assert wallet.balance_minor == 0
        # 180.00 were asked for, 50.00 of it were owed back.
        assert (booked("receivable"), booked("prepaid")) == (13_000, 0)
        assert all_agrees()

    def test_pays_in_full_and_says_so(self, cast: Cast, wallet: Wallet) -> None:
        put(cast, wallet, 20_000)

        invoice = october_bill(cast)

        wallet.refresh_from_db()
        assert (invoice.state, wallet.balance_minor) == ("paid", 2_000)
        assert all_agrees()

    def test_takes_soonest_to_expire_then_given_then_oldest(self, cast: Cast, wallet: Wallet) -> None:
        paid = put(cast, wallet, 7_000, reference="old")
        given = put(cast, wallet, 6_000, kind="promotional", reference="given")
        ending = put(cast, wallet, 4_000, reference="ends", expires_at=CLOSED + timedelta(days=9))
        gone = put(cast, wallet, 3_000, reference="gone", expires_at=CLOSED - timedelta(days=1))

        october_bill(cast)

        left = dict(WalletCredit.objects.values_list("pk", "left_minor"))
        # 180.00 = 40.00 that end soon + 60.00 given + 70.00 paid; 10.00 stay due, what has expired pays nothing.
        assert [left[one.pk] for one in (ending, given, paid, gone)] == [0, 0, 0, 3_000]
        applied = WalletMovement.objects.filter(kind="applied").order_by("pk")
        assert [one.amount_minor for one in applied] == [-4_000, -6_000, -7_000]

    def test_pays_nothing_twice(self, cast: Cast, wallet: Wallet) -> None:
        put(cast, wallet, 20_000)
        invoice = october_bill(cast)

        assert wallet_spending.pay(invoice, at=CLOSED) is None
        assert wallet_spending.pay_open(wallet, at=CLOSED) == 0

    def test_pays_waiting_bills_when_it_is_filled(self, cast: Cast, wallet: Wallet) -> None:
        invoice = october_bill(cast)
        put(cast, wallet, 20_000, at=CLOSED)

        assert wallet_spending.pay_open(wallet, at=CLOSED) == 1

        invoice.refresh_from_db()
        assert invoice.state == "paid"
        assert all_agrees()


class TestExpire:
    def test_books_income_of_what_was_paid_and_takes_back_the_cost_of_what_was_given(
        self, cast: Cast, wallet: Wallet
    ) -> None:
        ends = NOW + timedelta(days=10)
        put(cast, wallet, 10_000, expires_at=ends)
        put(cast, wallet, 2_500, kind="promotional", expires_at=ends)

        assert (wallets.expire_due(at=ends - timedelta(seconds=1)), wallets.expire_due(at=ends)) == (0, 2)
        assert wallets.expire_due(at=ends) == 0

        wallet.refresh_from_db()
        assert wallet.balance_minor == 0
        assert (booked("prepaid"), booked("expired_prepaid")) == (0, -10_000)
        assert (booked("promotional_credit"), booked("promotions")) == (0, 0)


class TestRefund:
    def test_pays_back_money_and_no_gift(self, cast: Cast, wallet: Wallet) -> None:
        put(cast, wallet, 10_000)
        put(cast, wallet, 2_500, kind="promotional")
        finance = actor_for(cast.finance)

        for _ in range(2):
            wallets.refund(wallet, amount_minor=4_000, reference="R-1", by=finance, at=NOW)
        with pytest.raises(InvalidInput, match=r"\$60\.00"):
            wallets.refund(wallet, amount_minor=6_001, reference="R-2", by=finance, at=NOW)

        wallet.refresh_from_db()
        assert (wallet.balance_minor, booked("bank"), booked("prepaid")) == (8_500, 6_000, -6_000)


class TestTelling:
    def test_tells_once_that_little_is_left(self, cast: Cast, wallet: Wallet) -> None:
        wallets.set_low_balance(wallet, below_minor=5_000, by=actor_for(cast.finance), at=NOW)
        put(cast, wallet, 20_000)

        october_bill(cast)
        wallet.refresh_from_db()
        wallets.tell_if_low(wallet, at=CLOSED)

        told = Notice.objects.filter(text="$20.00 are left in your wallet.", recipient=cast.finance)
        assert told.count() == 1


class TestConstraints:
    def test_keep_a_wallet_from_falling_below_zero(self, wallet: Wallet) -> None:
        with pytest.raises(IntegrityError, match="wallet_never_below_zero"), transaction.atomic():
            Wallet.objects.filter(pk=wallet.pk).update(balance_minor=-1)

    def test_keep_a_credit_within_its_amount(self, cast: Cast, wallet: Wallet) -> None:
        credit = put(cast, wallet, 100)
        for left in (-1, 101):
            with pytest.raises(IntegrityError, match="wallet_credit_within_amount"), transaction.atomic():
                WalletCredit.objects.filter(pk=credit.pk).update(left_minor=left)
