import pytest

from marketplace.accounts.access import Actor, actor_for
from marketplace.catalog import queries
from marketplace.catalog.models import App
from tests.catalog.test_searching import list_app
from tests.conftest import Cast
from tests.factories import make_subscription


@pytest.fixture
def consumer(cast: Cast) -> Actor:
    return actor_for(cast.consumer)


@pytest.fixture
def stranger(cast: Cast) -> Actor:
    return actor_for(cast.stranger)


class TestVisibleListings:
    def test_shows_private_apps_to_their_own_organization_only(
        self, cast: Cast, consumer: Actor, stranger: Actor
    ) -> None:
        secret = list_app(cast, "Secret tool", is_public=False)
        public = list_app(cast, "Public tool")

        assert set(queries.visible_listings(consumer).values_list("app", flat=True)) == {secret.pk, public.pk}
        assert list(queries.visible_listings(stranger).values_list("app", flat=True)) == [public.pk]

    def test_shows_the_platform_s_approvers_everything(self, cast: Cast) -> None:
        foreign = list_app(cast, "Foreign tool", team=cast.stranger_team, is_public=False)

        assert queries.visible_listings(actor_for(cast.approver)).filter(app=foreign).exists()
        assert not queries.visible_listings(actor_for(cast.consumer)).filter(app=foreign).exists()

    def test_hides_suspended_and_withdrawn_versions(self, cast: Cast, consumer: Actor) -> None:
        list_app(cast, "Gone", state="withdrawn")
        list_app(cast, "Halted", state="suspended")

        assert not queries.visible_listings(consumer).exists()


class TestVisibleSubscriptions:
    def test_belong_to_the_actor_s_teams(self, cast: Cast, consumer: Actor, stranger: Actor) -> None:
        app: App = list_app(cast, "Alpha")
        ours = make_subscription(app, cast.consumer_team)
        theirs = make_subscription(app, cast.stranger_team)

        assert list(queries.visible_subscriptions(consumer)) == [ours]
        assert list(queries.visible_subscriptions(stranger)) == [theirs]
        assert list(queries.visible_subscriptions(actor_for(cast.creator))) == []
