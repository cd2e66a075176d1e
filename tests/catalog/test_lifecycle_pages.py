"""Pages of what changes, comes and ends: for makers, for who is subscribed, for the second person."""

from datetime import timedelta
from decimal import Decimal

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from marketplace.accounts.access import actor_for
from marketplace.accounts.models import User
from marketplace.catalog import drafts, price_changes, subscriptions
from marketplace.catalog.models import App, Subscription
from marketplace.catalog.plan_terms import PlanTerms
from marketplace.catalog.version_models import Deprecation, PriceChange
from tests import factories
from tests.catalog.making import approve_next, make_live
from tests.conftest import Cast


def signed_in(person: User) -> Client:
    client = Client()
    client.force_login(person)
    return client


def path(name: str, *args: object) -> str:
    return reverse(f"catalog:{name}", args=args)


@pytest.fixture
def app(cast: Cast) -> App:
    return make_live(cast, plan=PlanTerms(fee=Decimal(10)))


@pytest.fixture
def subscription(cast: Cast, app: App) -> Subscription:
    return subscriptions.start(
        app,
        plan=app.plans.get(),
        team=cast.consumer_team,
        cost_center=cast.cost_center,
        by=cast.consumer,
        at=timezone.now(),
    )


@pytest.fixture
def rise(cast: Cast, app: App, subscription: Subscription) -> PriceChange:
    approve_next(cast, app, plan=PlanTerms(fee=Decimal(50)))
    return PriceChange.objects.select_related("app__owner_team", "version", "new_plan").get()


@pytest.fixture
def colleague(cast: Cast) -> User:
    person = factories.make_user("bea@demo.example")
    factories.join(person, None, "approver", organization=cast.company)
    return person


class TestChanges:
    def test_shows_makers_what_the_reviewer_will_see(self, cast: Cast, app: App) -> None:
        draft = drafts.start_next_version(app, by=cast.creator, at=timezone.now())
        changes = {"instructions": draft.instructions + " Be brief.", "plan": PlanTerms(fee=Decimal(12))}
        drafts.edit(draft, by=cast.creator, at=timezone.now(), changes=changes)

        html = signed_in(cast.creator).get(path("creator-changes", app.slug)).content.decode()

        assert "Be brief" in html
        assert "<del>$10.00 a month</del>" in html
        assert "<ins>$12.00 a month</ins>" in html
        assert signed_in(cast.stranger).get(path("creator-changes", app.slug)).status_code == 404


class TestPriceChange:
    def test_goes_from_the_second_person_to_the_subscriber(
        self, cast: Cast, colleague: User, subscription: Subscription, rise: PriceChange
    ) -> None:
        page = path("price-change", rise.pk)
        first = signed_in(cast.approver)
        assert "A second person decides" in first.get(page).content.decode()
        assert first.post(page, {"decision": "approve"}).status_code == 403

        signed_in(colleague).post(page, {"decision": "approve"})

        html = signed_in(cast.consumer).get(path("subscription-price", subscription.pk)).content.decode()
        assert "$10.00" in html
        assert "$50.00" in html
        assert reverse("billing:subscription-cancel", args=[subscription.pk]) in html

    def test_says_what_it_means_for_the_last_month(
        self, cast: Cast, colleague: User, subscription: Subscription, rise: PriceChange
    ) -> None:
        price_changes.approve(rise, by=actor_for(colleague), at=timezone.now(), notice_days=30)
        address = reverse("billing:price-effect", args=[subscription.pk])

        html = signed_in(cast.consumer).get(address).content.decode()

        assert "$10.00" in html
        assert "$50.00" in html
        assert signed_in(cast.stranger).get(address).status_code == 404

    def test_is_unknown_to_strangers(self, cast: Cast, subscription: Subscription, rise: PriceChange) -> None:
        client = signed_in(cast.stranger)

        assert client.get(path("price-change", rise.pk)).status_code == 404
        assert client.get(path("subscription-price", subscription.pk)).status_code == 404

    def test_says_that_nothing_comes(self, cast: Cast, subscription: Subscription) -> None:
        page = signed_in(cast.consumer).get(path("subscription-price", subscription.pk))

        assert "Nothing comes" in page.content.decode()


class TestLifecycle:
    def test_rolls_back_with_a_reason(self, cast: Cast, app: App) -> None:
        approve_next(cast, app, instructions="Be kinder.")
        client = signed_in(cast.creator)
        assert "Roll back" in client.get(path("lifecycle", app.slug)).content.decode()

        client.post(path("roll-back", app.slug, 1), {"reason": " "})
        assert app.versions.get(number=2).state == "listed"
        client.post(path("roll-back", app.slug, 1), {"reason": "It rambles."})
        assert app.versions.get(number=1).state == "listed"

    def test_announces_an_end_and_takes_it_back(
        self, cast: Cast, app: App, subscription: Subscription
    ) -> None:
        client = signed_in(cast.creator)
        early = (timezone.now() + timedelta(days=5)).date().isoformat()
        late = (timezone.now() + timedelta(days=40)).date().isoformat()
        typed = {"reason": "A better one exists.", "successor": ""}
        page = path("lifecycle", app.slug)
        assert "has 30 days" in client.post(page, typed | {"last_day": early}).content.decode()

        client.post(page, typed | {"last_day": late})

        assert Deprecation.objects.get().state == "announced"
        coming = signed_in(cast.consumer).get(path("subscription-price", subscription.pk)).content.decode()
        assert "A better one exists." in coming
        shown = signed_in(cast.consumer).get(path("listing", app.slug)).content.decode()
        assert "takes no new subscriptions" in shown
        assert path("subscribe", app.slug) not in shown
        client.post(path("deprecation-withdraw", app.slug), {"reason": "You asked."})
        assert Deprecation.objects.get().state == "withdrawn"

    def test_is_unknown_to_others(self, cast: Cast, app: App) -> None:
        for who in ("stranger", "consumer"):
            client = signed_in(getattr(cast, who))
            assert client.get(path("lifecycle", app.slug)).status_code == 404
            assert client.post(path("roll-back", app.slug, 1), {"reason": "x"}).status_code == 404
            assert client.post(path("deprecation-withdraw", app.slug), {"reason": "x"}).status_code == 404
