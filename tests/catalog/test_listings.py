from datetime import timedelta

from marketplace.catalog import listings
from marketplace.catalog.models import Listing
from tests.conftest import Cast
from tests.factories import NOW, make_app, make_version


class TestPublish:
    def test_puts_the_app_into_the_catalogue(self, cast: Cast) -> None:
        app = make_app(cast.creator_team, name="Polite rewriter")
        version = make_version(app)

        listing = listings.publish(app, version=version, at=NOW)

        stored = Listing.objects.get(app=app)
        assert (stored.version, stored.listed_at, stored.updated_at) == (version, NOW, NOW)
        assert listing.pk == app.pk

    def test_keeps_the_first_day_when_a_newer_version_replaces_it(self, cast: Cast) -> None:
        app = make_app(cast.creator_team)
        listings.publish(app, version=make_version(app), at=NOW)
        newer = make_version(app, number=2)

        listings.publish(app, version=newer, at=NOW + timedelta(days=3))

        stored = Listing.objects.get(app=app)
        assert stored.version == newer
        assert stored.listed_at == NOW
        assert stored.updated_at == NOW + timedelta(days=3)

    def test_gives_the_app_the_limits_of_its_version(self, cast: Cast) -> None:
        app = make_app(cast.creator_team)

        listings.publish(
            app, version=make_version(app, daily_calls_limit=70, monthly_calls_limit=900), at=NOW
        )

        assert sorted(app.limits.values_list("window", "limit_value")) == [("day", 70), ("month", 900)]
