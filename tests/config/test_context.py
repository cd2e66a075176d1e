import pytest
from django.test import Client, RequestFactory
from django.urls import reverse
from pytest_django import DjangoAssertNumQueries, Settings

from marketplace.accounts.access import actor_for
from marketplace.accounts.models import User
from marketplace.config import context
from marketplace.core.notices import notify
from tests.conftest import Cast
from tests.factories import NOW

FOR_ALL = ["Home", "Catalogue", "Subscriptions", "Usage", "Notices", "Teams", "Keys"]


def site(person: User, path: str = "/") -> dict:
    request = RequestFactory().get(path)
    request.user, request.actor = person, actor_for(person)  # type: ignore[attr-defined]
    return context.site(request)


def labels(found: dict) -> set[str]:
    return {section["label"] for section in found["nav"]}


class TestNavigation:
    @pytest.mark.parametrize("section", context.SECTIONS, ids=lambda section: section.label)
    def test_leads_to_pages_that_exist(self, section: context.Section) -> None:
        assert reverse(section.url_name)

    def test_shows_everybody_what_everybody_uses(self, cast: Cast) -> None:
        for person in (
            cast.creator,
            cast.consumer,
            cast.approver,
            cast.finance,
            cast.operator,
            cast.stranger,
        ):
            assert labels(site(person)) >= set(FOR_ALL)

    def test_shows_roles_their_own_places(self, cast: Cast) -> None:
        for label, role in (("My apps", "creator"), ("Reviews", "approver")):
            assert label in labels(site(getattr(cast, role)))
            assert label not in labels(site(cast.consumer))

    @pytest.mark.parametrize(
        ("path", "label"),
        [
            ("/", "Home"),
            ("/catalog/where2eat/subscribe/", "Catalogue"),
            ("/teams/", "Teams"),
            ("/elsewhere/", None),
        ],
    )
    def test_marks_the_place_one_is_in(self, cast: Cast, path: str, label: str | None) -> None:
        current = [s["label"] for s in site(cast.consumer, path)["nav"] if s["is_current"]]

        assert current == ([label] if label else [])

    def test_marks_the_place_that_pages_elsewhere_belong_to(self, cast: Cast) -> None:
        current = [s["label"] for s in site(cast.operator, "/operator/re-ratings/")["nav"] if s["is_current"]]

        assert current == ["Rate cards"]

    def test_counts_unread_notices(self, cast: Cast) -> None:
        notify([cast.consumer], text="News.", at=NOW, key="a")

        found = site(cast.consumer)

        assert [s["count"] for s in found["nav"] if s["label"] == "Notices"] == [1]

    def test_takes_one_query_beyond_the_person(
        self, cast: Cast, django_assert_num_queries: DjangoAssertNumQueries
    ) -> None:
        request = RequestFactory().get("/")
        request.user, request.actor = cast.finance, actor_for(cast.finance)  # type: ignore[attr-defined]

        with django_assert_num_queries(1):
            context.site(request)


class TestDemoRoles:
    def test_let_people_change_over(self, cast: Cast, settings: Settings) -> None:
        settings.DEMO = True

        roles = site(cast.finance)["demo_roles"]

        assert [(role["role"], role["is_current"]) for role in roles] == [
            ("creator", False),
            ("consumer", False),
            ("approver", False),
            ("finance", True),
            ("operator", False),
        ]

    def test_are_absent_outside_the_demo(self, cast: Cast, settings: Settings) -> None:
        settings.DEMO = False

        assert site(cast.finance)["demo_roles"] == []


class TestErrorPages:
    def test_are_drawn_without_a_person(self, db: None, client: Client, settings: Settings) -> None:
        settings.DEBUG = False

        response = client.get("/nothing/here/")

        assert response.status_code == 404
        assert "There is nothing here" in response.content.decode()
