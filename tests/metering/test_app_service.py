"""What is measured of apps, and who may rate them."""

from datetime import timedelta
from decimal import Decimal

import pytest
from django.test import Client
from rest_framework.test import APIClient

from marketplace.accounts.access import actor_for
from marketplace.accounts.models import Team
from marketplace.catalog import ratings
from marketplace.catalog.discovery_models import MeasuredFacts
from marketplace.catalog.models import App
from marketplace.catalog.rating_models import Rating
from metering import app_ratings, app_service
from metering.models import Attribution, DailyRollup, LatencyHistogram
from tests.catalog.test_listing_api import with_key
from tests.conftest import Cast
from tests.factories import NOW, make_listed_app


@pytest.fixture
def app(cast: Cast) -> App:
    return make_listed_app(cast.creator_team, slug="rewriter")


def use(
    app: App, team: Team, *, days_ago: int = 1, environment: str = "production", requests: int = 100
) -> None:
    """Write what a day of calls leaves: sums, and latencies of bucket 40, whose middle is 1,117 ms."""
    day = (NOW - timedelta(days=days_ago)).date()
    attribution, _ = Attribution.objects.get_or_create(
        app=app,
        owner_team=app.owner_team,
        organization=team.organization,
        team=team,
        cost_center=team.cost_center,
        environment=environment,
    )
    keys = {"day": day, "attribution": attribution}
    DailyRollup.objects.create(
        **keys,
        period=day.replace(day=1),
        currency="USD",
        events=requests,
        requests=requests,
        cost=Decimal("0.05"),
    )
    LatencyHistogram.objects.create(**keys, bucket=40, events=requests)


class TestServiceOf:
    def test_says_honestly_that_nothing_is_measured(self, app: App) -> None:
        found = app_service.service_of(app.versions.get(), at=NOW)

        assert (found.p95_ms, found.is_kept, found.cost_per_1000, found.weeks_measured) == (
            None,
            None,
            None,
            0,
        )
        assert [part.state for part in found.parts] == ["unknown", "unknown", "fair", "unknown"]

    def test_measures_latency_and_cost_of_production(self, cast: Cast, app: App) -> None:
        use(app, cast.consumer_team)
        use(app, cast.consumer_team, days_ago=8)
        use(app, cast.stranger_team, days_ago=91)
        use(app, cast.consumer_team, days_ago=2, environment="sandbox")

        found = app_service.service_of(app.versions.get(), at=NOW)

        # Of 200 calls in 30 days for 0.10: 0.5 per 1,000. 2,000 ms are promised.
        assert (found.p95_ms, found.is_kept, found.cost_per_1000) == (1117, True, Decimal("0.5"))
        assert (found.weeks_kept, found.weeks_measured, len(found.weeks)) == (2, 2, 13)


class TestTellCatalogue:
    def test_tells_once_and_forgets_what_is_over(self, cast: Cast, app: App) -> None:
        use(app, cast.consumer_team)

        assert [app_service.tell_catalogue(at=NOW) for _ in range(2)] == [1, 0]
        facts = MeasuredFacts.objects.get()
        assert (facts.monthly_calls, facts.cost_per_1000, facts.p95_latency_ms) == (100, Decimal("0.5"), 1117)

        assert app_service.tell_catalogue(at=NOW + timedelta(days=120)) == 1
        facts.refresh_from_db()
        assert (facts.monthly_calls, facts.cost_per_1000, facts.p95_latency_ms) == (0, None, None)


class TestRate:
    def test_takes_a_rating_of_whose_team_has_called(self, cast: Cast, app: App) -> None:
        use(app, cast.consumer_team)
        by = actor_for(cast.consumer)

        first = app_ratings.rate(app, stars=2, text="Slow.", by=by, at=NOW)
        second = app_ratings.rate(app, stars=4, text="Better now.", by=by, at=NOW + timedelta(days=1))

        assert first.pk == second.pk
        kept = Rating.objects.get()
        assert (kept.stars, kept.text, kept.team, kept.created_at) == (
            4,
            "Better now.",
            cast.consumer_team,
            NOW,
        )

    def test_refuses_who_has_never_called(self, cast: Cast, app: App) -> None:
        use(app, cast.consumer_team)

        with pytest.raises(ratings.NeverCalled):
            app_ratings.rate(app, stars=1, text="", by=actor_for(cast.stranger), at=NOW)

    def test_refuses_the_owner(self, cast: Cast, app: App) -> None:
        use(app, cast.creator_team)

        with pytest.raises(ratings.NeverCalled):
            app_ratings.rate(app, stars=5, text="", by=actor_for(cast.creator), at=NOW)

    def test_refuses_calls_of_another_app(self, cast: Cast, app: App) -> None:
        use(make_listed_app(cast.creator_team), cast.consumer_team)

        with pytest.raises(ratings.NeverCalled):
            app_ratings.rate(app, stars=5, text="", by=actor_for(cast.consumer), at=NOW)


class TestPages:
    def test_rate_by_form(self, cast: Cast, app: App, client: Client) -> None:
        use(app, cast.consumer_team)
        client.force_login(cast.consumer)

        assert client.post("/catalog/rewriter/rate/", {"stars": "9"}).status_code == 200
        response = client.post("/catalog/rewriter/rate/", {"stars": "4", "text": "Kind."})

        assert response["Location"] == "/catalog/rewriter/ratings/"
        assert "Kind." in client.get("/catalog/rewriter/ratings/").content.decode()

    def test_do_not_let_a_stranger_rate(self, cast: Cast, app: App, client: Client) -> None:
        client.force_login(cast.stranger)

        client.post("/catalog/rewriter/rate/", {"stars": "1"})

        assert not Rating.objects.exists()

    def test_show_what_is_measured(self, cast: Cast, app: App, client: Client) -> None:
        use(app, cast.consumer_team)
        client.force_login(cast.stranger)

        page = client.get("/catalog/rewriter/service/").content.decode()

        assert "kept" in page
        assert "Scorecard" in page


class TestApi:
    PATH = "/api/v1/listings/rewriter/ratings"

    def test_writes_lists_and_withdraws(self, cast: Cast, app: App) -> None:
        use(app, cast.consumer_team)
        client: APIClient = with_key(cast.consumer)

        assert client.put(f"{self.PATH}/mine", {"stars": 4}, format="json").json()["stars"] == 4
        [row] = client.get(self.PATH).json()["results"]
        assert (row["person"], row["team"]) == ("consumer@demo.example", "team-ops")
        assert client.get("/api/v1/listings/rewriter").json()["rating"] == "4.0"
        assert client.delete(f"{self.PATH}/mine").status_code == 204
        assert client.delete(f"{self.PATH}/mine").status_code == 404

    def test_refuses_a_stranger(self, cast: Cast, app: App) -> None:
        client = with_key(cast.stranger)

        answer = client.put(f"{self.PATH}/mine", {"stars": 1}, format="json")

        assert (answer.status_code, answer.json()["code"]) == (403, "never_called")
        App.objects.filter(pk=app.pk).update(is_public=False)
        assert client.get(self.PATH).status_code == 404
