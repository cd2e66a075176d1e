import pytest
from django.test import Client
from pytest_django import DjangoAssertNumQueries

from marketplace.catalog import listings
from marketplace.catalog.models import App, Subscription
from tests.conftest import Cast
from tests.factories import NOW, make_app, make_listed_app, make_plan, make_subscription, make_version

BUDGET = 12


@pytest.fixture
def app(cast: Cast) -> App:
    app = make_app(
        cast.creator_team, slug="polite-rewriter", name="Polite rewriter", summary="Rewrites blunt messages."
    )
    make_plan(app, code="standard")
    listings.publish(app, version=make_version(app), at=NOW)
    return app


@pytest.fixture
def private(cast: Cast) -> App:
    app = make_listed_app(cast.creator_team, slug="secret-tool", name="Secret tool", is_public=False)
    listings.publish(app, version=app.versions.get(), at=NOW)
    return app


@pytest.fixture
def consumer(cast: Cast, client: Client) -> Client:
    client.force_login(cast.consumer)
    return client


@pytest.fixture
def stranger(cast: Cast, client: Client) -> Client:
    client.force_login(cast.stranger)
    return client


class TestListings:
    def test_finds_an_app_by_its_words(self, app: App, private: App, consumer: Client) -> None:
        page = consumer.get("/catalog/?q=blunt").content.decode()

        assert "Polite rewriter" in page
        assert "Secret tool" not in page
        assert '<html lang="en"' in page

    def test_answers_htmx_with_what_was_found_only(self, app: App, consumer: Client) -> None:
        response = consumer.get("/catalog/?q=polite&sort=", headers={"HX-Request": "true"})

        page = response.content.decode()
        assert "Polite rewriter" in page
        assert "<html" not in page
        assert "HX-Request" in response["Vary"]
        assert response["HX-Push-Url"] == "/catalog/?q=polite"

    def test_offers_to_drop_the_filter_that_is_in_the_way(self, app: App, consumer: Client) -> None:
        page = consumer.get("/catalog/?q=rewriter&category=finance").content.decode()

        assert "Nothing fits all of that" in page
        assert 'href="/catalog/?q=rewriter"' in page

    def test_keeps_every_filter_in_the_links_to_other_pages(self, cast: Cast, consumer: Client) -> None:
        for number in range(30):
            make_listed_app(cast.creator_team, name=f"App {number}", category="data")

        page = consumer.get("/catalog/?category=data&sort=name").content.decode()

        assert "?category=data&amp;sort=name&amp;page=2" in page

    def test_takes_any_address(self, app: App, consumer: Client) -> None:
        assert consumer.get("/catalog/?page=x&sort=y&price=z&team=%00&q=%00'%25_").status_code == 200

    def test_hides_private_apps_from_a_stranger(self, app: App, private: App, stranger: Client) -> None:
        page = stranger.get("/catalog/?q=secret").content.decode()

        assert "Secret tool" not in page

    def test_keeps_to_its_budget_of_queries(
        self, cast: Cast, app: App, consumer: Client, django_assert_max_num_queries: DjangoAssertNumQueries
    ) -> None:
        for _ in range(10):
            make_plan(make_listed_app(cast.creator_team), code="large")

        for address in ("/catalog/", "/catalog/?q=rewriter&category=writing&price=two_part"):
            with django_assert_max_num_queries(BUDGET):
                assert consumer.get(address).status_code == 200


class TestListing:
    def test_shows_what_one_needs_to_decide(self, app: App, consumer: Client) -> None:
        page = consumer.get("/catalog/polite-rewriter/").content.decode()

        for words in (
            "Rewrites blunt messages.",
            'name="input.text"',
            "Send me the report.",
            "$50.00 a month",
            "99.50 %",
            "mailto:owner@demo.example",
            "/apps/polite-rewriter/run",
            "from openai import OpenAI",
        ):
            assert words in page

    def test_leads_to_the_subscription_the_team_has(self, cast: Cast, app: App, consumer: Client) -> None:
        subscription = make_subscription(app, cast.consumer_team)

        assert (
            f"/subscriptions/{subscription.pk}/" in consumer.get("/catalog/polite-rewriter/").content.decode()
        )

    def test_does_not_tell_a_stranger_who_subscribes(self, cast: Cast, app: App, stranger: Client) -> None:
        subscription = make_subscription(app, cast.consumer_team)

        page = stranger.get("/catalog/polite-rewriter/").content.decode()

        assert str(subscription.pk) not in page
        assert "Operations" not in page

    def test_is_not_there_for_a_stranger_when_private(self, private: App, stranger: Client) -> None:
        assert stranger.get("/catalog/secret-tool/").status_code == 404
        assert stranger.get("/catalog/secret-tool/subscribe/").status_code == 404

    def test_is_not_there_before_it_is_approved(self, cast: Cast, consumer: Client) -> None:
        make_version(make_app(cast.creator_team, slug="draft"), state="draft")

        assert consumer.get("/catalog/draft/").status_code == 404

    def test_keeps_to_its_budget_of_queries(
        self, cast: Cast, app: App, consumer: Client, django_assert_max_num_queries: DjangoAssertNumQueries
    ) -> None:
        make_subscription(app, cast.consumer_team)
        make_subscription(app, cast.consumer_team, environment="sandbox")

        with django_assert_max_num_queries(BUDGET):
            assert consumer.get("/catalog/polite-rewriter/").status_code == 200


class TestSubscribe:
    ADDRESS = "/catalog/polite-rewriter/subscribe/"

    def choose(self, cast: Cast, **changes: object) -> dict[str, object]:
        choice = {"plan": "standard", "team": cast.consumer_team.pk, "cost_center": cast.cost_center.pk}
        return choice | changes

    def test_proposes_the_team_and_its_cost_center(self, cast: Cast, app: App, consumer: Client) -> None:
        page = consumer.get(self.ADDRESS).content.decode()

        assert f'<option value="{cast.cost_center.pk}" selected>' in page

    def test_leads_on_to_what_is_agreed_to(self, cast: Cast, app: App, consumer: Client) -> None:
        response = consumer.post(self.ADDRESS, self.choose(cast))

        assert response["Location"].startswith("/catalog/polite-rewriter/subscribe/confirm/?plan=standard&")
        assert consumer.get(response["Location"]).status_code == 200
        assert not Subscription.objects.exists()

    @pytest.mark.parametrize("field", ["plan", "team", "cost_center"])
    def test_names_the_field_that_is_missing(
        self, cast: Cast, app: App, consumer: Client, field: str
    ) -> None:
        response = consumer.post(self.ADDRESS, self.choose(cast, **{field: ""}))

        assert "1 thing needs" in response.content.decode()
        assert not Subscription.objects.exists()

    def test_does_not_take_a_stranger_s_team_or_cost_center(
        self, cast: Cast, app: App, consumer: Client
    ) -> None:
        foreign = cast.stranger_team

        for change in ({"team": foreign.pk}, {"cost_center": foreign.cost_center_id}):
            consumer.post(self.ADDRESS, self.choose(cast, **change))

        assert not Subscription.objects.exists()

    def test_is_not_for_people_who_are_consumers_nowhere(self, cast: Cast, app: App, client: Client) -> None:
        client.force_login(cast.creator)

        assert "You can subscribe for no team" in client.get(self.ADDRESS).content.decode()
        client.post(self.ADDRESS, self.choose(cast))
        assert not Subscription.objects.exists()

    def test_keeps_to_its_budget_of_queries(
        self, app: App, consumer: Client, django_assert_max_num_queries: DjangoAssertNumQueries
    ) -> None:
        with django_assert_max_num_queries(BUDGET):
            assert consumer.get(self.ADDRESS).status_code == 200


class TestEveryPage:
    @pytest.mark.parametrize("path", ["/catalog/", "/catalog/polite-rewriter/", "/subscriptions/"])
    def test_asks_guests_to_sign_in(self, app: App, client: Client, path: str) -> None:
        assert client.get(path)["Location"].startswith("/accounts/login/")
