"""/deprecations and /rollbacks: how an app ends, and how an earlier version comes back."""

from typing import Any

from django.conf import settings
from django.db.models import QuerySet
from django.utils import timezone
from django_filters import rest_framework as filters
from drf_spectacular.utils import extend_schema
from rest_framework import mixins, serializers, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from marketplace.accounts import access
from marketplace.accounts.requests import actor_of
from marketplace.catalog import deprecations, queries, rollbacks
from marketplace.catalog.api.second_looks import ID
from marketplace.catalog.models import App, Version
from marketplace.catalog.version_models import Deprecation
from marketplace.core.errors import InvalidInput, NotFound


class DeprecationSerializer(serializers.ModelSerializer):
    """The announced end of an app."""

    id = serializers.CharField(read_only=True)
    app = serializers.CharField(source="app.slug", read_only=True)
    successor = serializers.CharField(source="successor.slug", read_only=True, default=None)
    announced_by = serializers.CharField(source="announced_by.email", read_only=True)

    class Meta:
        model = Deprecation
        fields = (
            "id", "app", "state", "ends_at", "successor", "reason", "announced_by", "announced_at", "closed_at",
        )  # fmt: skip


class NewDeprecationSerializer(serializers.Serializer):
    """Which app ends, when, and what to use instead."""

    app = serializers.CharField(help_text="Its slug.")
    ends_at = serializers.DateTimeField()
    reason = serializers.CharField(max_length=2_000)
    successor = serializers.CharField(
        required=False, allow_blank=True, default="", help_text="Slug of a listed app."
    )


class WhySerializer(serializers.Serializer):
    """Why; those who subscribed read it."""

    reason = serializers.CharField(max_length=2_000)


class RollbackSerializer(serializers.Serializer):
    """Which earlier version of which app shall be live again, and why."""

    app = serializers.CharField(help_text="Its slug.")
    version = serializers.IntegerField(min_value=1, help_text="Its number.")
    reason = serializers.CharField(max_length=500)


class RolledBackSerializer(serializers.Serializer):
    """What is live now."""

    app = serializers.CharField()
    version = serializers.IntegerField()
    state = serializers.CharField()


class DeprecationFilter(filters.FilterSet):
    app = filters.CharFilter(field_name="app__slug")
    state = filters.ChoiceFilter(choices=Deprecation.State.choices)

    class Meta:
        model = Deprecation
        fields = ("app", "state")


class DeprecationViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet):
    """Announced and past ends of the apps you make."""

    serializer_class = DeprecationSerializer
    filterset_class = DeprecationFilter
    lookup_value_regex = ID
    queryset = Deprecation.objects.none()

    def get_queryset(self) -> QuerySet[Deprecation]:
        if getattr(self, "swagger_fake_view", False):
            return Deprecation.objects.none()
        return deprecations.of_own_apps(actor_of(self.request)).order_by("-pk")

    def get_object(self) -> Deprecation:
        return access.get(self.get_queryset(), pk=self.kwargs["pk"])

    @extend_schema(request=NewDeprecationSerializer, responses={201: DeprecationSerializer})
    def create(self, request: Request) -> Response:
        """Announce the end of a live app of yours; subscribers are told, and calls say so."""
        body = NewDeprecationSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        wanted: dict[str, Any] = dict(body.validated_data)
        app = queries.listing_for(actor_of(request), slug=wanted.pop("app")).app
        successor = _successor(request, wanted.pop("successor"))
        made = deprecations.announce(
            app,
            by=actor_of(request),
            at=timezone.now(),
            notice_days=settings.DEPRECATION_NOTICE_DAYS,
            successor=successor,
            **wanted,
        )
        return Response(DeprecationSerializer(made).data, status=201)

    @extend_schema(request=WhySerializer, responses=DeprecationSerializer)
    @action(detail=True, methods=["post"])
    def withdraw(self, request: Request, pk: str) -> Response:
        """Let an announced end not come; subscribers are told."""
        body = WhySerializer(data=request.data)
        body.is_valid(raise_exception=True)
        reason = body.validated_data["reason"]
        deprecations.withdraw(self.get_object(), by=actor_of(request), at=timezone.now(), reason=reason)
        return Response(DeprecationSerializer(self.get_object()).data)


class RollbackViewSet(viewsets.GenericViewSet):
    """Earlier versions that come back."""

    serializer_class = RollbackSerializer

    @extend_schema(request=RollbackSerializer, responses=RolledBackSerializer)
    def create(self, request: Request) -> Response:
        """Put an earlier version live again, at the price that is offered now; for makers and approvers."""
        body = RollbackSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        app = queries.listing_for(actor_of(request), slug=body.validated_data["app"]).app
        by, number = actor_of(request), body.validated_data["version"]
        versions = Version.objects.select_related("app__owner_team").filter(app=app)
        # What versions an app has had is known to its makers and approvers only.
        version = access.get(versions if rollbacks.may_roll_back(app, by) else versions.none(), number=number)
        rollbacks.roll_back(version, by=by, at=timezone.now(), reason=body.validated_data["reason"])
        version.refresh_from_db()
        return Response({"app": app.slug, "version": version.number, "state": version.state})


def _successor(request: Request, slug: str) -> App | None:
    if not slug:
        return None
    try:
        return queries.listing_for(actor_of(request), slug=slug).app
    except NotFound:
        raise InvalidInput("successor", "There is no such app in the catalogue.") from None


ROUTES = [("deprecations", DeprecationViewSet, "deprecation"), ("rollbacks", RollbackViewSet, "rollback")]
