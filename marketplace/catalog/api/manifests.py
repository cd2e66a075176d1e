"""/manifests: an app as a file, exported, checked, and imported as a draft; and the published schema of such files."""

from collections.abc import Mapping
from typing import IO, Any

from django.conf import settings
from django.http import HttpResponse
from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers, status, viewsets
from rest_framework.decorators import action
from rest_framework.parsers import BaseParser
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response

from marketplace.accounts import access
from marketplace.accounts.access import Role
from marketplace.accounts.requests import actor_of
from marketplace.catalog import manifest_files, manifests, queries_creator
from marketplace.catalog.api.apps import AppSerializer
from marketplace.catalog.manifest_schema import PATH, SCHEMA
from marketplace.catalog.models import App, Version
from marketplace.core.errors import InvalidInput, NotFound

_FILE = {
    "type": "object",
    "description": f"A manifest; its JSON Schema is at {PATH}.",
    "externalDocs": {"url": PATH},
}
FILE = {"application/json": _FILE, "application/yaml": _FILE}
TEAM = OpenApiParameter(
    "team", str, description="Slug of the team that will own a new app; needed when you create for several."
)


class JsonManifestParser(BaseParser):
    """Reads a manifest in JSON exactly: no duplicates, no bounds crossed."""

    media_type = "application/json"

    def parse(
        self,
        stream: IO[bytes],
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        return manifest_files.read(stream.read(manifest_files.MAX_BYTES + 1))


class YamlManifestParser(JsonManifestParser):
    """Reads a manifest in YAML."""

    media_type = "application/yaml"


class CheckedManifestSerializer(serializers.Serializer):
    """What importing a manifest would do, and what to look at before."""

    app = serializers.CharField(
        allow_null=True, help_text="The app whose draft it would edit; null: a new one."
    )
    kind = serializers.CharField()
    warnings = serializers.ListField(child=serializers.CharField())


class ManifestViewSet(viewsets.ViewSet):
    """Apps of your teams as manifest files."""

    lookup_field = "slug"
    lookup_value_regex = "[-a-zA-Z0-9_]+"
    parser_classes = [JsonManifestParser, YamlManifestParser]

    @extend_schema(
        parameters=[
            OpenApiParameter("form", str, enum=["json", "yaml"], description="Default json."),
            OpenApiParameter("version", int, description="Number of a version; default the newest."),
        ],
        responses={(200, "application/json"): _FILE, (200, "application/yaml"): OpenApiTypes.STR},
    )
    def retrieve(self, request: Request, slug: str) -> HttpResponse:
        """Export an app of your teams."""
        app = access.get(queries_creator.owned_apps(actor_of(request)), slug=slug)
        version = _version(app, request.query_params.get("version", ""))
        form = request.query_params.get("form", "json")
        if form not in manifest_files.MEDIA_TYPES:
            raise InvalidInput("form", "must be json or yaml", code="unknown_choice")
        text = manifest_files.write(manifests.export(version), form=form)
        return HttpResponse(text, content_type=f"{manifest_files.MEDIA_TYPES[form]}; charset=utf-8")

    @extend_schema(request=FILE, parameters=[TEAM], responses={200: AppSerializer, 201: AppSerializer})
    def create(self, request: Request) -> Response:
        """Import a manifest as a draft: of the app it names if that is yours, else of a new one."""
        manifest = manifests.read(_sent(request), allow_http=bool(settings.EGRESS_ALLOW))
        actor, now = actor_of(request), timezone.now()
        app = queries_creator.owned_apps(actor).filter(slug=manifest.slug).first() if manifest.slug else None
        if app is not None:
            manifests.import_over(app, manifest, by=actor.user, at=now)
        else:
            team = _team(actor, request.query_params.get("team", ""))
            app = manifests.import_new(manifest, team=team, by=actor.user, at=now).app
        shown = access.get(queries_creator.with_versions(queries_creator.owned_apps(actor)), pk=app.pk)
        is_new = shown.created_at == now
        code = status.HTTP_201_CREATED if is_new else status.HTTP_200_OK
        return Response(AppSerializer(shown).data, status=code)

    @extend_schema(request=FILE, responses=CheckedManifestSerializer)
    @action(detail=False, methods=["post"])
    def check(self, request: Request) -> Response:
        """Check a manifest without importing it."""
        manifest = manifests.read(_sent(request), allow_http=bool(settings.EGRESS_ALLOW))
        app = queries_creator.owned_apps(actor_of(request)).filter(slug=manifest.slug).first()
        body = {
            "app": app.slug if app else None,
            "kind": manifest.kind,
            "warnings": manifests.warnings_about(manifest),
        }
        return Response(CheckedManifestSerializer(body).data)

    @extend_schema(responses={(200, "application/schema+json"): OpenApiTypes.OBJECT}, auth=[])
    @action(
        detail=False,
        methods=["get"],
        url_path="schema",
        url_name="schema",
        permission_classes=[AllowAny],
        authentication_classes=[],
    )
    def published_schema(self, request: Request) -> HttpResponse:
        """Show the JSON Schema of manifests; open to everybody."""
        text = manifest_files.write(SCHEMA, form="json")
        return HttpResponse(text, content_type="application/schema+json; charset=utf-8")


def _sent(request: Request) -> dict[str, Any]:
    data = request.data
    if not isinstance(data, dict) or not data:
        raise InvalidInput(manifest_files.FIELD, "is missing: send a file in JSON or YAML", code="required")
    return data


def _version(app: App, number: str) -> Version:
    if not number:
        return queries_creator.newest_version(app)
    if not number.isdecimal():
        raise NotFound("version", number)
    return access.get(app.versions.select_related("app__owner_team__organization", "plan"), number=number)


def _team(actor: access.Actor, slug: str) -> Any:
    teams = access.own_teams(actor, role=Role.CREATOR).order_by("name")
    if slug:
        return access.get(teams, slug=slug)
    found = list(teams[:2])
    access.require(bool(found), message="This is for creators of a team only.")
    if len(found) > 1:
        raise InvalidInput("team", "is missing: name one of the teams you create for", code="required")
    return found[0]


ROUTES = [("manifests", ManifestViewSet, "manifest")]
