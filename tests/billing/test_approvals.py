"""Subscriptions that need approval: rules, requests, decisions."""

from decimal import Decimal

import pytest
from django.db import IntegrityError, transaction
from django.test import Client
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from billing import subscribing
from marketplace.accounts.access import actor_for
from marketplace.catalog import subscription_approvals, subscriptions
from marketplace.catalog.agreement_models import SubscriptionAgreement
from marketplace.catalog.approval_models import SubscriptionRequest, SubscriptionRule
from marketplace.catalog.models import App, Listing, Subscription
from marketplace.catalog.subscription_approvals import Wanted
from marketplace.catalog.subscriptions import ApprovalNeeded
from marketplace.core.errors import NotAllowed
from marketplace.core.models import Notice
from marketplace.core.transitions import IllegalTransition
from tests import factories
from tests.catalog.test_listing_api import with_key
from tests.conftest import Cast
from tests.factories import NOW

pytestmark = pytest.mark.django_db
BUDGET = 12


@pytest.fixture
def app(cast: Cast) -> App:
    return factories.make_listed_app(cast.creator_team, slug="where2eat", name="Where to eat")


@pytest.fixture
def rule(cast: Cast) -> SubscriptionRule:
    """Every subscription needs approval."""
    found = subscription_approvals.set_rule(
        cast.company, app=None, from_amount=Decimal(0), currency="USD", by=actor_for(cast.finance), at=NOW
    )
    assert found is not None
    return found


def wanted(cast: Cast, app: App, *, calls: int = 1_000) -> Wanted:
    return Wanted(
        app, app.plans.get(code="standard"), cast.consumer_team, cast.cost_center, "production", calls
    )


def ask(cast: Cast, app: App, rule: SubscriptionRule) -> SubscriptionRequest:
    return subscription_approvals.ask(wanted(cast, app), rule=rule, note="Lunch.", by=cast.consumer, at=NOW)


class TestRules:
    def test_are_met_from_their_amount_on(self, cast: Cast, app: App) -> None:
        # 50 + (1,100 - 100) x 0.02 and the cost passed on: at least 70.
        for from_amount, needs in ((Decimal(1_000), False), (Decimal(70), True)):
            subscription_approvals.set_rule(
                cast.company,
                app=None,
                from_amount=from_amount,
                currency="USD",
                by=actor_for(cast.finance),
                at=NOW,
            )
            assert (subscription_approvals.rule_for(wanted(cast, app, calls=1_100)) is not None) is needs
        assert SubscriptionRule.objects.filter(ended_at=None).count() == 1

    def test_of_an_app_go_before_that_of_any(self, cast: Cast, app: App, rule: SubscriptionRule) -> None:
        subscription_approvals.set_rule(
            cast.company,
            app=app,
            from_amount=Decimal(10_000),
            currency="USD",
            by=actor_for(cast.finance),
            at=NOW,
        )

        assert subscription_approvals.rule_for(wanted(cast, app)) is None

    def test_compare_no_currencies(self, cast: Cast, app: App) -> None:
        subscription_approvals.set_rule(
            cast.company,
            app=None,
            from_amount=Decimal(10_000),
            currency="EUR",
            by=actor_for(cast.finance),
            at=NOW,
        )

        assert subscription_approvals.rule_for(wanted(cast, app)) is not None

    def test_are_set_by_those_who_decide(self, cast: Cast) -> None:
        for person in (cast.consumer, cast.stranger):
            with pytest.raises(NotAllowed):
                subscription_approvals.set_rule(
                    cast.company, app=None, from_amount=None, currency="USD", by=actor_for(person), at=NOW
                )

    def test_hold_for_starts_and_dearer_plans_whoever_asks(
        self, cast: Cast, app: App, rule: SubscriptionRule
    ) -> None:
        own = factories.make_subscription(app, cast.consumer_team)
        dearer = factories.make_plan(app, charges=[{"code": "fee", "model": "flat", "amount": "9000"}])
        cheaper = factories.make_plan(app, charges=[])

        with pytest.raises(ApprovalNeeded):
            subscriptions.start(
                app,
                plan=dearer,
                team=cast.creator_team,
                cost_center=cast.cost_center,
                by=cast.creator,
                at=NOW,
            )
        with pytest.raises(ApprovalNeeded):
            subscriptions.change_plan(own, plan=dearer, by=cast.consumer, at=NOW)
        subscriptions.change_plan(own, plan=cheaper, by=cast.consumer, at=NOW)
        assert Subscription.objects.get().plan == cheaper

    def test_let_an_app_that_was_taken_out_change_its_plan(self, cast: Cast, app: App) -> None:
        own = factories.make_subscription(app, cast.consumer_team)
        dearer = factories.make_plan(app, charges=[{"code": "fee", "model": "flat", "amount": "90"}])
        Listing.objects.all().delete()

        subscriptions.change_plan(Subscription.objects.get(pk=own.pk), plan=dearer, by=cast.consumer, at=NOW)

        assert Subscription.objects.get().plan == dearer

    def test_hold_for_the_api(self, cast: Cast, app: App, rule: SubscriptionRule) -> None:
        answer = with_key(cast.consumer).post(
            "/api/v1/subscriptions", {"app": "where2eat", "plan": "standard"}
        )

        assert (answer.status_code, answer.json()["code"]) == (409, "approval_needed")
        assert not Subscription.objects.exists()


class TestRequests:
    def test_are_open_once_and_told(self, cast: Cast, app: App, rule: SubscriptionRule) -> None:
        first, second = ask(cast, app, rule), ask(cast, app, rule)

        assert first == second
        assert Notice.objects.filter(
            recipient=cast.finance, path=f"/subscriptions/requests/{first.pk}/"
        ).exists()

    def test_start_when_approved(self, cast: Cast, app: App, rule: SubscriptionRule) -> None:
        request = ask(cast, app, rule)

        subscribing.approve(request, by=actor_for(cast.finance), at=NOW, reason="Fine.")

        subscription = Subscription.objects.get()
        assert (subscription.created_by, subscription.team) == (cast.consumer, cast.consumer_team)
        request.refresh_from_db()
        assert (request.state, request.subscription, request.decided_by) == (
            "approved",
            subscription,
            cast.finance,
        )
        # From 15 November on 16 of 30 days are left: 50.00 x 16 / 30.
        assert SubscriptionAgreement.objects.get().shown["total_minor"] == 2_667
        assert Notice.objects.filter(recipient=cast.consumer, text__contains="was approved: Fine.").exists()
        with pytest.raises(IllegalTransition):
            subscribing.approve(request, by=actor_for(cast.approver), at=NOW)

    def test_change_the_plan_of_what_there_is(self, cast: Cast, app: App, rule: SubscriptionRule) -> None:
        own = factories.make_subscription(app, cast.consumer_team)
        dearer = factories.make_plan(app, charges=[{"code": "fee", "model": "flat", "amount": "90"}])
        request = subscription_approvals.ask(
            subscription_approvals.wanted_change(own, dearer), rule=rule, note="", by=cast.consumer, at=NOW
        )

        subscribing.approve(request, by=actor_for(cast.finance), at=NOW)

        assert Subscription.objects.get().plan == dearer

    def test_are_not_decided_by_who_asked(self, cast: Cast, app: App, rule: SubscriptionRule) -> None:
        factories.join(cast.consumer, None, "finance", organization=cast.company)
        request = ask(cast, app, rule)

        with pytest.raises(NotAllowed):
            subscribing.approve(request, by=actor_for(cast.consumer), at=NOW)
        with pytest.raises(IntegrityError, match="subscription_request_four_eyes"), transaction.atomic():
            SubscriptionRequest.objects.update(state="denied", decided_by=cast.consumer, decided_at=NOW)


class TestPages:
    def test_ask_instead_of_starting(
        self, cast: Cast, app: App, rule: SubscriptionRule, client: Client
    ) -> None:
        client.force_login(cast.consumer)
        chosen = f"plan=standard&team={cast.consumer_team.pk}&cost_center={cast.cost_center.pk}"
        address = f"/catalog/where2eat/subscribe/confirm/?{chosen}"

        assert "Somebody approves this first" in client.get(address).content.decode()
        response = client.post(address, {"note": "Lunch."})

        request = SubscriptionRequest.objects.get()
        assert response["Location"] == f"/subscriptions/requests/{request.pk}/"
        assert "Take it back" in client.get(response["Location"]).content.decode()
        client.post(response["Location"], {"decision": "approve"})
        assert not Subscription.objects.exists()
        client.post(response["Location"], {"decision": "withdraw"})
        assert SubscriptionRequest.objects.get().state == "withdrawn"

    def test_stand_on_the_desk_of_who_decides(
        self, cast: Cast, app: App, rule: SubscriptionRule, client: Client
    ) -> None:
        ask(cast, app, rule)

        client.force_login(cast.approver)
        assert "1 subscription waits for approval" in client.get("/decisions/").content.decode()
        assert subscription_approvals.count_waiting(actor_for(cast.stranger)) == 0
        assert subscription_approvals.count_waiting(actor_for(cast.consumer)) == 0

    def test_decide(self, cast: Cast, app: App, rule: SubscriptionRule, client: Client) -> None:
        address = f"/subscriptions/requests/{ask(cast, app, rule).pk}/"
        client.force_login(cast.approver)

        assert "Approve and start" in client.get(address).content.decode()
        assert "Say why" in client.post(address, {"decision": "deny"}).content.decode()
        client.post(address, {"decision": "approve"})

        assert Subscription.objects.get().starts_at <= timezone.now()

    def test_set_and_end_a_rule(self, cast: Cast, client: Client) -> None:
        client.force_login(cast.finance)
        address = f"/subscriptions/rules/{cast.company.slug}/"

        client.post(address, {"from_amount": "100"})
        assert SubscriptionRule.objects.get(ended_at=None).from_amount == 100
        assert "Any app" in client.get(address).content.decode()
        client.post(address, {"from_amount": ""})
        assert not SubscriptionRule.objects.filter(ended_at=None).exists()

    def test_keep_to_their_budget_of_queries(
        self,
        cast: Cast,
        app: App,
        rule: SubscriptionRule,
        client: Client,
        django_assert_max_num_queries: DjangoAssertNumQueries,
    ) -> None:
        ask(cast, app, rule)
        client.force_login(cast.finance)

        with django_assert_max_num_queries(BUDGET):
            assert "Where to eat" in client.get("/subscriptions/requests/").content.decode()

    def test_show_a_stranger_nothing(
        self, cast: Cast, app: App, rule: SubscriptionRule, client: Client
    ) -> None:
        request = ask(cast, app, rule)
        client.force_login(cast.stranger)

        assert "Where to eat" not in client.get("/subscriptions/requests/").content.decode()
        assert client.get(f"/subscriptions/requests/{request.pk}/").status_code == 404
        assert (
            client.post(f"/subscriptions/requests/{request.pk}/", {"decision": "approve"}).status_code == 404
        )
        assert client.get(f"/subscriptions/rules/{cast.company.slug}/").status_code == 404
