"""Which apps a key may call as tools."""

import pytest

from marketplace.accounts import keys
from marketplace.accounts.keys import BadKey
from marketplace.accounts.models import User
from marketplace.catalog.models import App, AppKey, Subscription, SubscriptionKey
from marketplace.core.errors import NotFound
from marketplace.gateway.app_tools import AppTool, caller_again, tools_of
from tests import factories
from tests.conftest import Cast
from tests.factories import LONG_AGO, NOW

pytestmark = pytest.mark.django_db


@pytest.fixture
def subscription(cast: Cast) -> Subscription:
    app = factories.make_listed_app(
        cast.creator_team, slug="digest", summary="Sums up", description="A text."
    )
    return factories.make_subscription(app, cast.consumer_team)


def personal_key(user: User, cast: Cast) -> str:
    return keys.issue(kind="pat", organization=cast.company, at=LONG_AGO, by=None, user=user)[1]


def subscription_key(subscription: Subscription) -> str:
    organization = subscription.team.organization
    key, text = keys.issue(kind="sub", organization=organization, at=LONG_AGO, by=None)
    SubscriptionKey.objects.create(key=key, subscription=subscription)
    return text


def names(presented: str) -> set[str]:
    return {tool.name for tool in tools_of(presented, at=NOW)}


class TestToolsOf:
    def test_gives_a_subscriptions_key_its_app_alone(self, subscription: Subscription, cast: Cast) -> None:
        other = factories.make_listed_app(cast.creator_team, slug="other")
        factories.make_subscription(other, cast.consumer_team)

        (tool,) = tools_of(subscription_key(subscription), at=NOW)

        assert (tool.name, tool.description) == ("digest", "Sums up\n\nA text.")
        assert tool.subscription_id == subscription.pk

    def test_gives_a_person_every_app_of_the_teams_they_consume_for(
        self, subscription: Subscription, cast: Cast
    ) -> None:
        other = factories.make_listed_app(cast.creator_team, slug="other")
        factories.make_subscription(other, cast.consumer_team)
        factories.make_listed_app(cast.creator_team, slug="unsubscribed")

        assert names(personal_key(cast.consumer, cast)) == {"digest", "other"}
        assert names(personal_key(cast.creator, cast)) == set()

    def test_gives_a_stranger_nothing(self, subscription: Subscription, cast: Cast) -> None:
        assert names(personal_key(cast.stranger, cast)) == set()

    def test_leaves_out_what_cannot_be_called(self, subscription: Subscription, cast: Cast) -> None:
        text = personal_key(cast.consumer, cast)
        Subscription.objects.update(state="suspended")

        assert names(text) == set()

    def test_tells_the_same_app_of_two_teams_apart(self, subscription: Subscription, cast: Cast) -> None:
        second = factories.make_team(cast.company, name="Second")
        factories.join(cast.consumer, second, "consumer")
        theirs = factories.make_subscription(subscription.app, second)

        found = {tool.subscription_id: tool for tool in tools_of(personal_key(cast.consumer, cast), at=NOW)}

        assert found[theirs.pk].name == f"digest-{theirs.pk.hex[-8:]}"
        assert found[subscription.pk].name == f"digest-{subscription.pk.hex[-8:]}"
        assert found[theirs.pk].title.endswith("(Second)")

    def test_shortens_long_names_and_texts(self, subscription: Subscription, cast: Cast) -> None:
        App.objects.update(slug="a" * 60, description="b" * 5_000)
        second = factories.make_team(cast.company)
        factories.join(cast.consumer, second, "consumer")
        factories.make_subscription(subscription.app, second)

        found: list[AppTool] = tools_of(personal_key(cast.consumer, cast), at=NOW)

        assert {len(tool.name) for tool in found} == {64}
        assert {len(tool.description) for tool in found} == {1_200}

    def test_takes_no_key_that_may_not_call(self, subscription: Subscription, cast: Cast) -> None:
        key, text = keys.issue(kind="app", organization=cast.company, at=LONG_AGO, by=None)
        AppKey.objects.create(key=key, app=subscription.app)
        gone = personal_key(cast.consumer, cast)
        User.objects.filter(pk=cast.consumer.pk).update(is_active=False)

        for presented in (text, gone, ""):
            with pytest.raises(BadKey):
                tools_of(presented, at=NOW)


class TestCallerAgain:
    def test_is_the_subscriptions_caller_with_the_persons_key(
        self, subscription: Subscription, cast: Cast
    ) -> None:
        text = personal_key(cast.consumer, cast)

        caller = caller_again(text, subscription.pk, at=NOW)

        assert caller.who.subscription_id == subscription.pk
        assert caller.who.key_id == tools_of(text, at=NOW)[0].key_id

    def test_is_nobody_for_a_stranger(self, subscription: Subscription, cast: Cast) -> None:
        with pytest.raises(NotFound):
            caller_again(personal_key(cast.stranger, cast), subscription.pk, at=NOW)
