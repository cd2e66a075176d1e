from datetime import datetime, timedelta
from decimal import Decimal

import pytest
from django.db import IntegrityError, transaction

from marketplace.accounts.access import Actor, actor_for
from marketplace.catalog.models import App, Subscription
from marketplace.core.errors import InvalidInput, NotAllowed
from marketplace.core.ids import uuid7
from marketplace.core.models import Notice
from marketplace.core.transitions import IllegalTransition
from metering import ingest
from metering.attribution import Dimensions
from metering.ingest import Usage
from metering.rating import Quantities
from quotas import admission, grants, increases, limits, queries
from quotas.admission import Admitted, Estimate, HoldRequest
from quotas.increase_models import Grant, GrantedLimit
from quotas.increases import NotExtendable
from quotas.limits import Terms
from quotas.models import Limit, LimitCounter
from quotas.owners import Owner
from tests import factories
from tests.conftest import Cast
from tests.factories import NOW
from tests.metering.usage_world import used
from tests.quotas.increase_world import DAY, make_policy, make_request, make_wish

WEEK = 7 * DAY


@pytest.fixture
def subscription(cast: Cast, app: App, who: Dimensions) -> Subscription:
    """The subscription of ``who``; somebody else has called the app, so that it is known what a call costs."""
    other = factories.make_subscription(app, cast.creator_team)
    ingest.record([used(other, "first", at=NOW - 2 * DAY, input_tokens=480)], at=NOW)
    return Subscription.objects.get(pk=who.subscription_id)


@pytest.fixture
def consumer(cast: Cast) -> Actor:
    return actor_for(cast.consumer)


@pytest.fixture
def tiny(cast: Cast, owner: Owner, room: None) -> Limit:
    """The team may call twice a day: a limit that people set beside the 1,000 of the plan."""
    make_policy(cast, auto_max_percent=Decimal(1000))
    terms = Terms("requests", "day", Decimal(2))
    return limits.set_limit(owner, terms=terms, by=actor_for(cast.operator), at=NOW - DAY)[0]


def granted(
    owner: Owner, cast: Cast, value: int, *, starts_at: datetime | None = None, days: int = 30
) -> Grant:
    wish = make_wish(value, starts_at=starts_at, ends_at=(starts_at or NOW) + days * DAY)
    return make_request(owner, cast.consumer, wish=wish).grant


def daily_calls(owner: Owner, at: datetime) -> Decimal:
    return queries.effective(owner, at=at)["requests", "day", ""].value


def admitted(who: Dimensions, count: int, *, at: datetime = NOW) -> int:
    """Call and count how many calls were admitted."""
    usage = Usage("call", at, who, "llm-8b", Quantities(input_tokens=10))
    asked = [
        HoldRequest(uuid7(), usage, Estimate(20, Decimal("0.001")), at + timedelta(minutes=5))
        for _ in range(count)
    ]
    return sum(isinstance(answer, Admitted) for answer in admission.reserve(asked, at=at))


class TestGrant:
    def test_raises_what_is_admitted_from_its_start_to_its_end(
        self, cast: Cast, owner: Owner, who: Dimensions, tiny: Limit
    ) -> None:
        granted(owner, cast, 5, starts_at=NOW + DAY, days=1)

        assert admitted(who, 9) == 2
        assert admitted(who, 9, at=NOW + DAY - timedelta(seconds=1)) == 2
        # The day of 16 November has its two calls; from noon on it may have five.
        assert admitted(who, 9, at=NOW + DAY) == 3
        # The next morning is still within it; from noon on, two of the day are less than what is used.
        assert admitted(who, 4, at=NOW + 2 * DAY - timedelta(seconds=1)) == 4
        assert admitted(who, 9, at=NOW + 2 * DAY) == 0
        assert admitted(who, 9, at=NOW + 3 * DAY) == 2

    def test_raises_limits_of_plans_too(self, cast: Cast, owner: Owner, who: Dimensions, room: None) -> None:
        make_policy(cast)
        plan = Limit.objects.get(subscription=owner.pk, measure="requests", window="day")
        Limit.objects.filter(pk=plan.pk).update(limit_value=4)

        granted(owner, cast, 5)

        assert admitted(who, 9) == 5
        assert Limit.objects.get(pk=plan.pk).limit_value == 4

    def test_leaves_a_change_of_plan_meanwhile_in_place(
        self, cast: Cast, owner: Owner, subscription: Subscription, room: None
    ) -> None:
        make_policy(cast)
        granted(owner, cast, 1250, days=2)
        bigger = factories.make_plan(subscription.app, daily_calls_limit=1100, monthly_calls_limit=90_000)

        Subscription.objects.filter(pk=subscription.pk).update(plan=bigger)

        assert daily_calls(owner, NOW) == 1250
        assert daily_calls(owner, NOW + 2 * DAY) == 1100

    def test_is_not_felt_where_a_plan_gives_more(
        self, cast: Cast, owner: Owner, subscription: Subscription, room: None
    ) -> None:
        make_policy(cast)
        granted(owner, cast, 1250)
        bigger = factories.make_plan(subscription.app, daily_calls_limit=9000)

        Subscription.objects.filter(pk=subscription.pk).update(plan=bigger)

        assert daily_calls(owner, NOW) == 9000

    def test_yields_to_a_limit_that_is_set_by_hand_afterwards(
        self, cast: Cast, owner: Owner, who: Dimensions, tiny: Limit
    ) -> None:
        granted(owner, cast, 5)
        assert admitted(who, 3) == 3

        terms = Terms("requests", "day", Decimal(4))
        limits.set_limit(owner, terms=terms, by=actor_for(cast.operator), at=NOW)

        assert admitted(who, 9) == 1
        assert GrantedLimit.objects.get(limit=tiny).overruled_at == NOW

    def test_of_several_the_highest_counts(self, cast: Cast, owner: Owner, tiny: Limit) -> None:
        granted(owner, cast, 4, days=20)
        granted(owner, cast, 9, days=10)

        assert [daily_calls(owner, NOW + days * DAY) for days in (0, 9, 10, 19, 20)] == [9, 9, 4, 4, 2]

    def test_begins_in_the_counters_with_what_is_used(
        self, cast: Cast, owner: Owner, who: Dimensions, tiny: Limit
    ) -> None:
        assert admitted(who, 9) == 2

        granted(owner, cast, 5)

        assert admitted(who, 9) == 3
        counter = LimitCounter.objects.get(limit=tiny, window_starts_at__lte=NOW, window_ends_at__gt=NOW)
        assert (counter.held, counter.ceiling) == (5, 5)

    def test_does_not_move_a_limit_that_only_warns(self, cast: Cast, owner: Owner, room: None) -> None:
        make_policy(cast)
        terms = Terms("requests", "day", Decimal(900), mode="warn")
        warning, _ = limits.set_limit(owner, terms=terms, by=actor_for(cast.operator), at=NOW)

        granted(owner, cast, 1250)

        lifted = GrantedLimit.objects.get()
        assert lifted.limit.is_default
        assert lifted.limit != warning

    def test_never_changes_it_only_ends(self, cast: Cast, owner: Owner, tiny: Limit) -> None:
        grant = granted(owner, cast, 5)

        for change in ({"value": 9}, {"lapses_at": None}, {"lapses_at": NOW + 99 * DAY}, {"ends_at": None}):
            with (
                pytest.raises(IntegrityError, match="grant_ends_once"),
                transaction.atomic(),
            ):
                Grant.objects.filter(pk=grant.pk).update(**change)

    def test_belongs_to_one_request(self, cast: Cast, owner: Owner, tiny: Limit) -> None:
        grant = granted(owner, cast, 5)

        with pytest.raises(IntegrityError, match="request_id"), transaction.atomic():
            Grant.objects.create(request=grant.request, value=9, starts_at=NOW, created_at=NOW)


class TestFollowTime:
    def test_lets_states_follow_and_tells_once(self, cast: Cast, owner: Owner, tiny: Limit) -> None:
        grant = granted(owner, cast, 5, starts_at=NOW + DAY, days=1)
        states = []

        for at in (NOW, NOW + DAY, NOW + DAY, NOW + 2 * DAY, NOW + 2 * DAY):
            grants.follow_time(at=at)
            grant.refresh_from_db()
            states.append(grant.state)

        assert states == ["scheduled", "active", "active", "ended", "ended"]
        keys = Notice.objects.filter(idempotency_key__startswith=f"grant:{grant.pk}")
        assert sorted(keys.values_list("idempotency_key", flat=True)) == [
            f"grant:{grant.pk}:begun",
            f"grant:{grant.pk}:ended",
        ]

    def test_ends_one_that_passed_while_nothing_ran(self, cast: Cast, owner: Owner, tiny: Limit) -> None:
        grant = granted(owner, cast, 5, starts_at=NOW + DAY, days=1)

        assert grants.follow_time(at=NOW + WEEK) == 1

        grant.refresh_from_db()
        assert grant.state == "ended"


class TestWarnOfEnds:
    def test_tells_a_week_and_a_day_before(self, cast: Cast, owner: Owner, tiny: Limit) -> None:
        granted(owner, cast, 5, days=30)
        told = []

        for days in (22, 23, 24, 28, 29):
            grants.warn_of_ends(at=NOW + days * DAY)
            told.append(Notice.objects.filter(idempotency_key__contains="ends-in").count())

        assert told == [0, 1, 1, 1, 2]

    def test_does_not_announce_the_end_of_what_has_hardly_begun(
        self, cast: Cast, owner: Owner, tiny: Limit
    ) -> None:
        granted(owner, cast, 5, days=1)

        grants.warn_of_ends(at=NOW)

        assert not Notice.objects.filter(idempotency_key__contains="ends-in").exists()


class TestRevoke:
    def test_lets_the_limit_hold_again_from_the_next_call(
        self, cast: Cast, owner: Owner, who: Dimensions, tiny: Limit
    ) -> None:
        grant = granted(owner, cast, 5)
        assert admitted(who, 3) == 3

        grants.revoke(grant, by=actor_for(cast.operator), at=NOW, reason="The provider is down.")

        assert admitted(who, 1) == 0
        assert (grant.state, grant.lapses_at) == ("revoked", NOW)
        assert Notice.objects.filter(recipient=cast.consumer, text__contains="provider is down").exists()
        with pytest.raises(IllegalTransition):
            grants.revoke(grant, by=actor_for(cast.operator), at=NOW, reason="Again.")

    def test_keeps_one_that_was_to_come_from_beginning(self, cast: Cast, owner: Owner, tiny: Limit) -> None:
        grant = granted(owner, cast, 5, starts_at=NOW + DAY)

        grants.revoke(grant, by=actor_for(cast.consumer), at=NOW, reason="No need any more.")

        assert daily_calls(owner, NOW + 2 * DAY) == 2

    def test_needs_a_reason_and_a_right(self, cast: Cast, owner: Owner, tiny: Limit) -> None:
        grant = granted(owner, cast, 5)

        with pytest.raises(InvalidInput):
            grants.revoke(grant, by=actor_for(cast.operator), at=NOW, reason=" ")
        for who in (cast.creator, cast.stranger):
            with pytest.raises(NotAllowed):
                grants.revoke(grant, by=actor_for(who), at=NOW, reason="So.")


class TestExtension:
    def test_goes_on_where_the_grant_ends(
        self, cast: Cast, owner: Owner, consumer: Actor, tiny: Limit
    ) -> None:
        grant = granted(owner, cast, 5, days=10)
        wish = increases.extension_of(grant, ends_at=NOW + 20 * DAY, reason="Still needed.", at=NOW + 9 * DAY)

        request = increases.create(owner, wish=wish, by=consumer, at=NOW + 9 * DAY).request

        # It is judged as a raise from what holds after the grant, two, not from the five of now.
        assert (request.current_value, request.extends, request.state) == (2, grant, "auto_approved")
        assert [daily_calls(owner, NOW + days * DAY) for days in (9, 10, 19, 20)] == [5, 5, 5, 2]

    def test_is_of_a_grant_that_runs_and_ends(self, cast: Cast, owner: Owner, tiny: Limit) -> None:
        grant = granted(owner, cast, 5, days=10)

        with pytest.raises(InvalidInput):
            increases.extension_of(grant, ends_at=NOW + 10 * DAY, reason="So.", at=NOW)
        with pytest.raises(NotExtendable):
            increases.extension_of(grant, ends_at=NOW + 20 * DAY, reason="So.", at=NOW + 10 * DAY)
