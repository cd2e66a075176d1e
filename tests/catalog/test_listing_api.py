import pytest
from pytest_django import DjangoAssertNumQueries
from rest_framework.test import APIClient

from marketplace.accounts import people
from marketplace.accounts.models import User
from marketplace.catalog import listings
from tests.conftest import Cast
from tests.factories import NOW, make_app, make_plan, make_version

FEE = {"code": "fee", "model": "flat", "amount": "50", "prorate": True}


def with_key(person: User) -> APIClient:
    _, text = people.issue_personal_key(person, by=person, at=NOW)
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {text}")
    return client


@pytest.fixture
def world(cast: Cast) -> None:
    for slug, category, is_public in (
        ("alpha", "writing", True),
        ("beta", "data", True),
        ("secret", "data", False),
    ):
        app = make_app(
            cast.creator_team, slug=slug, name=slug.capitalize(), category=category, is_public=is_public
        )
        make_plan(app, code="standard", charges=[FEE])
        listings.publish(app, version=make_version(app), at=NOW)


def slugs(answer: dict) -> list[str]:
    return [row["slug"] for row in answer["results"]]


@pytest.mark.usefixtures("world")
class TestListings:
    def test_lists_with_facets(self, cast: Cast) -> None:
        answer = with_key(cast.consumer).get("/api/v1/listings").json()

        assert slugs(answer) == ["alpha", "beta", "secret"]
        assert (answer["count"], answer["next"], answer["previous"]) == (3, None, None)
        assert answer["facets"]["category"] == [
            {"value": "data", "label": "Data", "count": 2},
            {"value": "writing", "label": "Writing", "count": 1},
        ]
        assert answer["facets"]["team"] == [{"value": "demo/team-ux", "label": "UX", "count": 3}]

    def test_searches_and_narrows(self, cast: Cast) -> None:
        client = with_key(cast.consumer)

        assert slugs(client.get("/api/v1/listings?q=alp").json()) == ["alpha"]
        assert slugs(client.get("/api/v1/listings?category=data").json()) == ["beta", "secret"]
        assert slugs(client.get("/api/v1/listings?price=free").json()) == []
        typo = client.get("/api/v1/listings?q=alpah").json()
        assert (slugs(typo), typo["is_close_match"]) == (["alpha"], True)

    def test_goes_page_by_page(self, cast: Cast) -> None:
        client = with_key(cast.consumer)

        first = client.get("/api/v1/listings?limit=2&sort=name").json()
        second = client.get(first["next"]).json()

        assert (slugs(first), slugs(second)) == (["alpha", "beta"], ["secret"])

    def test_shows_one_with_its_plans(self, cast: Cast) -> None:
        row = with_key(cast.consumer).get("/api/v1/listings/alpha").json()

        assert row["owner_team"] == "team-ux"
        assert row["slo_availability_percent"] == "99.50"
        [plan] = row["plans"]
        assert (plan["code"], plan["terms"]["fee"], plan["terms"]["currency"]) == ("standard", "50", "USD")

    def test_hides_private_apps_from_a_stranger(self, cast: Cast) -> None:
        client = with_key(cast.stranger)

        assert slugs(client.get("/api/v1/listings").json()) == ["alpha", "beta"]
        missing = client.get("/api/v1/listings/secret")
        assert (missing.status_code, missing["Content-Type"]) == (404, "application/problem+json")

    def test_wants_a_key(self, db: None) -> None:
        assert APIClient().get("/api/v1/listings").status_code == 401

    def test_keeps_to_its_budget_of_queries(
        self, cast: Cast, django_assert_max_num_queries: DjangoAssertNumQueries
    ) -> None:
        client = with_key(cast.consumer)

        with django_assert_max_num_queries(12):
            client.get("/api/v1/listings?q=alpha")
