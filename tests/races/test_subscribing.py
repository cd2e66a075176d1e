"""Subscribing twice at once, and calling while a key is rotated."""

from datetime import timedelta
from threading import Barrier, Event, Thread

import pytest
from django.db import connection
from django.utils import timezone

from billing import subscribing
from billing.spend_caps import CapTerms
from marketplace.accounts.access import actor_for
from marketplace.accounts.keys import BadKey
from marketplace.catalog import subscriptions
from marketplace.catalog.agreement_models import SubscriptionAgreement
from marketplace.catalog.models import App, Subscription
from marketplace.gateway.directory import Directory
from quotas.models import Limit
from tests import factories
from tests.conftest import Cast

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.race]


def test_subscribing_twice_at_once_starts_one(cast: Cast) -> None:
    app = factories.make_listed_app(cast.creator_team)
    plan, at, barrier = app.plans.get(), timezone.now(), Barrier(3)
    agreed = subscribing.money_of_start(plan, at=at).digest
    by, started = actor_for(cast.consumer), []

    def subscribe() -> None:
        own = App.objects.select_related("listing__version", "owner_team").get(pk=app.pk)
        barrier.wait()
        try:
            one = subscribing.start(
                own, plan=plan, team=cast.consumer_team, cost_center=cast.cost_center, agreed=agreed, by=by, at=at,
                cap=CapTerms(10_000),
            )  # fmt: skip
            started.append(one.pk)
        finally:
            connection.close()

    threads = [Thread(target=subscribe) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(started) == 3
    assert {one.pk for one in Subscription.objects.all()} == set(started)
    assert SubscriptionAgreement.objects.count() == 1
    assert Limit.objects.filter(measure="cost", ends_at=None).count() == 1


def test_calls_go_on_while_their_key_is_rotated(cast: Cast) -> None:
    app = factories.make_listed_app(cast.creator_team)
    subscription = factories.make_subscription(app, cast.consumer_team)
    now = timezone.now()
    _, text = subscriptions.issue_subscription_key(subscription, by=cast.consumer, at=now, name="bot")
    is_over, calls, refused = Event(), [], []

    def call() -> None:
        directory = Directory()
        try:
            while not is_over.is_set() or not calls:
                at = timezone.now()
                found = directory.look_up(text, kind="sub", at=at)
                calls.append(found)
        except BadKey:
            refused.append(text)
        finally:
            connection.close()

    caller = Thread(target=call)
    caller.start()
    texts = []
    for _ in range(5):
        link = subscription.key_links.order_by("key__created_at").first()
        assert link is not None
        _, newer = subscriptions.rotate_subscription_key(
            link, overlap=timedelta(hours=1), by=cast.consumer, at=timezone.now()
        )
        texts.append(newer)
    is_over.set()
    caller.join()

    assert refused == []
    directory = Directory()
    for one in texts:
        assert directory.look_up(one, kind="sub", at=timezone.now())
    with pytest.raises(BadKey):
        Directory().look_up(text, kind="sub", at=timezone.now() + timedelta(hours=2))
