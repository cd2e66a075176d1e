"""Bills before the month's end. The figures of W36 are published by Lago (`progressive_billing_spec.rb`)."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from billing import progressive
from billing.close import close_period
from billing.ledger.verify import verify
from billing.models import Invoice, InvoiceLine, ProgressiveBill
from billing.terms import ShareTerms, Terms
from marketplace.accounts.access import actor_for
from marketplace.catalog.models import Subscription
from marketplace.core.errors import InvalidInput, NotAllowed
from tests import factories
from tests.billing.usage import use
from tests.conftest import Cast

pytestmark = pytest.mark.django_db
HOUSE = Terms("House Ltd.", ShareTerms(Decimal("0.2")), "USD")
CLOSED = datetime(2026, 11, 2, 8, tzinfo=UTC)
# A fee of 31.00 in a month of 31 days, and 0.0002 a unit.
CHARGES = [
    {"code": "fee", "model": "flat", "amount": "31", "prorate": True},
    {"code": "calls", "model": "per_unit", "unit_amount": "0.0002"},
]


def october(day: int, hour: int = 9) -> datetime:
    return datetime(2026, 10, day, hour, tzinfo=UTC)


@pytest.fixture
def subscription(cast: Cast) -> Subscription:
    organization = cast.consumer_team.organization
    organization.billing = "invoice"
    organization.save(update_fields=["billing"])
    app = factories.make_listed_app(cast.creator_team)
    plan = factories.make_plan(app, charges=CHARGES)
    found = factories.make_subscription(app, cast.consumer_team, plan=plan)
    at_200(cast, found)
    return found


def at_200(cast: Cast, subscription: Subscription, *others: int) -> None:
    progressive.set_thresholds(
        subscription, amounts_minor=[20_000, *others], by=actor_for(cast.finance), at=october(1)
    )


def million(subscription: Subscription, day: int) -> None:
    use(subscription, requests=1_000_000, cost="20", at=october(day))


def bill_due(day: int) -> int:
    return progressive.bill_due(at=october(day, 12), terms=HOUSE)


def totals() -> list[int]:
    return list(Invoice.objects.order_by("number").values_list("subtotal_minor", flat=True))


def all_agrees() -> list[str]:
    return [one.what for verdict in verify() for one in verdict.findings if not one.is_ok]


class TestW36:
    def test_bills_once_at_the_threshold_and_the_rest_at_the_months_end(
        self, subscription: Subscription
    ) -> None:
        million(subscription, 6)
        assert bill_due(6) == 1
        million(subscription, 16)
        assert bill_due(16) == 0
        close_period("2026-10", at=CLOSED, terms=HOUSE)

        # 31 + 400 - 200 = 231.00.
        assert totals() == [20_000, 23_100]
        assert all_agrees() == []

    def test_ended_in_the_month_owes_the_days_alone(self, cast: Cast, subscription: Subscription) -> None:
        million(subscription, 6)
        bill_due(6)
        Subscription.objects.filter(pk=subscription.pk).update(state="canceled", ends_at=october(19, 0))
        close_period("2026-10", at=CLOSED, terms=HOUSE)

        # 18 of 31 days of 31.00, + 200 - 200 = 18.00.
        assert totals() == [20_000, 1_800]
        assert all_agrees() == []


class TestBillDue:
    def test_makes_nothing_twice(self, subscription: Subscription) -> None:
        million(subscription, 6)

        assert [bill_due(6), bill_due(6), bill_due(7)] == [1, 0, 0]
        assert Invoice.objects.count() == ProgressiveBill.objects.count() == 1

    def test_waits_below_the_threshold(self, subscription: Subscription) -> None:
        use(subscription, requests=999_000, cost="1", at=october(3))  # 199.80

        assert bill_due(3) == 0

    def test_bills_the_next_threshold_less_what_was_billed(
        self, cast: Cast, subscription: Subscription
    ) -> None:
        at_200(cast, subscription, 35_000, 39_000)
        million(subscription, 6)
        bill_due(6)
        million(subscription, 16)
        bill_due(16)
        close_period("2026-10", at=CLOSED, terms=HOUSE)

        # 200, then 400 - 200 which passes both others at once, then 31 + 400 - 400.
        assert totals() == [20_000, 20_000, 3_100]
        assert ProgressiveBill.objects.count() == 3
        assert all_agrees() == []

    def test_gives_the_creator_what_one_bill_would(self, subscription: Subscription) -> None:
        million(subscription, 6)
        bill_due(6)
        million(subscription, 16)
        close_period("2026-10", at=CLOSED, terms=HOUSE)

        # (431.00 - 40.00 of cost) x 0.8 = 312.80.
        assert sum(InvoiceLine.objects.values_list("creator_minor", flat=True)) == 31_280

    def test_starts_anew_with_the_month(self, subscription: Subscription) -> None:
        million(subscription, 6)
        bill_due(6)
        use(subscription, requests=1_000_000, cost="20", at=datetime(2026, 11, 3, tzinfo=UTC))

        assert progressive.bill_due(at=datetime(2026, 11, 4, tzinfo=UTC), terms=HOUSE) == 1

    def test_leaves_cost_centers_their_statements(self, cast: Cast, subscription: Subscription) -> None:
        organization = cast.consumer_team.organization
        organization.billing = "chargeback"
        organization.save(update_fields=["billing"])
        million(subscription, 6)

        assert bill_due(6) == 0


class TestSetThresholds:
    def test_is_for_finance_of_the_marketplace(self, cast: Cast, subscription: Subscription) -> None:
        for person in (cast.consumer, cast.stranger):
            with pytest.raises(NotAllowed):
                progressive.set_thresholds(
                    subscription, amounts_minor=[], by=actor_for(person), at=october(1)
                )

    def test_refuses_what_is_no_amount(self, cast: Cast, subscription: Subscription) -> None:
        for amounts in ([0], [-1], list(range(1, 12))):
            with pytest.raises(InvalidInput, match="at most 10 amounts above zero"):
                progressive.set_thresholds(
                    subscription, amounts_minor=amounts, by=actor_for(cast.finance), at=october(1)
                )
