"""What a step of a subscription costs, as it is shown, agreed to and billed."""

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from billing import drafting, subscribing
from billing.house import house_terms
from billing.spend_caps import CapTerms
from billing.subscribing import AmountChanged
from marketplace.accounts.access import actor_for
from marketplace.catalog import terms
from marketplace.catalog.agreement_models import SubscriptionAgreement
from marketplace.catalog.models import Plan, Subscription
from marketplace.core.errors import InvalidInput
from marketplace.core.periods import month_of
from quotas.models import Limit
from tests import factories
from tests.conftest import Cast

pytestmark = pytest.mark.django_db
# November has 30 days: from the 10th on there are 21 left.
THE_10TH = datetime(2026, 11, 10, 15, tzinfo=UTC)
THE_20TH = datetime(2026, 11, 20, 9, tzinfo=UTC)


@pytest.fixture
def plan(cast: Cast) -> Plan:
    app = factories.make_listed_app(cast.creator_team, slug="where2eat")
    return app.plans.get()


def start(cast: Cast, plan: Plan, *, at: datetime = THE_10TH, **options: object) -> Subscription:
    agreed = options.pop("agreed", None) or subscribing.money_of_start(plan, at=at).digest
    return subscribing.start(
        plan.app,
        plan=plan,
        team=cast.consumer_team,
        cost_center=cast.cost_center,
        agreed=str(agreed),
        by=actor_for(cast.consumer),
        at=at,
        **options,  # type: ignore[arg-type]
    )


def billed_fees() -> int:
    """Sum the fees of the bills of November, as the month end would write them."""
    found = drafting.bills_of(month_of(THE_10TH), default_share=house_terms().default_share)
    return sum(line.priced.amount_minor for bill in found for line in bill.lines if line.priced.code == "fee")


class TestStart:
    def test_books_what_was_shown(self, cast: Cast, plan: Plan) -> None:
        money = subscribing.money_of_start(plan, at=THE_10TH)
        start(cast, plan, agreed=money.digest)

        # 50.00 x 21 / 30 = 35.00.
        assert (money.total_minor, money.before_minor, money.whole_month_minor) == (3_500, 0, 5_000)
        assert billed_fees() == 3_500

    def test_keeps_the_terms_and_the_amounts(self, cast: Cast, plan: Plan) -> None:
        start(cast, plan)

        kept = SubscriptionAgreement.objects.get()
        assert (kept.step, kept.plan, kept.agreed_by) == ("started", plan, cast.consumer)
        assert (kept.terms_version, kept.terms_digest) == (terms.CURRENT.version, terms.CURRENT.digest)
        assert kept.shown["total_minor"] == 3_500
        assert kept.version == plan.app.listing.version

    def test_asks_again_when_the_day_changed(self, cast: Cast, plan: Plan) -> None:
        agreed = subscribing.money_of_start(plan, at=THE_10TH).digest

        with pytest.raises(AmountChanged, match=r"\$18\.33") as caught:  # 50.00 x 11 / 30
            start(cast, plan, at=THE_20TH, agreed=agreed)

        assert caught.value.money.total_minor == 1_833
        assert not Subscription.objects.exists()

    def test_asks_again_when_the_terms_changed(
        self, cast: Cast, plan: Plan, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        agreed = subscribing.money_of_start(plan, at=THE_10TH).digest
        monkeypatch.setattr(terms, "CURRENT", replace(terms.CURRENT, points=("Other.",)))

        with pytest.raises(AmountChanged):
            start(cast, plan, agreed=agreed)

    def test_sets_a_limit_of_its_own(self, cast: Cast, plan: Plan) -> None:
        subscription = start(cast, plan, cap=CapTerms(7_500, "warn"))

        limit = Limit.objects.get(subscription=subscription, measure="cost")
        # 25.00 beside the fee: 12.50 for calls beyond 100 at 0.02; 12.50 for cost at 1.3, which 12.504999 still rounds to.
        assert (limit.limit_value, limit.mode, limit.window) == (Decimal("9.619230"), "warn", "month")
        calls = Limit.objects.get(
            subscription=subscription, measure="requests", window="month", is_default=False
        )
        assert (calls.limit_value, calls.mode, calls.note) == (725, "warn", "spend cap of $75.00 a month")

    def test_sent_twice_starts_once(self, cast: Cast, plan: Plan) -> None:
        for _ in range(2):
            start(cast, plan, cap=CapTerms(7_500))

        assert Subscription.objects.count() == SubscriptionAgreement.objects.count() == 1
        assert Limit.objects.filter(measure="cost").count() == 1

    def test_has_production_and_staging_apart_and_no_sandbox(self, cast: Cast, plan: Plan) -> None:
        start(cast, plan)
        start(cast, plan, environment="staging")

        with pytest.raises(InvalidInput, match="environment"):
            start(cast, plan, environment="sandbox")
        assert Subscription.objects.count() == 2


class TestChange:
    def test_books_what_was_shown(self, cast: Cast, plan: Plan) -> None:
        large = factories.make_plan(
            plan.app,
            code="large",
            charges=[{"code": "fee", "model": "flat", "amount": "90", "prorate": True}],
        )
        subscription = start(cast, plan)
        money = subscribing.money_of_change(subscription, large, at=THE_20TH)

        subscribing.change_plan(
            subscription, plan=large, agreed=money.digest, by=actor_for(cast.consumer), at=THE_20TH
        )

        # 10 days of 50.00 are 16.67, 11 days of 90.00 are 33.00; without the change 35.00.
        assert [fee.amount_minor for fee in money.fees] == [1_667, 3_300]
        assert (money.total_minor, money.before_minor, money.whole_month_minor) == (4_967, 3_500, 9_000)
        assert billed_fees() == 4_967

    def test_asks_again_when_somebody_changed_the_plan_meanwhile(self, cast: Cast, plan: Plan) -> None:
        large = factories.make_plan(plan.app, code="large")
        other = factories.make_plan(plan.app, code="other", charges=[])
        subscription = start(cast, plan)
        agreed = subscribing.money_of_change(subscription, large, at=THE_20TH).digest
        by = actor_for(cast.consumer)
        elsewhere = Subscription.objects.get()
        shown = subscribing.money_of_change(elsewhere, other, at=THE_20TH).digest
        subscribing.change_plan(elsewhere, plan=other, agreed=shown, by=by, at=THE_20TH)

        with pytest.raises(AmountChanged):
            subscribing.change_plan(Subscription.objects.get(), plan=large, agreed=agreed, by=by, at=THE_20TH)


class TestCancel:
    def test_books_what_was_shown(self, cast: Cast, plan: Plan) -> None:
        subscription = start(cast, plan)
        money = subscribing.money_of_cancel(subscription, at=THE_20TH)

        subscribing.cancel(subscription, agreed=money.digest, by=actor_for(cast.consumer), at=THE_20TH)

        # The day of the end is not charged: the 10th to the 19th, 10 of 30 days of 50.00.
        assert (money.total_minor, money.before_minor, money.whole_month_minor) == (1_667, 3_500, 0)
        assert billed_fees() == 1_667
        assert SubscriptionAgreement.objects.get(step="canceled").shown["total_minor"] == 1_667
