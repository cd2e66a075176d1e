from datetime import timedelta

import pytest
from django.db import IntegrityError, transaction

from marketplace.accounts.access import actor_for
from marketplace.catalog import deprecations, searching, subscriptions
from marketplace.catalog.models import App, Listing, Subscription
from marketplace.catalog.searching import Filters
from marketplace.catalog.version_models import Deprecation
from marketplace.core.errors import Conflict, InvalidInput, NotAllowed
from marketplace.core.models import Notice
from marketplace.gateway import directory
from marketplace.gateway.directory import AppPaused
from tests import factories
from tests.catalog.making import make_live
from tests.conftest import Cast
from tests.factories import NOW

DAY = timedelta(days=1)
END = NOW + 60 * DAY


@pytest.fixture
def app(cast: Cast) -> App:
    return make_live(cast)


@pytest.fixture
def subscription(cast: Cast, app: App) -> Subscription:
    return factories.make_subscription(app, cast.consumer_team, created_by=cast.consumer)


@pytest.fixture
def other(cast: Cast) -> App:
    return factories.make_listed_app(cast.creator_team, name="Kinder mails", slug="kinder-mails")


def announce(app: App, cast: Cast, **fields: object) -> Deprecation:
    values: dict[str, object] = {
        "ends_at": END,
        "reason": "A better one exists.",
        "by": actor_for(cast.creator),
        "at": NOW,
        "notice_days": 30,
    }
    return deprecations.announce(app, **values | fields)  # type: ignore[arg-type]


class TestAnnounce:
    def test_tells_subscribers_of_date_and_successor(
        self, cast: Cast, app: App, subscription: Subscription, other: App
    ) -> None:
        announce(app, cast, successor=other)

        text = Notice.objects.get(recipient=cast.consumer, text__contains="ends on").text
        assert f"{END:%-d %b %Y}" in text
        assert "Kinder mails" in text

    def test_takes_no_new_subscribers(self, cast: Cast, app: App, subscription: Subscription) -> None:
        announce(app, cast)
        plan = app.plans.get()
        team = factories.make_team(cast.company, slug="late", cost_center=cast.cost_center)

        with pytest.raises(subscriptions.EndsSoon):
            subscriptions.start(
                app, plan=plan, team=team, cost_center=cast.cost_center, by=cast.consumer, at=NOW
            )
        # Who is subscribed already keeps it until the end.
        kept = subscriptions.start(
            app, plan=plan, team=cast.consumer_team, cost_center=cast.cost_center, by=cast.consumer, at=NOW
        )
        assert kept == subscription

    def test_gives_subscribers_their_notice(self, cast: Cast, app: App, subscription: Subscription) -> None:
        with pytest.raises(InvalidInput) as refused:
            announce(app, cast, ends_at=NOW + 29 * DAY)

        assert refused.value.field == "ends_at"

    def test_needs_no_notice_without_subscribers(self, cast: Cast, app: App) -> None:
        announce(app, cast, ends_at=NOW + DAY)

        assert Deprecation.objects.get().state == "announced"

    def test_refuses_itself_as_successor(self, cast: Cast, app: App) -> None:
        with pytest.raises(InvalidInput) as refused:
            announce(app, cast, successor=app)

        assert refused.value.field == "successor"

    def test_happens_once(self, cast: Cast, app: App) -> None:
        announce(app, cast)

        with pytest.raises(Conflict, match="announced already"):
            announce(app, cast)

    @pytest.mark.parametrize("who", ["consumer", "approver", "stranger"])
    def test_is_for_its_makers(self, cast: Cast, app: App, who: str) -> None:
        with pytest.raises(NotAllowed):
            announce(app, cast, by=actor_for(getattr(cast, who)))

    @pytest.mark.parametrize(
        ("change", "constraint"),
        [
            ({"ends_at": NOW}, "deprecation_ends_later"),
            ({"successor": "self"}, "deprecation_other_successor"),
        ],
    )
    def test_is_sound_even_past_the_code(
        self, cast: Cast, app: App, change: dict[str, object], constraint: str
    ) -> None:
        announce(app, cast)
        change = {"successor": app} if "successor" in change else change

        with pytest.raises(IntegrityError, match=constraint), transaction.atomic():
            Deprecation.objects.update(**change)


class TestRemind:
    def test_tells_at_thirty_fourteen_seven_and_one_days(
        self, cast: Cast, app: App, subscription: Subscription
    ) -> None:
        announce(app, cast)
        told = Notice.objects.filter(recipient=cast.consumer, text__contains="ends on")
        counts = []

        for days_left in (31, 30, 29, 14, 8, 7, 1, 1):
            deprecations.remind(at=END - days_left * DAY)
            counts.append(told.count())

        # The first one is the announcement.
        assert counts == [1, 2, 2, 3, 3, 4, 5, 5]

    def test_does_not_repeat_what_was_just_announced(self, cast: Cast, app: App) -> None:
        factories.make_subscription(app, cast.creator_team, created_by=cast.creator)
        announce(app, cast, ends_at=NOW + 5 * DAY)

        assert deprecations.remind(at=NOW + DAY) == 0
        assert deprecations.remind(at=NOW + 4 * DAY) == 1


class TestEndDue:
    def test_ends_the_app_and_its_subscriptions(
        self, cast: Cast, app: App, subscription: Subscription
    ) -> None:
        announce(app, cast)

        assert deprecations.end_due(at=END - DAY) == 0
        assert deprecations.end_due(at=END) == 1

        subscription.refresh_from_db()
        assert (subscription.state, subscription.ends_at) == ("canceled", END)
        assert not Listing.objects.filter(app=app).exists()
        assert app.versions.get().state == "deprecated"
        assert not searching.search(Filters.of("polite"), actor=actor_for(cast.consumer)).listings
        assert Notice.objects.filter(recipient=cast.consumer, text__contains="has ended").exists()
        with pytest.raises(AppPaused):
            directory.caller_of_id(subscription.pk)

    def test_does_not_come_once_withdrawn(self, cast: Cast, app: App, subscription: Subscription) -> None:
        deprecation = announce(app, cast)
        deprecations.withdraw(deprecation, by=actor_for(cast.creator), at=NOW, reason="You asked us to stay.")

        assert deprecations.end_due(at=END) == 0
        assert Notice.objects.filter(recipient=cast.consumer, text__contains="goes on").exists()


class TestHeaders:
    def test_say_date_and_successor(
        self, cast: Cast, app: App, subscription: Subscription, other: App
    ) -> None:
        assert directory.caller_of_id(subscription.pk).ending_headers == {}

        announce(app, cast, successor=other)

        # NOW is Monday, 16 November 2026, 12:00 UTC: 1794830400 seconds since 1970.
        assert directory.caller_of_id(subscription.pk).ending_headers == {
            "deprecation": f"@{int(NOW.timestamp())}",
            "sunset": f"{END:%a, %d %b %Y %H:%M:%S} GMT",
            "link": '</catalog/kinder-mails/>; rel="successor-version"',
        }
