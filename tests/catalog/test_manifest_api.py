"""/manifests and the pages that take and give manifest files."""

import json
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse
from jsonschema import Draft202012Validator
from rest_framework.test import APIClient

from marketplace.catalog import manifest_files, manifests
from marketplace.catalog.models import App, Version
from tests import factories
from tests.catalog.making import make_draft
from tests.catalog.test_api_apps import client_of
from tests.conftest import Cast

MANIFESTS = "/api/v1/manifests"
YAML = "application/yaml"


@pytest.fixture
def creator(cast: Cast) -> APIClient:
    return client_of(cast.creator)


@pytest.fixture
def data(cast: Cast) -> dict[str, Any]:
    return manifests.export(make_draft(cast))


def as_yaml(data: dict[str, Any]) -> str:
    return manifest_files.write(data, form="yaml")


class TestSchema:
    def test_is_open_to_everybody_and_valid(self, db: None, client: Client) -> None:
        response = client.get(f"{MANIFESTS}/schema")

        schema = response.json()
        assert response["Content-Type"].startswith("application/schema+json")
        Draft202012Validator.check_schema(schema)
        assert schema["$id"] == "/api/v1/manifests/schema"

    def test_accepts_what_is_exported(self, client: Client, data: dict[str, Any]) -> None:
        schema = client.get(f"{MANIFESTS}/schema").json()

        assert list(Draft202012Validator(schema).iter_errors(data)) == []


class TestExport:
    def test_gives_either_form(self, creator: APIClient, data: dict[str, Any]) -> None:
        as_json = creator.get(f"{MANIFESTS}/polite-rewriter")
        as_text = creator.get(f"{MANIFESTS}/polite-rewriter?form=yaml&version=1")

        assert as_json.json() == data
        assert manifest_files.read(as_text.content) == data
        assert as_text["Content-Type"].startswith(YAML)

    def test_is_not_for_a_stranger(self, cast: Cast, data: dict[str, Any]) -> None:
        assert client_of(cast.stranger).get(f"{MANIFESTS}/polite-rewriter").status_code == 404

    @pytest.mark.parametrize("query", ["version=9", "version=x", "version=9999999999999"])
    def test_knows_only_versions_there_are(
        self, creator: APIClient, data: dict[str, Any], query: str
    ) -> None:
        assert creator.get(f"{MANIFESTS}/polite-rewriter?{query}").status_code == 404


class TestImport:
    def test_makes_a_new_draft_of_yaml(self, creator: APIClient, data: dict[str, Any]) -> None:
        del data["app"]["slug"]

        response = creator.post(MANIFESTS, as_yaml(data), content_type=YAML)

        assert response.status_code == 201, response.content
        assert response.json()["slug"] == "polite-rewriter-2"
        assert response.json()["version"]["state"] == "draft"

    def test_edits_the_draft_it_names(self, creator: APIClient, data: dict[str, Any]) -> None:
        data["app"]["summary"] = "Shorter."

        response = creator.post(MANIFESTS, json.dumps(data), content_type="application/json")

        assert response.status_code == 200
        assert Version.objects.get().about["summary"] == "Shorter."

    def test_never_touches_an_app_of_somebody_else(self, cast: Cast, data: dict[str, Any]) -> None:
        away = factories.make_team(cast.stranger.memberships.first().organization)  # type: ignore[union-attr]
        factories.join(cast.stranger, away, "creator")

        response = client_of(cast.stranger).post(
            f"{MANIFESTS}?team={away.slug}", as_yaml(data), content_type=YAML
        )

        assert response.status_code == 400
        assert response.json()["errors"][0]["field"] == "slug"
        assert App.objects.count() == 1

    def test_is_for_creators(self, cast: Cast, data: dict[str, Any]) -> None:
        del data["app"]["slug"]

        assert client_of(cast.consumer).post(MANIFESTS, as_yaml(data), content_type=YAML).status_code == 403

    def test_names_the_path_of_what_is_wrong(self, creator: APIClient, data: dict[str, Any]) -> None:
        data["inputs"][0]["max_length"] = 30_000

        response = creator.post(MANIFESTS, as_yaml(data), content_type=YAML)

        assert response.status_code == 400
        (error,) = response.json()["errors"]
        assert (error["field"], error["limit"]) == ("inputs[0].max_length", "20000")

    @pytest.mark.parametrize("body", ["", "a: *b", "{"])
    def test_refuses_what_cannot_be_read(self, creator: APIClient, body: str) -> None:
        response = creator.post(MANIFESTS, body, content_type=YAML)

        assert response.status_code == 400
        assert response.json()["errors"][0]["field"] == "manifest"


class TestCheck:
    def test_changes_nothing_and_warns_of_unknown_models(
        self, creator: APIClient, data: dict[str, Any]
    ) -> None:
        data["app"]["summary"] = "Shorter."

        response = creator.post(f"{MANIFESTS}/check", as_yaml(data), content_type=YAML)

        assert response.status_code == 200
        assert response.json()["app"] == "polite-rewriter"
        assert "there is no model" in response.json()["warnings"][0]
        assert Version.objects.get().about["summary"] != "Shorter."


class TestPages:
    def test_take_a_file_and_lead_to_the_draft(
        self, cast: Cast, client: Client, data: dict[str, Any]
    ) -> None:
        del data["app"]["slug"]
        client.force_login(cast.creator)
        file = SimpleUploadedFile("app.yaml", as_yaml(data).encode())

        response = client.post(
            reverse("catalog:manifest-import"), {"file": file, "team": cast.creator_team.pk, "then": "import"}
        )

        assert response["Location"] == reverse("catalog:creator-app", args=["polite-rewriter-2"])

    def test_check_only_when_asked(self, cast: Cast, client: Client, data: dict[str, Any]) -> None:
        del data["app"]["slug"]
        client.force_login(cast.creator)
        given = {"text": as_yaml(data), "team": cast.creator_team.pk, "then": "check"}

        page = client.post(reverse("catalog:manifest-import"), given).content.decode()

        assert "can be imported" in page
        assert App.objects.count() == 1

    def test_show_every_error_with_its_path_and_keep_the_text(
        self, cast: Cast, client: Client, data: dict[str, Any]
    ) -> None:
        data["plan"]["fee"] = 1.5
        client.force_login(cast.creator)
        given = {"text": as_yaml(data), "team": cast.creator_team.pk}

        page = client.post(reverse("catalog:manifest-import"), given).content.decode()

        assert "<code>plan.fee</code> must be a text in quotes" in page
        assert "fee: 1.5" in page

    def test_give_the_app_as_a_file_to_its_makers_only(
        self, cast: Cast, client: Client, data: dict[str, Any]
    ) -> None:
        address = reverse("catalog:manifest-export", args=["polite-rewriter", "yaml"])
        client.force_login(cast.creator)
        given = client.get(address)
        client.force_login(cast.stranger)

        assert manifest_files.read(given.content) == data
        assert 'filename="polite-rewriter.yaml"' in given["Content-Disposition"]
        assert client.get(address).status_code == 404

    def test_are_for_creators(self, cast: Cast, client: Client) -> None:
        client.force_login(cast.consumer)

        assert client.get(reverse("catalog:manifest-import")).status_code == 403
