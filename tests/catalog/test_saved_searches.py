import pytest

from marketplace.accounts.access import Actor, actor_for
from marketplace.accounts.models import Membership
from marketplace.catalog import saved_searches
from marketplace.catalog.discovery_models import SavedSearch
from marketplace.catalog.searching import Filters
from marketplace.core.errors import InvalidInput
from marketplace.core.models import Notice
from tests.conftest import Cast
from tests.factories import NOW, make_listed_app

FILTERS = Filters.of("rewriter")


@pytest.fixture
def consumer(cast: Cast) -> Actor:
    return actor_for(cast.consumer)


def keep(by: Actor, filters: Filters = FILTERS, query: str = "q=rewriter") -> SavedSearch:
    return saved_searches.save(name="Rewriters", query=query, filters=filters, tells=True, by=by, at=NOW)


def tell(saved: SavedSearch) -> int:
    return saved_searches.tell_new(saved, FILTERS, at=NOW)


class TestTellNew:
    def test_tells_of_each_new_app_once(self, cast: Cast, consumer: Actor) -> None:
        make_listed_app(cast.creator_team, name="Old rewriter")
        saved = keep(consumer)
        assert tell(saved) == 0

        make_listed_app(cast.creator_team, slug="new", name="New rewriter")
        make_listed_app(cast.creator_team, name="Translator")

        assert (tell(saved), tell(saved)) == (1, 0)
        notice = Notice.objects.get(recipient=cast.consumer)
        assert (notice.path, "New rewriter" in notice.text) == ("/catalog/new/", True)

    def test_tells_of_an_app_that_begins_to_match(self, cast: Cast, consumer: Actor) -> None:
        app = make_listed_app(cast.creator_team, name="Softener")
        saved = keep(consumer)

        app.name = "Softener and rewriter"
        app.save()

        assert tell(saved) == 1

    def test_does_not_tell_of_what_the_person_may_not_see(self, cast: Cast) -> None:
        saved = keep(actor_for(cast.stranger))

        make_listed_app(cast.creator_team, name="Secret rewriter", is_public=False)

        assert tell(saved) == 0

    def test_does_not_tell_who_has_left_of_what_they_saw(self, cast: Cast, consumer: Actor) -> None:
        saved = keep(consumer)
        make_listed_app(cast.creator_team, name="Secret rewriter", is_public=False)

        Membership.objects.filter(user=cast.consumer).delete()

        assert tell(saved) == 0


class TestSave:
    def test_keeps_the_same_search_once(self, consumer: Actor, db: None) -> None:
        assert keep(consumer) == keep(consumer)

    def test_refuses_a_search_for_everything(self, consumer: Actor) -> None:
        with pytest.raises(InvalidInput, match="Search for something"):
            keep(consumer, Filters(), "")

    def test_refuses_a_search_that_finds_too_much(
        self, cast: Cast, consumer: Actor, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(saved_searches, "MOST_MATCHES", 1)
        for _ in range(2):
            make_listed_app(cast.creator_team, name="Rewriter")

        with pytest.raises(saved_searches.TooWide):
            keep(consumer)
