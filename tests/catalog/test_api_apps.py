from typing import Any

import pytest
from pytest_django import DjangoAssertNumQueries
from rest_framework.test import APIClient

from marketplace.accounts import keys
from marketplace.accounts.models import User
from marketplace.catalog import checks
from marketplace.catalog.models import App, SmokeRun, Version
from tests.catalog.making import finish_calls, make_draft, make_review, make_submitted
from tests.conftest import Cast
from tests.factories import NOW, make_listed_app

APPS = "/api/v1/apps"


def client_of(user: User) -> APIClient:
    """A client with the person's own key."""
    organization = user.memberships.first().organization  # type: ignore[union-attr]
    _, key = keys.issue(kind="pat", organization=organization, user=user, at=NOW, by=user)
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {key}")
    return client


@pytest.fixture
def creator(cast: Cast) -> APIClient:
    return client_of(cast.creator)


def new_app(**fields: Any) -> dict[str, Any]:
    return {"template": "rewriter", "team": "team-ux", **fields}


class TestCreate:
    def test_starts_a_draft_from_a_template(self, creator: APIClient) -> None:
        response = creator.post(APPS, new_app(name="Mail polisher", plan={"fee": "12.50", "markup": "0.30"}))

        body = response.json()
        assert response.status_code == 201
        assert (body["slug"], body["owner_team"], body["organization"]) == (
            "mail-polisher",
            "team-ux",
            "demo",
        )
        assert body["listed_version"] is None
        assert (body["version"]["number"], body["version"]["state"]) == (1, "draft")
        assert body["version"]["declared_cost_per_call"] == "0.001"
        assert body["version"]["plan"] == {
            "currency": "USD",
            "fee": "12.5",
            "free_calls": 50,
            "price_per_call": "0.003",
            "markup": "0.3",
            "daily_calls_limit": 1000,
            "monthly_calls_limit": 20000,
            "trial_days": 0,
        }

    def test_takes_a_typed_input_schema(self, creator: APIClient) -> None:
        schema = {
            "type": "object",
            "properties": {
                "city": {"type": "string", "maxLength": 80},
                "guests": {"type": "integer", "minimum": 1},
            },
            "required": ["city"],
        }
        response = creator.post(
            APPS,
            new_app(
                slug="where2eat",
                input_schema=schema,
                prompt_template="Where to eat in {{ city }}?",
                example_input={"city": "Oslo", "guests": 2},
                declared_cost_per_call="0.0002",
            ),
        )

        assert response.status_code == 201
        version = Version.objects.get()
        assert version.app.slug == "where2eat"
        assert version.input_schema["properties"]["guests"] == {
            "type": "number",
            "title": "Guests",
            "minimum": 1,
        }
        assert str(version.declared_cost_per_call) == "0.000200000000000000"

    @pytest.mark.parametrize(
        ("body", "field"),
        [
            ({"team": "team-ux"}, "template"),
            (new_app(template="unknown"), "template"),
            (new_app(plan={"fee": 0.5}), "plan.fee"),
            (new_app(plan={"fee": "-1"}), "plan.fee"),
            (new_app(plan={"surprise": "1"}), "plan.surprise"),
            (new_app(declared_cost_per_call=0.5), "declared_cost_per_call"),
            (new_app(declared_cost_per_call="1e3"), "declared_cost_per_call"),
            (new_app(expected_monthly_calls=0), "expected_monthly_calls"),
            (new_app(owner_contact="nobody"), "owner_contact"),
            (new_app(input_schema={"type": "array"}), "input_schema"),
            (new_app(icon="no-such-icon"), "icon"),
            (new_app(slug="run"), "slug"),
        ],
    )
    def test_answers_problem_details_that_name_the_field(
        self, creator: APIClient, body: dict[str, Any], field: str
    ) -> None:
        response = creator.post(APPS, body)

        assert response.status_code == 400
        assert response["Content-Type"] == "application/problem+json"
        assert field in {error["field"] for error in response.json()["errors"]}
        assert not App.objects.exists()

    def test_gives_an_app_only_to_a_team_of_ones_own(self, creator: APIClient) -> None:
        assert creator.post(APPS, new_app(team="team-ops")).status_code == 404
        assert creator.post(APPS, new_app(team="strangers")).status_code == 404

    def test_needs_a_key(self, db: None) -> None:
        assert APIClient().post(APPS, new_app()).status_code == 401


class TestReadAndEdit:
    def test_lists_the_apps_of_ones_teams(
        self, creator: APIClient, cast: Cast, django_assert_max_num_queries: DjangoAssertNumQueries
    ) -> None:
        for _ in range(3):
            make_draft(cast)

        with django_assert_max_num_queries(12):
            body = creator.get(APPS).json()

        assert [app["slug"] for app in body["results"]] == [
            "polite-rewriter-3",
            "polite-rewriter-2",
            "polite-rewriter",
        ]
        assert (body["next"], body["previous"]) == (None, None)

    def test_edits_what_is_sent_and_leaves_the_rest(self, creator: APIClient, cast: Cast) -> None:
        slug = make_draft(cast).app.slug

        response = creator.patch(f"{APPS}/{slug}", {"name": "Mail polisher", "plan": {"free_calls": 10}})

        body = response.json()
        assert response.status_code == 200
        assert body["version"]["about"]["name"] == "Mail polisher"
        assert body["version"]["plan"]["free_calls"] == 10
        assert body["version"]["plan"]["price_per_call"] == "0.003"
        assert body["version"]["prompt_template"].startswith("Rewrite the following")

    @pytest.mark.parametrize("field", ["state", "owner_team", "signing_secret", "submitted_by"])
    def test_refuses_what_is_not_the_makers_to_set(self, creator: APIClient, cast: Cast, field: str) -> None:
        slug = make_draft(cast).app.slug

        response = creator.patch(f"{APPS}/{slug}", {field: "listed"})

        assert response.status_code == 400
        assert Version.objects.get().state == "draft"

    def test_says_conflict_once_submitted(self, creator: APIClient, cast: Cast) -> None:
        run = make_submitted(cast)

        response = creator.patch(f"{APPS}/{run.version.app.slug}", {"name": "Late"})

        assert response.status_code == 409
        assert response.json()["code"] == "not_editable"

    def test_never_shows_the_signing_secret(self, creator: APIClient, cast: Cast) -> None:
        version = make_draft(cast, "http-app")

        assert version.signing_secret not in creator.get(f"{APPS}/{version.app.slug}").content.decode()

    @pytest.mark.parametrize("who", ["stranger", "consumer"])
    @pytest.mark.parametrize(
        ("method", "path"),
        [
            ("get", ""),
            ("patch", ""),
            ("put", ""),
            ("get", "/versions"),
            ("post", "/versions"),
            ("post", "/submit"),
            ("get", "/checks"),
            ("post", "/checks"),
            ("post", "/withdraw"),
        ],
    )
    def test_is_unknown_to_everybody_else(self, cast: Cast, who: str, method: str, path: str) -> None:
        slug = make_draft(cast).app.slug
        client = client_of(getattr(cast, who))

        response = getattr(client, method)(f"{APPS}/{slug}{path}")

        assert response.status_code == 404
        assert response["Content-Type"] == "application/problem+json"
        assert client.get(APPS).json()["results"] == []


class TestVersions:
    def test_starts_the_next_one(self, creator: APIClient, cast: Cast) -> None:
        app = make_listed_app(cast.creator_team)

        response = creator.post(f"{APPS}/{app.slug}/versions")

        assert response.status_code == 201
        listed = creator.get(f"{APPS}/{app.slug}/versions").json()["results"]
        assert [(one["number"], one["state"]) for one in listed] == [(2, "draft"), (1, "listed")]
        assert creator.post(f"{APPS}/{app.slug}/versions").status_code == 409


class TestSubmitAndChecks:
    def test_queues_a_check_that_can_be_followed(self, creator: APIClient, cast: Cast) -> None:
        slug = make_draft(cast).app.slug

        response = creator.post(f"{APPS}/{slug}/submit")

        assert response.status_code == 202
        assert response.json()["version"]["state"] == "checking"
        check = creator.get(f"{APPS}/{slug}/checks").json()["results"][0]
        assert check == response.json()["check"]
        assert (check["state"], check["planned_calls"], check["mean_cost"]) == ("queued", 20, None)

    def test_says_everything_that_is_missing(self, creator: APIClient, cast: Cast) -> None:
        slug = make_draft(cast, prompt_template="", allowed_models=[]).app.slug

        response = creator.post(f"{APPS}/{slug}/submit")

        assert response.status_code == 400
        assert {error["field"] for error in response.json()["errors"]} == {
            "prompt_template",
            "allowed_models",
        }

    def test_is_refused_twice(self, creator: APIClient, cast: Cast) -> None:
        slug = make_submitted(cast).version.app.slug

        assert creator.post(f"{APPS}/{slug}/submit").status_code == 409

    def test_shows_amounts_as_texts(self, creator: APIClient, cast: Cast) -> None:
        slug = make_review(cast).version.app.slug

        check = creator.get(f"{APPS}/{slug}/checks").json()["results"][0]

        assert (check["state"], check["mean_cost"], check["currency"]) == ("passed", "0.0005", "USD")

    def test_repeats_a_check_that_could_not_be_finished(self, creator: APIClient, cast: Cast) -> None:
        run = checks.start(make_submitted(cast).pk, at=NOW)
        slug = run.version.app.slug
        assert creator.post(f"{APPS}/{slug}/checks").status_code == 409
        finish_calls(run, [], at=NOW, stopped_because="No provider answers.")

        assert creator.post(f"{APPS}/{slug}/checks").status_code == 202
        assert SmokeRun.objects.count() == 2

    def test_withdraws(self, creator: APIClient, cast: Cast) -> None:
        slug = make_submitted(cast).version.app.slug

        response = creator.post(f"{APPS}/{slug}/withdraw", {"reason": "Not yet."})

        assert (response.status_code, response.json()["state"]) == (200, "withdrawn")
