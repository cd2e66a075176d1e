import pytest

from marketplace.catalog.models import App
from tests.catalog.test_listing_api import with_key
from tests.conftest import Cast
from tests.factories import make_listed_app


@pytest.fixture
def app(cast: Cast) -> App:
    return make_listed_app(cast.creator_team, slug="rewriter", name="Rewriter", is_public=False)


class TestCollections:
    BODY = {"title": "Start", "items": [{"app": "rewriter", "note": "First."}]}

    def test_are_written_by_operators_and_read_by_who_may_see_the_apps(self, cast: Cast, app: App) -> None:
        made = with_key(cast.operator).put("/api/v1/collections/start", self.BODY, format="json")

        assert made.json()["items"] == [{"app": "rewriter", "note": "First."}]
        reader = with_key(cast.consumer)
        assert [(row["slug"], row["size"]) for row in reader.get("/api/v1/collections").json()] == [
            ("start", 1)
        ]
        assert reader.get("/api/v1/collections/start").json() == made.json()

    def test_are_not_there_for_a_stranger_who_sees_none_of_their_apps(self, cast: Cast, app: App) -> None:
        with_key(cast.operator).put("/api/v1/collections/start", self.BODY, format="json")
        stranger = with_key(cast.stranger)

        assert stranger.get("/api/v1/collections").json() == []
        assert stranger.get("/api/v1/collections/start").status_code == 404
        assert stranger.put("/api/v1/collections/start", self.BODY, format="json").status_code == 403
        assert stranger.delete("/api/v1/collections/start").status_code == 403

    def test_are_removed(self, cast: Cast, app: App) -> None:
        client = with_key(cast.operator)
        client.put("/api/v1/collections/start", self.BODY, format="json")

        assert client.delete("/api/v1/collections/start").status_code == 204
        assert client.get("/api/v1/collections/start").status_code == 404


class TestSavedSearches:
    def test_are_kept_listed_and_removed(self, cast: Cast, app: App) -> None:
        client = with_key(cast.consumer)
        body = {"name": "Rewriters", "query": "q=rewriter&nonsense=1"}

        made = client.post("/api/v1/saved-searches", body, format="json")

        assert (made.status_code, made.json()["query"], made.json()["tells"]) == (201, "q=rewriter", True)
        assert [row["id"] for row in client.get("/api/v1/saved-searches").json()] == [made.json()["id"]]
        path = f"/api/v1/saved-searches/{made.json()['id']}"
        assert with_key(cast.stranger).delete(path).status_code == 404
        assert client.delete(path).status_code == 204

    def test_refuse_a_search_for_nothing(self, cast: Cast) -> None:
        answer = with_key(cast.consumer).post(
            "/api/v1/saved-searches", {"name": "All", "query": "x=1"}, format="json"
        )

        assert (answer.status_code, answer.json()["errors"][0]["field"]) == (400, "query")
