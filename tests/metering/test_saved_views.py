from typing import Any

import pytest
from django.db import IntegrityError, transaction
from django.test import Client

from marketplace.accounts.access import actor_for
from marketplace.accounts.models import User
from marketplace.core.errors import InvalidInput, NotAllowed
from metering.kept import saved_views
from metering.kept.saved_views import NameTaken, remove_view, visible_views
from metering.models import SavedView
from tests import factories
from tests.conftest import Cast
from tests.factories import NOW


def save(
    person: User, name: str = "By team", *, query: str = "group_by=team", is_shared: bool = False
) -> SavedView:
    return saved_views.save_view(name=name, query=query, is_shared=is_shared, at=NOW, by=actor_for(person))


def seen_by(person: User) -> set[str]:
    return {view.name for view in visible_views(actor_for(person))}


class TestSaveView:
    def test_keeps_it_for_oneself(self, cast: Cast) -> None:
        save(cast.finance)

        assert seen_by(cast.finance) == {"By team"}
        assert seen_by(cast.consumer) == set()

    def test_shares_it_in_the_organization_and_not_beyond(self, cast: Cast) -> None:
        save(cast.finance, is_shared=True)

        assert seen_by(cast.consumer) == {"By team"}
        assert seen_by(cast.stranger) == set()

    def test_gives_the_first_one_for_the_same_again(self, cast: Cast) -> None:
        assert save(cast.finance) == save(cast.finance)

    def test_refuses_another_question_under_the_same_name(self, cast: Cast) -> None:
        save(cast.finance)

        with pytest.raises(NameTaken):
            save(cast.finance, query="group_by=app")

        assert save(cast.consumer, query="group_by=app").query == "group_by=app"

    @pytest.mark.parametrize("name", ["", "   ", "x" * 81, "a\0b"])
    def test_refuses_names_that_are_none(self, cast: Cast, name: str) -> None:
        with pytest.raises(InvalidInput):
            save(cast.finance, name)

    def test_has_room_for_some(self, cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(saved_views, "MOST_VIEWS", 1)
        save(cast.finance)

        with pytest.raises(InvalidInput):
            save(cast.finance, "Another")

    def test_is_not_for_people_without_an_organization(self, db: None) -> None:
        with pytest.raises(NotAllowed):
            save(factories.make_user())


class TestRemoveView:
    def test_is_for_who_saved_it(self, cast: Cast) -> None:
        view = save(cast.finance, is_shared=True)

        with pytest.raises(NotAllowed):
            remove_view(view, by=actor_for(cast.consumer))
        remove_view(view, by=actor_for(cast.finance))

        assert seen_by(cast.finance) == set()


class TestConstraints:
    @pytest.mark.parametrize(
        ("change", "constraint"),
        [({"name": ""}, "saved_view_has_name"), ({"name": "By app"}, "saved_view_name_unique")],
    )
    def test_hold(self, cast: Cast, change: dict[str, Any], constraint: str) -> None:
        save(cast.finance, "By app")
        view = save(cast.finance)

        with pytest.raises(IntegrityError, match=constraint), transaction.atomic():
            SavedView.objects.filter(pk=view.pk).update(**change)


class TestPages:
    def test_save_open_and_remove(self, cast: Cast, client: Client) -> None:
        client.force_login(cast.finance)

        page = client.get("/usage/saved/?group_by=team&days=7&nonsense=1").content.decode()
        assert 'value="days=7&amp;group_by=team"' in page
        posted = {"name": "Teams", "query": "days=7&group_by=team&nonsense=1", "is_shared": "on"}
        assert client.post("/usage/saved/views/", posted).status_code == 302
        view = SavedView.objects.get()
        assert (view.query, view.is_shared) == ("days=7&group_by=team", True)
        assert "/usage/?days=7&amp;group_by=team" in client.get("/usage/").content.decode()
        assert client.post(f"/usage/saved/views/{view.pk}/remove/").status_code == 302
        assert not SavedView.objects.exists()

    def test_keep_that_nothing_is_grouped(self, cast: Cast, client: Client) -> None:
        client.force_login(cast.finance)

        client.post("/usage/saved/views/", {"name": "All", "query": "days=7&group_by=&app="})

        assert SavedView.objects.get().query == "days=7&group_by="

    def test_say_what_is_wrong(self, cast: Cast, client: Client) -> None:
        save(cast.finance, "Teams", query="group_by=app")
        client.force_login(cast.finance)

        page = client.post("/usage/saved/views/", {"name": "Teams", "query": "group_by=team"})

        assert "You have a view called" in page.content.decode()

    def test_are_nothing_to_the_stranger(self, cast: Cast, client: Client) -> None:
        view = save(cast.finance, is_shared=True)
        client.force_login(cast.stranger)

        assert "By team" not in client.get("/usage/saved/").content.decode()
        assert client.post(f"/usage/saved/views/{view.pk}/remove/").status_code == 404

    def test_of_others_are_not_removed(self, cast: Cast, client: Client) -> None:
        view = save(cast.finance, is_shared=True)
        client.force_login(cast.consumer)

        assert client.post(f"/usage/saved/views/{view.pk}/remove/").status_code == 403
