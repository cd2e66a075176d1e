"""Pages of discovery: guests, compare, collections, saved searches, wishes, ratings; and the stranger at each."""

import pytest
from django.test import Client
from pytest_django import DjangoAssertNumQueries, Settings

from marketplace.accounts.access import actor_for
from marketplace.catalog import curation, ratings
from marketplace.catalog.collection_models import Collection
from marketplace.catalog.curation import Item
from marketplace.catalog.discovery_models import AppWish, SavedSearch
from marketplace.catalog.models import App
from marketplace.catalog.rating_models import Rating
from marketplace.core.models import Notice
from tests.conftest import Cast
from tests.factories import NOW, make_listed_app, make_version

BUDGET = 12


@pytest.fixture
def app(cast: Cast) -> App:
    return make_listed_app(
        cast.creator_team, slug="polite-rewriter", name="Polite rewriter", summary="Rewrites blunt messages."
    )


@pytest.fixture
def private(cast: Cast) -> App:
    return make_listed_app(cast.creator_team, slug="secret-tool", name="Secret rewriter", is_public=False)


@pytest.fixture
def rating(cast: Cast, app: App) -> Rating:
    return ratings.record(
        app, stars=4, text="Kind.", by=actor_for(cast.consumer), calling_teams=[cast.consumer_team], at=NOW
    )


@pytest.fixture
def collection(cast: Cast, app: App, private: App) -> Collection:
    items = [Item(private, "Ours alone."), Item(app, "First choice.")]
    by = actor_for(cast.operator)
    return curation.write(
        slug="start", title="Start here", summary="", items=items, is_shown=True, by=by, at=NOW
    )


def enter(client: Client, person: object) -> Client:
    client.force_login(person)  # type: ignore[arg-type]
    return client


PAGES = (
    "/catalog/?q=rewriter",
    "/catalog/polite-rewriter/",
    "/catalog/polite-rewriter/ratings/",
    "/catalog/polite-rewriter/similar/",
    "/catalog/polite-rewriter/versions/",
    "/compare/?app=polite-rewriter&app=secret-tool",
    "/collections/",
    "/collections/start/",
)
SIGNED_IN = (
    *PAGES,
    "/searches/?q=rewriter",
    "/wishes/",
    "/catalog/polite-rewriter/service/",
    "/catalog/polite-rewriter/rate/",
)


@pytest.mark.usefixtures("app", "private", "rating", "collection")
class TestEveryPage:
    @pytest.mark.parametrize("path", SIGNED_IN)
    def test_hides_private_apps_from_a_stranger(self, cast: Cast, client: Client, path: str) -> None:
        page = enter(client, cast.stranger).get(path)

        assert page.status_code == 200
        assert "Secret rewriter" not in page.content.decode()

    @pytest.mark.parametrize("path", ["", "ratings/", "similar/", "versions/", "service/", "rate/"])
    def test_of_a_private_app_is_not_there_for_a_stranger(
        self, cast: Cast, client: Client, path: str
    ) -> None:
        assert enter(client, cast.stranger).get(f"/catalog/secret-tool/{path}").status_code == 404

    @pytest.mark.parametrize("path", SIGNED_IN)
    def test_keeps_to_its_budget_of_queries(
        self, cast: Cast, client: Client, path: str, django_assert_max_num_queries: DjangoAssertNumQueries
    ) -> None:
        enter(client, cast.consumer)

        with django_assert_max_num_queries(BUDGET):
            assert client.get(path).status_code == 200

    @pytest.mark.parametrize(
        "path", ["/operator/ratings/", "/operator/collections/start/", "/operator/collections/new/"]
    )
    def test_of_operators_is_for_those_of_the_platform_only(
        self, cast: Cast, client: Client, path: str
    ) -> None:
        assert enter(client, cast.stranger).get(path).status_code == 403
        assert enter(client, cast.operator).get(path).status_code == 200


@pytest.mark.usefixtures("app", "private", "rating", "collection")
class TestGuests:
    @pytest.mark.parametrize("path", PAGES)
    def test_are_asked_to_sign_in_by_default(self, client: Client, path: str) -> None:
        assert client.get(path)["Location"].startswith("/accounts/login/")

    @pytest.mark.parametrize("path", PAGES)
    def test_read_what_is_public_where_it_is_allowed(
        self, client: Client, settings: Settings, path: str
    ) -> None:
        settings.PUBLIC_CATALOG = True

        page = client.get(path)

        assert page.status_code == 200
        assert "Secret rewriter" not in page.content.decode()
        assert "consumer@demo.example" not in page.content.decode()

    @pytest.mark.parametrize(
        "path",
        [
            "/catalog/polite-rewriter/subscribe/",
            "/searches/",
            "/wishes/",
            "/catalog/polite-rewriter/service/",
        ],
    )
    def test_stay_out_of_everything_else(self, client: Client, settings: Settings, path: str) -> None:
        settings.PUBLIC_CATALOG = True

        assert client.get(path)["Location"].startswith("/accounts/login/")


class TestSearch:
    def test_says_why_an_app_was_found(self, app: App, cast: Cast, client: Client) -> None:
        page = enter(client, cast.consumer).get("/catalog/?q=blunt").content.decode()

        assert "Found in the summary" in page

    def test_offers_to_ask_for_what_is_not_there(self, app: App, cast: Cast, client: Client) -> None:
        page = enter(client, cast.consumer).get("/catalog/?q=zzyzx").content.decode()

        assert '/wishes/?q=zzyzx"' in page


class TestCompare:
    def test_puts_promise_and_what_is_not_measured_side_by_side(
        self, cast: Cast, app: App, private: App, client: Client
    ) -> None:
        page = enter(client, cast.consumer).get("/compare/?app=polite-rewriter&app=secret-tool&app=nothing")

        text = page.content.decode()
        assert text.count("Not measured yet") == 2
        assert "Secret rewriter" in text

    def test_takes_four(self, cast: Cast, client: Client) -> None:
        slugs = [make_listed_app(cast.creator_team).slug for _ in range(5)]

        page = enter(client, cast.consumer).get("/compare/?" + "&".join(f"app={slug}" for slug in slugs))

        assert [one.listing.app.slug for one in page.context["compared"]] == slugs[:4]


class TestCollections:
    def test_are_in_the_operator_s_order(self, cast: Cast, collection: Collection, client: Client) -> None:
        page = enter(client, cast.consumer).get("/collections/start/").content.decode()

        assert page.index("Ours alone.") < page.index("First choice.")

    def test_are_written_on_a_page(self, cast: Cast, app: App, client: Client) -> None:
        data = {"slug": "new", "title": "New ones", "items": "polite-rewriter: Try it: now", "is_shown": "on"}

        enter(client, cast.operator).post("/operator/collections/new/", data)

        item = Collection.objects.get(slug="new").items.get()
        assert (item.app, item.position, item.note) == (app, 1, "Try it: now")

    def test_name_an_app_that_is_not_there(self, cast: Cast, client: Client) -> None:
        data = {"slug": "new", "title": "New ones", "items": "nothing"}

        page = enter(client, cast.operator).post("/operator/collections/new/", data)

        assert "Not in the catalogue: nothing." in page.content.decode()
        assert not Collection.objects.exists()

    def test_are_not_written_by_consumers(self, cast: Cast, collection: Collection, client: Client) -> None:
        enter(client, cast.consumer)

        assert client.post("/operator/collections/new/", {"slug": "x", "title": "X"}).status_code == 403
        assert client.post("/operator/collections/start/remove/").status_code == 403


class TestSavedSearches:
    def test_keep_the_address(self, cast: Cast, app: App, client: Client) -> None:
        enter(client, cast.consumer).post(
            "/searches/", {"name": "Kinder", "query": "q=rewriter&sort=", "tells": "on"}
        )

        saved = SavedSearch.objects.get()
        assert (saved.person, saved.query, saved.tells) == (cast.consumer, "q=rewriter", True)

    def test_are_removed_by_their_person_only(self, cast: Cast, app: App, client: Client) -> None:
        enter(client, cast.consumer).post("/searches/", {"name": "Kinder", "query": "q=rewriter"})
        path = f"/searches/{SavedSearch.objects.get().pk}/remove/"

        assert enter(client, cast.stranger).post(path).status_code == 404
        assert enter(client, cast.consumer).post(path).status_code == 302
        assert not SavedSearch.objects.exists()


class TestWishes:
    def test_are_told_to_makers_of_the_organization(self, cast: Cast, client: Client) -> None:
        for _ in range(2):
            enter(client, cast.consumer).post("/wishes/", {"text": "Read a delivery note"})

        assert AppWish.objects.count() == 1
        assert Notice.objects.get().recipient == cast.creator

    def test_are_not_shown_to_a_stranger(self, cast: Cast, client: Client) -> None:
        enter(client, cast.consumer).post("/wishes/", {"text": "Read a delivery note"})
        path = f"/wishes/{AppWish.objects.get().pk}/withdraw/"

        assert "delivery note" not in enter(client, cast.stranger).get("/wishes/").content.decode()
        assert client.post(path).status_code == 404


class TestRatings:
    def test_are_reported_hidden_and_shown_again(self, cast: Cast, rating: Rating, client: Client) -> None:
        path = f"/catalog/polite-rewriter/ratings/{rating.pk}/report/"
        enter(client, cast.stranger).post(path, {"reason": "Rude"})
        assert Notice.objects.get(recipient=cast.operator).text.endswith("Rude")

        enter(client, cast.operator).post(
            f"/operator/ratings/{rating.pk}/hide/", {"reason": "Not about the app"}
        )
        assert (
            "Kind."
            not in enter(client, cast.stranger).get("/catalog/polite-rewriter/ratings/").content.decode()
        )
        author = enter(client, cast.consumer).get("/catalog/polite-rewriter/ratings/").content.decode()
        assert "Not about the app" in author

        enter(client, cast.operator).post(f"/operator/ratings/{rating.pk}/show/")
        assert "Kind." in client.get("/catalog/polite-rewriter/ratings/").content.decode()

    def test_are_withdrawn_by_their_author_only(self, cast: Cast, rating: Rating, client: Client) -> None:
        path = f"/catalog/polite-rewriter/ratings/{rating.pk}/withdraw/"

        assert enter(client, cast.stranger).post(path).status_code == 404
        assert enter(client, cast.consumer).post(path).status_code == 302
        assert not Rating.objects.exists()


class TestVersions:
    def test_tell_what_changed_but_not_the_prompt(self, cast: Cast, app: App, client: Client) -> None:
        make_version(app, number=2, slo_latency_ms=900, prompt_template="Rewrite: {{ text }}")

        page = enter(client, cast.consumer).get("/catalog/polite-rewriter/versions/").content.decode()

        assert "900 ms" in page
        assert "Its prompt or instructions were changed" in page
        assert "Rewrite: {{ text }}" not in page
