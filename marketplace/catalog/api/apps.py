"""/apps: create from a template, edit the draft, submit it, follow its checks."""

from decimal import Decimal
from typing import Any

from django.conf import settings
from django.db.models import QuerySet
from django.utils import timezone
from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import mixins, serializers, status, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from marketplace.accounts import access
from marketplace.accounts.access import Role
from marketplace.accounts.requests import actor_of
from marketplace.catalog import (
    about,
    drafts,
    ownership,
    plans,
    queries_creator,
    submissions,
    templates_library,
)
from marketplace.catalog.api.fields import CheckSerializer, ReasonSerializer, VersionSerializer
from marketplace.catalog.api.transfers import NewTransferSerializer, TransferSerializer
from marketplace.catalog.inputs import inputs_of
from marketplace.catalog.models import App, OutputFormat, SmokeRun, Version
from marketplace.catalog.plan_terms import PlanTerms, parse_terms, terms_of
from marketplace.core.errors import InvalidInput
from marketplace.core.money import parse_amount


class AppSerializer(serializers.ModelSerializer):
    """An app with the version its makers work on and the number of the one that is listed."""

    owner_team = serializers.CharField(source="owner_team.slug", read_only=True)
    organization = serializers.CharField(source="owner_team.organization.slug", read_only=True)
    version = serializers.SerializerMethodField()
    listed_version = serializers.SerializerMethodField()

    class Meta:
        model = App
        fields = (
            "slug", "name", "summary", "description", "category", "icon", "kind", "owner_team", "organization",
            "owner_contact", "is_public", "version", "listed_version", "created_at",
        )  # fmt: skip

    @extend_schema_field(VersionSerializer)
    def get_version(self, app: App) -> dict[str, Any]:
        newest = next(iter(app.versions.all()))
        return VersionSerializer(newest).data

    def get_listed_version(self, app: App) -> int | None:
        return next((one.number for one in app.versions.all() if one.state == Version.State.LISTED), None)


class PlanInputSerializer(serializers.Serializer):
    """Terms to set; what is left out stays."""

    fee = serializers.CharField(required=False)
    free_calls = serializers.IntegerField(required=False)
    price_per_call = serializers.CharField(required=False)
    markup = serializers.CharField(required=False, allow_null=True)
    daily_calls_limit = serializers.IntegerField(required=False)
    monthly_calls_limit = serializers.IntegerField(required=False)
    trial_days = serializers.IntegerField(required=False)


class DraftSerializer(serializers.Serializer):
    """What can be said of an app; everything is optional, amounts are texts."""

    name = serializers.CharField(max_length=80, required=False)
    summary = serializers.CharField(max_length=160, required=False)
    description = serializers.CharField(max_length=4_000, required=False, allow_blank=True)
    category = serializers.SlugField(max_length=40, required=False)
    icon = serializers.ChoiceField(choices=about.ICONS, required=False)
    is_public = serializers.BooleanField(required=False)
    owner_contact = serializers.EmailField(required=False)
    instructions = serializers.CharField(max_length=20_000, required=False, allow_blank=True)
    prompt_template = serializers.CharField(required=False, allow_blank=True, trim_whitespace=False)
    input_schema = serializers.DictField(required=False)
    example_input = serializers.DictField(required=False)
    examples = serializers.ListField(
        child=serializers.DictField(),
        required=False,
        max_length=10,
        help_text="Inputs with what is expected of their answers: contains, excludes, matches, json, json_field, max_length.",
    )
    output_format = serializers.ChoiceField(choices=OutputFormat.choices, required=False)
    output_schema = serializers.DictField(
        required=False, help_text="JSON Schema that answers are held against; of rows for a table."
    )
    endpoint_contract = serializers.DictField(
        required=False, help_text="OpenAPI document that an HTTP app keeps to."
    )
    endpoint_url = serializers.CharField(max_length=200, required=False, allow_blank=True)
    allowed_models = serializers.ListField(
        child=serializers.CharField(max_length=80), required=False, max_length=20
    )
    max_output_tokens = serializers.IntegerField(min_value=1, max_value=32_000, required=False)
    expected_monthly_calls = serializers.IntegerField(min_value=1, max_value=2_000_000_000, required=False)
    declared_cost_per_call = serializers.CharField(required=False, allow_null=True)
    slo_latency_ms = serializers.IntegerField(min_value=1, max_value=2_000_000_000, required=False)
    slo_availability_percent = serializers.DecimalField(
        max_digits=5, decimal_places=2, min_value=Decimal(50), max_value=Decimal(100), required=False
    )
    daily_calls_limit = serializers.IntegerField(min_value=1, max_value=2_000_000_000, required=False)
    monthly_calls_limit = serializers.IntegerField(min_value=1, max_value=2_000_000_000, required=False)
    plan = PlanInputSerializer(required=False)

    def changes(self, *, base: PlanTerms) -> dict[str, Any]:
        """Return the changes as the domain takes them; raises InvalidInput."""
        data = dict(self.validated_data)
        if "input_schema" in data:
            data["inputs"] = inputs_of(data.pop("input_schema"))
        if "plan" in data:
            # The raw object, so that a float or an unknown field is refused by name instead of being converted.
            data["plan"] = parse_terms(self.initial_data["plan"], base=base)
        if data.get("declared_cost_per_call") is not None:
            declared = parse_amount(
                self.initial_data["declared_cost_per_call"], field="declared_cost_per_call"
            )
            if declared < 0:
                raise InvalidInput("declared_cost_per_call", "must not be negative")
            data["declared_cost_per_call"] = declared
        return data


class NewAppSerializer(DraftSerializer):
    """A new app: the template it starts from, the team that will own it, and anything that differs."""

    template = serializers.CharField()
    team = serializers.CharField(help_text="Slug of a team in which you are a creator.")
    slug = serializers.SlugField(max_length=60, required=False)


class SubmittedSerializer(serializers.Serializer):
    """A version and the check that was queued for it."""

    version = VersionSerializer()
    check = CheckSerializer()


class AppViewSet(
    mixins.ListModelMixin, mixins.RetrieveModelMixin, mixins.CreateModelMixin, viewsets.GenericViewSet
):
    """Apps of the teams in which you are a creator."""

    serializer_class = AppSerializer
    lookup_field = "slug"
    lookup_value_regex = "[-a-zA-Z0-9_]+"
    queryset = App.objects.none()

    def get_queryset(self) -> QuerySet[App]:
        if getattr(self, "swagger_fake_view", False):
            return App.objects.none()
        return queries_creator.with_versions(queries_creator.owned_apps(actor_of(self.request)))

    def get_object(self) -> App:
        return access.get(self.get_queryset(), slug=self.kwargs["slug"])

    @extend_schema(request=NewAppSerializer, responses={201: AppSerializer})
    def create(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Start an app from a template, as a draft."""
        body = NewAppSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        template = _template(body.validated_data["template"])
        team = access.get(
            access.own_teams(actor_of(request), role=Role.CREATOR), slug=body.validated_data["team"]
        )
        changes = body.changes(base=template.plan)
        for name in ("template", "team"):
            changes.pop(name)
        version = drafts.create_from_template(
            template,
            team=team,
            by=actor_of(request).user,
            at=timezone.now(),
            slug=changes.pop("slug", ""),
            changes=changes,
        )
        self.kwargs["slug"] = version.app.slug
        return Response(AppSerializer(self.get_object()).data, status=status.HTTP_201_CREATED)

    @extend_schema(request=DraftSerializer, responses=AppSerializer)
    def update(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Edit the draft; what is left out stays."""
        version = queries_creator.newest_version(self.get_object())
        body = DraftSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        if unknown := sorted(set(request.data) - set(body.fields)):
            raise InvalidInput(unknown[0], "is not a field that can be edited", code="unknown_field")
        plan = plans.plan_of(version)
        changes = body.changes(base=terms_of(plan) if plan else PlanTerms())
        drafts.edit(version, by=actor_of(request).user, at=timezone.now(), changes=changes)
        return Response(AppSerializer(self.get_object()).data)

    @extend_schema(request=DraftSerializer, responses=AppSerializer)
    def partial_update(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Edit the draft; what is left out stays."""
        return self.update(request, *args, **kwargs)

    @extend_schema(responses=VersionSerializer(many=True), methods=["GET"])
    @extend_schema(request=None, responses={201: VersionSerializer}, methods=["POST"])
    @action(detail=True, methods=["get", "post"])
    def versions(self, request: Request, slug: str) -> Response:
        """List the versions, newest first; a POST starts the next one as a copy of the listed one."""
        app = self.get_object()
        if request.method == "POST":
            version = drafts.start_next_version(app, by=actor_of(request).user, at=timezone.now())
            return Response(VersionSerializer(version).data, status=status.HTTP_201_CREATED)
        found = app.versions.select_related("plan", "submitted_by").order_by("-number")
        return self._page(found, VersionSerializer)

    @extend_schema(request=None, responses={202: SubmittedSerializer})
    @action(detail=True, methods=["post"])
    def submit(self, request: Request, slug: str) -> Response:
        """Hand the draft in; its check is queued."""
        version = queries_creator.newest_version(self.get_object())
        by = actor_of(request).user
        run = submissions.submit(version, by=by, at=timezone.now(), allow_http=bool(settings.EGRESS_ALLOW))
        version.refresh_from_db()
        body = {"version": VersionSerializer(version).data, "check": CheckSerializer(run).data}
        return Response(body, status=status.HTTP_202_ACCEPTED)

    @extend_schema(responses=CheckSerializer(many=True), methods=["GET"])
    @extend_schema(request=None, responses={202: CheckSerializer}, methods=["POST"])
    @action(detail=True, methods=["get", "post"])
    def checks(self, request: Request, slug: str) -> Response:
        """List the checks of every version, newest first; a POST repeats one that could not be finished."""
        app = self.get_object()
        if request.method == "POST":
            version = queries_creator.newest_version(app)
            run = submissions.check_again(version, by=actor_of(request).user, at=timezone.now())
            return Response(CheckSerializer(run).data, status=status.HTTP_202_ACCEPTED)
        found = SmokeRun.objects.filter(version__app=app).select_related("version")
        return self._page(found, CheckSerializer)

    @extend_schema(request=ReasonSerializer, responses=VersionSerializer)
    @action(detail=True, methods=["post"])
    def withdraw(self, request: Request, slug: str) -> Response:
        """Take the newest version back."""
        version = queries_creator.newest_version(self.get_object())
        body = ReasonSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        reason = body.validated_data["reason"]
        submissions.withdraw(version, by=actor_of(request).user, at=timezone.now(), reason=reason)
        return Response(VersionSerializer(version).data)

    @extend_schema(request=NewTransferSerializer, responses={201: TransferSerializer})
    @action(detail=True, methods=["post"])
    def transfer(self, request: Request, slug: str) -> Response:
        """Offer the app to another team of your organization; it moves once that team accepts."""
        app = self.get_object()
        body = NewTransferSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        team = ownership.receivers(app).filter(slug=body.validated_data["team"]).first()
        if team is None:
            raise InvalidInput("team", "must be another team of the same organization", code="unknown_team")
        made = ownership.propose(
            app,
            to_team=team,
            starts_at=body.validated_data["starts_at"],
            reason=body.validated_data["reason"],
            by=actor_of(request),
            at=timezone.now(),
        )
        return Response(TransferSerializer(made).data, status=status.HTTP_201_CREATED)

    def _page(self, found: QuerySet, serializer: type[serializers.Serializer]) -> Response:
        page = self.paginate_queryset(found)
        return self.get_paginated_response(serializer(page, many=True).data)


def _template(key: str) -> templates_library.AppTemplate:
    known = [template.key for template in templates_library.all_templates()]
    if key not in known:
        raise InvalidInput("template", f"must be one of {', '.join(known)}", code="unknown_template")
    return templates_library.get_template(key)


ROUTES = [("apps", AppViewSet, "app")]
