from datetime import timedelta
from decimal import Decimal

import pytest

from marketplace.accounts import keys
from marketplace.accounts.models import ApiKey
from marketplace.catalog import subscriptions
from marketplace.catalog.models import App, Subscription
from marketplace.core import audit
from marketplace.core.errors import Conflict, InvalidInput
from marketplace.core.transitions import IllegalTransition
from tests.conftest import Cast
from tests.factories import (
    NOW,
    make_cost_center,
    make_listed_app,
    make_plan,
    make_subscription,
    make_version,
)


@pytest.fixture
def app(cast: Cast) -> App:
    return make_listed_app(cast.creator_team)


@pytest.fixture
def subscription(cast: Cast, app: App) -> Subscription:
    return make_subscription(app, cast.consumer_team)


def start(cast: Cast, app: App, **terms) -> Subscription:
    values = {"plan": app.plans.first(), "team": cast.consumer_team, "cost_center": cast.cost_center}
    return subscriptions.start(app, **values | terms, by=cast.consumer, at=NOW)


def limits(subscription: Subscription) -> list[tuple[str, str, Decimal]]:
    return sorted(subscription.limits.values_list("measure", "window", "limit_value"))


class TestStart:
    def test_gives_the_team_a_subscription_with_the_plan_s_limits(self, cast: Cast, app: App) -> None:
        subscription = start(cast, app)

        assert (subscription.state, subscription.environment, subscription.starts_at) == (
            "active",
            "production",
            NOW,
        )
        assert limits(subscription) == [("requests", "day", 1000), ("requests", "month", 20_000)]
        assert [e.action for e in audit.history(subscription)] == ["catalog.subscription.started"]

    def test_returns_the_first_subscription_when_called_again(self, cast: Cast, app: App) -> None:
        first = start(cast, app)

        assert start(cast, app) == first
        assert Subscription.objects.count() == 1

    def test_refuses_other_terms_for_the_same_app(self, cast: Cast, app: App) -> None:
        first = start(cast, app)

        with pytest.raises(subscriptions.AlreadySubscribed) as caught:
            start(cast, app, plan=make_plan(app, name="Large"))
        assert caught.value.subscription == first

    def test_refuses_a_plan_that_is_not_offered_or_not_the_app_s(self, cast: Cast, app: App) -> None:
        for plan in (make_plan(app, is_offered=False), make_plan(make_listed_app(cast.creator_team))):
            with pytest.raises(InvalidInput) as caught:
                start(cast, app, plan=plan)
            assert caught.value.field == "plan"

    def test_refuses_a_cost_center_of_another_organization(self, cast: Cast, app: App) -> None:
        with pytest.raises(InvalidInput) as caught:
            start(cast, app, cost_center=cast.stranger_team.cost_center)
        assert caught.value.field == "cost_center"

    def test_refuses_an_app_that_is_not_listed(self, cast: Cast, app: App) -> None:
        app.listing.version.__class__.objects.filter(pk=app.listing.version_id).update(state="suspended")
        app.listing.version.refresh_from_db()

        with pytest.raises(subscriptions.NotListed):
            start(cast, app)

    def test_refuses_a_stranger_s_team_for_a_private_app(self, cast: Cast) -> None:
        app = make_listed_app(cast.creator_team, is_public=False)

        with pytest.raises(subscriptions.NotListed):
            start(cast, app, team=cast.stranger_team, cost_center=cast.stranger_team.cost_center)

    def test_starts_anew_after_a_cancellation(self, cast: Cast, app: App) -> None:
        first = start(cast, app)
        subscriptions.cancel(first, by=cast.consumer, at=NOW)

        assert start(cast, app) != first


class TestSandboxFor:
    def test_is_made_once_with_a_monthly_credit(self, cast: Cast, app: App) -> None:
        make = {"team": cast.consumer_team, "by": cast.consumer, "at": NOW}
        sandbox = subscriptions.sandbox_for(app, credit=Decimal("1.50"), **make)

        assert subscriptions.sandbox_for(app, credit=Decimal("9"), **make) == sandbox
        assert (sandbox.environment, sandbox.plan, sandbox.sandbox_credit) == (
            "sandbox",
            None,
            Decimal("1.50"),
        )
        assert limits(sandbox) == [("cost", "month", Decimal("1.50"))]

    def test_stands_beside_a_production_subscription(
        self, cast: Cast, app: App, subscription: Subscription
    ) -> None:
        sandbox = subscriptions.sandbox_for(
            app, team=cast.consumer_team, by=cast.consumer, at=NOW, credit=Decimal(1)
        )

        assert sandbox != subscription


class TestChangePlan:
    def test_moves_the_plan_and_its_limits_and_tells_the_audit(
        self, cast: Cast, app: App, subscription: Subscription
    ) -> None:
        before, larger = subscription.plan, make_plan(app, daily_calls_limit=5000, monthly_calls_limit=90_000)

        subscriptions.change_plan(subscription, plan=larger, by=cast.consumer, at=NOW)

        assert Subscription.objects.get().plan == larger
        assert limits(subscription) == [("requests", "day", 5000), ("requests", "month", 90_000)]
        entry = audit.history(subscription)[-1]
        assert (entry.old, entry.new) == ({"plan": before.pk}, {"plan": larger.pk})

    def test_changes_nothing_for_the_same_plan(self, cast: Cast, subscription: Subscription) -> None:
        subscriptions.change_plan(subscription, plan=subscription.plan, by=cast.consumer, at=NOW)

        assert audit.history(subscription) == []

    def test_refuses_a_canceled_subscription(self, cast: Cast, app: App, subscription: Subscription) -> None:
        Subscription.objects.update(state="canceled")

        with pytest.raises(subscriptions.NotActive):
            subscriptions.change_plan(subscription, plan=make_plan(app), by=cast.consumer, at=NOW)

    def test_refuses_when_somebody_was_faster(self, cast: Cast, app: App, subscription: Subscription) -> None:
        theirs, ours = make_plan(app), make_plan(app)
        Subscription.objects.update(plan=theirs)

        with pytest.raises(Conflict):
            subscriptions.change_plan(subscription, plan=ours, by=cast.consumer, at=NOW)
        assert Subscription.objects.get().plan == theirs


class TestCancel:
    def test_ends_the_subscription_and_its_keys(self, cast: Cast, subscription: Subscription) -> None:
        _, text = subscriptions.issue_subscription_key(subscription, by=cast.consumer, at=NOW)

        subscriptions.cancel(subscription, by=cast.consumer, at=NOW, reason="not needed")

        stored = Subscription.objects.get()
        assert (stored.state, stored.ends_at) == ("canceled", NOW)
        with pytest.raises(keys.BadKey):
            keys.authenticate(text, at=NOW)

    def test_happens_once(self, cast: Cast, subscription: Subscription) -> None:
        subscriptions.cancel(subscription, by=cast.consumer, at=NOW)

        with pytest.raises(IllegalTransition):
            subscriptions.cancel(subscription, by=cast.consumer, at=NOW)


class TestSubscriptionKeys:
    def test_belong_to_the_subscription_and_its_organization(
        self, cast: Cast, subscription: Subscription
    ) -> None:
        key, text = subscriptions.issue_subscription_key(
            subscription, by=cast.consumer, at=NOW, name="laptop"
        )

        assert text.startswith("hp_sub_")
        assert keys.authenticate(text, at=NOW) == key
        assert key.subscription_key.subscription == subscription
        assert (key.organization, key.name) == (cast.company, "laptop")

    def test_are_not_made_for_a_suspended_subscription(self, cast: Cast, subscription: Subscription) -> None:
        subscription.state = "suspended"

        with pytest.raises(subscriptions.NotActive):
            subscriptions.issue_subscription_key(subscription, by=cast.consumer, at=NOW)

    def test_overlap_when_rotated(self, cast: Cast, subscription: Subscription) -> None:
        old, old_text = subscriptions.issue_subscription_key(
            subscription, by=cast.consumer, at=NOW, name="ci"
        )

        new, new_text = subscriptions.rotate_subscription_key(
            old.subscription_key, overlap=timedelta(hours=24), by=cast.consumer, at=NOW
        )

        assert new.name == "ci"
        assert keys.authenticate(old_text, at=NOW + timedelta(hours=23)) == old
        assert keys.authenticate(new_text, at=NOW + timedelta(hours=25)) == new
        with pytest.raises(keys.BadKey):
            keys.authenticate(old_text, at=NOW + timedelta(hours=24))

    def test_rotation_never_prolongs_a_key(self, cast: Cast, subscription: Subscription) -> None:
        end = NOW + timedelta(hours=1)
        old, _ = subscriptions.issue_subscription_key(subscription, by=cast.consumer, at=NOW, expires_at=end)

        subscriptions.rotate_subscription_key(
            old.subscription_key, overlap=timedelta(hours=24), by=cast.consumer, at=NOW
        )

        assert ApiKey.objects.get(pk=old.pk).expires_at == end


class TestAppKeys:
    def test_belong_to_one_environment_of_the_app(self, cast: Cast, app: App) -> None:
        key, text = subscriptions.issue_app_key(app, environment="staging", by=cast.creator, at=NOW)

        assert text.startswith("hp_app_")
        assert (key.app_key.app, key.app_key.environment) == (app, "staging")

    def test_refuse_an_unknown_environment(self, cast: Cast, app: App) -> None:
        with pytest.raises(InvalidInput):
            subscriptions.issue_app_key(app, environment="moon", by=cast.creator, at=NOW)


class TestTwoTeams:
    def test_may_subscribe_to_the_same_app(self, cast: Cast, app: App) -> None:
        start(cast, app)
        other = make_cost_center(cast.company)

        assert start(cast, app, team=cast.creator_team, cost_center=other).cost_center == other

    def test_see_a_new_version_without_a_new_subscription(self, cast: Cast, app: App) -> None:
        first = start(cast, app)
        make_version(app, number=2)

        assert start(cast, app) == first
