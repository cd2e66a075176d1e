"""What comes to subscriptions by their date, days without a fee, and caps worked out from prices."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing import cap_limits, lifecycle, spend_caps
from billing.cap_limits import Within
from billing.models import SpendCap
from billing.plan_history import Free, PlanChange, plan_periods
from billing.pricing import parse_charges
from billing.spend_caps import CapTerms
from marketplace.accounts.access import actor_for
from marketplace.catalog import subscriptions
from marketplace.catalog.models import Subscription
from marketplace.core.errors import InvalidInput, NotAllowed
from marketplace.core.models import Notice
from marketplace.core.periods import month_of
from quotas.models import Limit
from tests import factories
from tests.conftest import Cast

NOW = datetime(2026, 6, 10, 10, tzinfo=UTC)
JUNE = month_of(NOW)


def june(day: int, hour: int = 0) -> datetime:
    return datetime(2026, 6, day, hour, tzinfo=UTC)


def charges(*items: dict[str, object]) -> tuple[object, ...]:
    return parse_charges(list(items))


class TestFreeDays:
    def days(self, *free: Free, changes: list[PlanChange] | None = None) -> dict[int, int]:
        subscription = Subscription(plan_id=1, starts_at=june(1))
        found = plan_periods(subscription, JUNE, changes or [], free)
        return {plan_id: period.days for plan_id, period in found.items()}

    def test_of_a_pause_are_the_whole_ones(self) -> None:
        # From the 10th at 10 to the 15th at 9: free are 11 to 14.
        assert self.days(Free.of_pause(june(10, 10), june(15, 9))) == {1: 26}
        # Paused every night from 23 to 1 o'clock saves nothing.
        assert self.days(*(Free.of_pause(june(day, 23), june(day + 1, 1)) for day in range(1, 29))) == {1: 30}

    def test_at_midnight_begin_with_that_day(self) -> None:
        assert self.days(Free.of_pause(june(16), None)) == {1: 15}

    def test_of_a_trial_begin_with_its_day(self) -> None:
        assert self.days(Free.of_trial(june(1, 15), june(15))) == {1: 16}

    def test_come_off_the_plan_they_fell_on(self) -> None:
        change = PlanChange(june(16, 9), 7)
        # Plan 7 until the 15th, plan 1 from the 16th on; the pause takes 14, 15, 16 and 17.
        assert self.days(Free.of_pause(june(13, 9), june(18, 9)), changes=[change]) == {7: 13, 1: 13}

    def test_of_a_whole_month_leave_no_fee(self) -> None:
        assert self.days(Free.of_pause(june(1) - timedelta(days=9), None)) == {}

    @given(
        st.lists(st.tuples(st.integers(1, 30), st.integers(0, 20)), max_size=4),
        st.lists(st.integers(1, 30), max_size=3),
    )
    def test_and_charged_days_are_all_days(self, pauses: list[tuple[int, int]], changes: list[int]) -> None:
        free = [
            Free.of_pause(june(day, 11), min(june(day, 12) + timedelta(days=length), JUNE.ends_at))
            for day, length in pauses
        ]
        steps = [PlanChange(june(day, 5), 10 + place) for place, day in enumerate(sorted(changes))]
        gone = {day for one in free for day in range(one.starts_on.day, one.starts_on.day + _length(one))}

        assert sum(self.days(*free, changes=steps).values()) == 30 - len(gone)


def _length(free: Free) -> int:
    return max(0, (free.ends_on - free.starts_on).days)


@pytest.mark.django_db
class TestEndOfTrial:
    @pytest.fixture
    def subscription(self, cast: Cast) -> Subscription:
        app = factories.make_listed_app(cast.creator_team, name="Brief")
        plan = factories.make_plan(app, trial_days=7)
        return subscriptions.start(
            app, plan=plan, team=cast.consumer_team, cost_center=cast.cost_center, by=cast.consumer, at=NOW
        )

    def test_ends_the_subscription_where_that_was_chosen(
        self, cast: Cast, subscription: Subscription
    ) -> None:
        subscription.trial.then = "cancel"
        subscription.trial.save(update_fields=["then"])
        for _ in range(2):
            lifecycle.tend(at=june(15))
            lifecycle.tend(at=june(17, 4))

        found = Subscription.objects.get()
        assert (found.state, found.ends_at) == ("canceled", june(17))
        told = Notice.objects.filter(recipient=cast.consumer, text__contains="as you chose")
        assert told.count() == 1

    def test_goes_on_otherwise(self, cast: Cast, subscription: Subscription) -> None:
        for at in (june(13, 23), june(14, 1), june(16), june(17), june(18)):
            lifecycle.tend(at=at)

        assert Subscription.objects.get().state == "active"
        # 14 June is three days before.
        assert Notice.objects.get(text__startswith="The trial").created_at == june(14, 1)


class TestWithin:
    def within(self, amount_minor: int, *items: dict[str, object], cost: str = "0.01") -> Within:
        return cap_limits.within(
            charges(*items),  # type: ignore[arg-type]
            amount_minor=amount_minor,
            currency="USD",
            cost_per_call=Decimal(cost),
        )

    def test_counts_calls_by_their_price(self) -> None:
        calls = {"code": "calls", "model": "per_unit", "unit_amount": "0.02", "free_units": "100"}
        fee = {"code": "fee", "model": "flat", "amount": "50", "prorate": True}

        assert self.within(20_000, fee, calls) == Within(7_600, None)  # 150.00 / 0.02 + 100

    def test_counts_cost_by_its_markup(self) -> None:
        # 13.00 at 1.3; a cost of 10.003846 still rounds to 13.00.
        cost = {"code": "cost", "model": "cost_plus", "markup": "0.30"}

        assert self.within(1_300, cost) == Within(None, Decimal("10.003846"))

    def test_shares_what_a_plan_charges_for_both(self) -> None:
        calls = {"code": "calls", "model": "per_unit", "unit_amount": "0.02"}
        cost = {"code": "cost", "model": "cost_plus", "markup": "0"}

        # A call comes to 0.02 + 0.01 of cost: 1,000 calls, and 10.00 of cost (10.004999 rounds to it).
        assert self.within(3_000, calls, cost) == Within(1_000, Decimal("10.004999"))

    def test_stops_before_a_volume_price_peaks(self) -> None:
        tiers = [
            {"up_to": "5", "flat_amount": "100"},
            {"up_to": "15", "unit_amount": "10"},
            {"up_to": None, "unit_amount": "5"},
        ]
        volume = {"code": "calls", "model": "volume", "tiers": tiers}

        # 14 calls cost 140, 15 cost 150, and 16 no more than 80: beyond 14 the cap would be passed on the way.
        assert self.within(14_000, volume) == Within(14, None)

    def test_refuses_less_than_the_fee_and_what_no_limit_counts(self) -> None:
        fee = {"code": "fee", "model": "flat", "amount": "50"}
        tokens = {"code": "input_tokens", "model": "per_unit", "unit_amount": "0.000001"}

        with pytest.raises(InvalidInput, match=r"\$50\.00"):
            self.within(4_999, fee)
        with pytest.raises(InvalidInput, match="no limit counts"):
            self.within(9_000, fee, tokens)


@pytest.mark.django_db
class TestSpendCap:
    @pytest.fixture
    def subscription(self, cast: Cast) -> Subscription:
        app = factories.make_listed_app(cast.creator_team)
        plan = factories.make_plan(
            app, charges=[{"code": "calls", "model": "per_unit", "unit_amount": "0.05"}]
        )
        return factories.make_subscription(app, cast.consumer_team, plan=plan)

    def limits(self, subscription: Subscription) -> list[tuple[str, Decimal, str]]:
        found = Limit.objects.filter(subscription=subscription, is_default=False, ends_at=None)
        return [(one.measure, one.limit_value, one.mode) for one in found.order_by("pk")]

    def test_is_kept_by_a_limit_and_changes_with_it(self, cast: Cast, subscription: Subscription) -> None:
        by = actor_for(cast.consumer)
        spend_caps.put(subscription, terms=CapTerms(10_000), by=by, at=NOW)
        assert self.limits(subscription) == [("requests", Decimal(2_000), "hard")]
        spend_caps.put(subscription, terms=CapTerms(5_000, "warn"), by=by, at=NOW)
        assert self.limits(subscription) == [("requests", Decimal(1_000), "warn")]
        spend_caps.remove(subscription, by=by, at=NOW)

        assert self.limits(subscription) == []
        assert not SpendCap.objects.exists()

    def test_follows_the_plan(self, cast: Cast, subscription: Subscription) -> None:
        spend_caps.put(subscription, terms=CapTerms(10_000), by=actor_for(cast.consumer), at=NOW)
        dearer = factories.make_plan(
            subscription.app, charges=[{"code": "calls", "model": "per_unit", "unit_amount": "0.10"}]
        )
        subscriptions.change_plan(subscription, plan=dearer, by=cast.consumer, at=NOW)

        assert [spend_caps.follow_all(at=NOW) for _ in range(2)] == [1, 0]
        assert self.limits(subscription) == [("requests", Decimal(1_000), "hard")]

    def test_is_not_for_strangers(self, cast: Cast, subscription: Subscription) -> None:
        with pytest.raises(NotAllowed):
            spend_caps.put(subscription, terms=CapTerms(10_000), by=actor_for(cast.stranger), at=NOW)
        assert not SpendCap.objects.exists()
