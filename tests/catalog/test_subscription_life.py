"""Pausing, trials, and steps that wait for the end of the month."""

from datetime import UTC, datetime, timedelta

import pytest
from django.db import IntegrityError, transaction

from marketplace.catalog import pauses, planned_steps, subscription_steps, subscriptions, trials
from marketplace.catalog.lifecycle_models import PlannedStep, SubscriptionPause, Trial
from marketplace.catalog.models import App, Plan, Subscription
from marketplace.catalog.subscriptions import NotActive
from marketplace.catalog.trials import TrialOver
from marketplace.core.errors import InvalidInput
from marketplace.core.models import AuditEntry
from marketplace.core.transitions import IllegalTransition
from marketplace.gateway.directory import SubscriptionEnded, caller_of_id
from tests import factories
from tests.conftest import Cast

pytestmark = pytest.mark.django_db
NOW = datetime(2026, 6, 16, 10, tzinfo=UTC)
JULY = datetime(2026, 7, 1, tzinfo=UTC)


@pytest.fixture
def app(cast: Cast) -> App:
    return factories.make_listed_app(cast.creator_team)


@pytest.fixture
def large(app: App) -> Plan:
    return factories.make_plan(app, code="large", name="Large")


@pytest.fixture
def subscription(cast: Cast, app: App) -> Subscription:
    return factories.make_subscription(app, cast.consumer_team)


def start(cast: Cast, plan: Plan, **options: object) -> Subscription:
    fields = {"team": cast.consumer_team, "cost_center": cast.cost_center, "by": cast.consumer, "at": NOW}
    return subscriptions.start(plan.app, plan=plan, **fields | options)  # type: ignore[arg-type]


class TestPause:
    def test_refuses_calls_until_it_is_resumed(self, cast: Cast, subscription: Subscription) -> None:
        pauses.pause(subscription, by=cast.consumer, at=NOW)
        with pytest.raises(SubscriptionEnded, match="paused"):
            caller_of_id(subscription.pk).require_active()
        pauses.resume(subscription, by=cast.consumer, at=NOW + timedelta(days=2))

        caller_of_id(subscription.pk).require_active()
        assert SubscriptionPause.objects.get().ends_at == NOW + timedelta(days=2)

    def test_happens_once(self, cast: Cast, subscription: Subscription) -> None:
        pauses.pause(subscription, by=cast.consumer, at=NOW)

        with pytest.raises(IllegalTransition):
            pauses.pause(subscription, by=cast.consumer, at=NOW)
        pauses.resume(subscription, by=cast.consumer, at=NOW)
        with pytest.raises(IllegalTransition):
            pauses.resume(subscription, by=cast.consumer, at=NOW)

    def test_leaves_what_somebody_else_suspended(self, cast: Cast, subscription: Subscription) -> None:
        Subscription.objects.filter(pk=subscription.pk).update(state="suspended")

        with pytest.raises(IllegalTransition):
            pauses.resume(subscription, by=cast.consumer, at=NOW)

    def test_is_not_for_sandboxes(self, cast: Cast, app: App) -> None:
        sandbox = factories.make_subscription(app, cast.consumer_team, environment="sandbox")

        with pytest.raises(InvalidInput):
            pauses.pause(sandbox, by=cast.consumer, at=NOW)

    def test_ends_with_the_subscription(self, cast: Cast, subscription: Subscription) -> None:
        pauses.pause(subscription, by=cast.consumer, at=NOW)
        subscriptions.cancel(subscription, by=cast.consumer, at=JULY)

        assert SubscriptionPause.objects.get().ends_at == JULY

    def test_keeps_to_one_at_a_time(self, cast: Cast, subscription: Subscription) -> None:
        pauses.pause(subscription, by=cast.consumer, at=NOW)

        with pytest.raises(IntegrityError, match="subscription_pause_one_open"), transaction.atomic():
            SubscriptionPause.objects.create(
                subscription=subscription, starts_at=NOW, paused_by=cast.consumer
            )


class TestPlannedStep:
    def test_changes_the_plan_on_its_day_as_of_that_day(
        self, cast: Cast, subscription: Subscription, large: Plan
    ) -> None:
        subscription_steps.change_plan_later(subscription, plan=large, due_at=JULY, by=cast.consumer, at=NOW)

        late = JULY + timedelta(hours=3)
        assert subscription_steps.take_due_steps(at=JULY - timedelta(seconds=1)) == 0
        assert [subscription_steps.take_due_steps(at=late) for _ in range(2)] == [1, 0]

        assert Subscription.objects.get().plan == large
        assert AuditEntry.objects.get(action="catalog.subscription.plan_changed").at == JULY

    def test_ends_the_subscription_on_its_day(self, cast: Cast, subscription: Subscription) -> None:
        subscription_steps.cancel_later(subscription, due_at=JULY, by=cast.consumer, at=NOW)
        subscription_steps.take_due_steps(at=JULY + timedelta(minutes=1))

        found = Subscription.objects.get()
        assert (found.state, found.ends_at) == ("canceled", JULY)

    def test_gives_way_to_a_later_one_and_can_be_called_off(
        self, cast: Cast, subscription: Subscription, large: Plan
    ) -> None:
        subscription_steps.cancel_later(subscription, due_at=JULY, by=cast.consumer, at=NOW)
        subscription_steps.change_plan_later(subscription, plan=large, due_at=JULY, by=cast.consumer, at=NOW)
        assert planned_steps.waiting(subscription).plan == large  # type: ignore[union-attr]
        planned_steps.call_off_waiting(subscription, by=cast.consumer, at=NOW)

        assert subscription_steps.take_due_steps(at=JULY) == 0
        assert set(PlannedStep.objects.values_list("state", flat=True)) == {"called_off"}

    def test_goes_with_a_change_that_is_made_at_once(
        self, cast: Cast, subscription: Subscription, large: Plan
    ) -> None:
        subscription_steps.cancel_later(subscription, due_at=JULY, by=cast.consumer, at=NOW)
        subscriptions.change_plan(subscription, plan=large, by=cast.consumer, at=NOW)

        assert planned_steps.waiting(subscription) is None

    def test_is_taken_of_a_paused_one_too(self, cast: Cast, subscription: Subscription, large: Plan) -> None:
        subscription_steps.change_plan_later(subscription, plan=large, due_at=JULY, by=cast.consumer, at=NOW)
        pauses.pause(subscription, by=cast.consumer, at=NOW)
        subscription_steps.take_due_steps(at=JULY)

        found = Subscription.objects.get()
        assert (found.state, found.plan) == ("paused", large)

    def test_waits_for_none_that_has_ended(self, cast: Cast, subscription: Subscription) -> None:
        subscriptions.cancel(subscription, by=cast.consumer, at=NOW)

        with pytest.raises(NotActive):
            subscription_steps.cancel_later(subscription, due_at=JULY, by=cast.consumer, at=NOW)

    def test_keeps_to_one_that_waits(self, cast: Cast, subscription: Subscription) -> None:
        planned = subscription_steps.cancel_later(subscription, due_at=JULY, by=cast.consumer, at=NOW)

        with pytest.raises(IntegrityError, match="planned_step_one_waiting"), transaction.atomic():
            PlannedStep.objects.create(
                subscription=subscription,
                step="cancel",
                due_at=planned.due_at,
                planned_by=cast.consumer,
                planned_at=NOW,
            )
        with pytest.raises(IntegrityError, match="planned_step_has_plan"), transaction.atomic():
            PlannedStep.objects.create(
                subscription=subscription,
                step="change",
                state="done",
                due_at=JULY,
                planned_by=cast.consumer,
                planned_at=NOW,
            )


class TestTrial:
    def test_begins_with_the_first_subscription_of_an_organization_alone(self, cast: Cast, app: App) -> None:
        plan = factories.make_plan(app, trial_days=14)
        first = start(cast, plan)
        subscriptions.cancel(first, by=cast.consumer, at=NOW + timedelta(days=1))
        start(cast, plan, at=NOW + timedelta(days=2))

        trial = Trial.objects.get()
        # Cut short by the end of the subscription; from midnight of the first day it would have been 14 days.
        assert (trial.subscription, trial.ends_at) == (first, NOW + timedelta(days=1))

    def test_counts_days_from_midnight_and_only_in_production(self, cast: Cast, app: App) -> None:
        plan = factories.make_plan(app, trial_days=14)
        start(cast, plan, environment="staging")
        start(cast, plan)

        assert [one.ends_at for one in Trial.objects.all()] == [datetime(2026, 6, 30, tzinfo=UTC)]

    def test_ends_when_another_plan_is_taken(self, cast: Cast, app: App, large: Plan) -> None:
        subscription = start(cast, factories.make_plan(app, trial_days=14))
        later = NOW + timedelta(days=3)
        subscriptions.change_plan(subscription, plan=large, by=cast.consumer, at=later)

        assert trials.running(subscription, at=later) is None
        assert Trial.objects.get().ends_at == later

    def test_is_decided_on_until_it_is_over(self, cast: Cast, app: App) -> None:
        subscription = start(cast, factories.make_plan(app, trial_days=14))
        trial = trials.running(subscription, at=NOW)
        assert trial is not None
        trials.decide(trial, then="cancel", by=cast.consumer, at=NOW)

        assert Trial.objects.get().then == "cancel"
        with pytest.raises(InvalidInput):
            trials.decide(trial, then="wait", by=cast.consumer, at=NOW)
        with pytest.raises(TrialOver):
            trials.decide(trial, then="go_on", by=cast.consumer, at=trial.ends_at)

    def test_is_one_for_an_organization_and_app(self, cast: Cast, app: App) -> None:
        subscription = start(cast, factories.make_plan(app, trial_days=14))
        other = factories.make_subscription(app, cast.consumer_team, environment="staging")

        with (
            pytest.raises(IntegrityError, match="trial_once_per_organization_and_app"),
            transaction.atomic(),
        ):
            Trial.objects.create(
                subscription=other,
                organization=subscription.team.organization,
                app=app,
                starts_at=NOW,
                ends_at=JULY,
            )
