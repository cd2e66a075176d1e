"""/batches, /background-runs and /batch-rates in the management API, for people and their scripts."""

from datetime import datetime
from typing import Any

from django.db.models import QuerySet
from django.utils import timezone
from django_filters import rest_framework as filters
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import mixins, serializers, status, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import ViewSetMixin

from marketplace.accounts import access
from marketplace.accounts.access import PLATFORM_ROLES
from marketplace.accounts.requests import actor_of
from marketplace.core.api_fields import AmountField
from marketplace.core.errors import InvalidInput
from marketplace.core.money import parse_amount
from marketplace.core.parsers import FloatFreeJSONParser
from marketplace.core.periods import parse_instant
from marketplace.gateway.async_models import AsyncRun
from marketplace.gateway.async_runs import making as runs_making
from marketplace.gateway.async_runs import queries as runs_queries
from marketplace.gateway.batch_models import Batch
from marketplace.gateway.batches import making, queries
from marketplace.gateway.batches.queries import may_act_on
from marketplace.gateway.outbox.api import AN_ID
from metering import batch_rates
from metering.models import BatchRate

_ID = [OpenApiParameter("id", OpenApiTypes.UUID, "path")]


class BatchSerializer(serializers.ModelSerializer):
    """A batch: how far it is, what it waits for, what it cost so far."""

    id = serializers.CharField(read_only=True)
    app = serializers.CharField(source="subscription.app.slug", read_only=True)
    team = serializers.CharField(source="subscription.team.slug", read_only=True)
    subscription = serializers.CharField(source="subscription_id", read_only=True)
    cost = AmountField(read_only=True)
    list_cost = AmountField(read_only=True)
    saved = AmountField(read_only=True)

    class Meta:
        model = Batch
        fields = (
            "id", "app", "team", "subscription", "state", "endpoint", "completion_window", "metadata", "problems",
            "stop_code", "stop_reason", "run_at", "wait_reason", "total_lines", "done_lines", "failed_lines",
            "input_tokens", "output_tokens", "cost", "list_cost", "saved", "currency", "created_at", "due_at",
            "in_progress_at", "ended_at",
        )  # fmt: skip
        read_only_fields = fields


class BatchFilter(filters.FilterSet):
    app = filters.CharFilter("subscription__app__slug")

    class Meta:
        model = Batch
        fields = ("state", "subscription", "app")


@extend_schema(tags=["batches"])
class BatchViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet):
    """Batches of your teams; of everybody for the platform's own roles. They are made with a subscription's key at /v1/batches."""

    queryset = Batch.objects.none()
    serializer_class = BatchSerializer
    filterset_class = BatchFilter
    lookup_value_regex = AN_ID

    def get_queryset(self) -> QuerySet[Batch]:
        if getattr(self, "swagger_fake_view", False):
            return Batch.objects.none()
        return queries.visible(actor_of(self.request))

    def get_object(self) -> Batch:
        return access.get(self.get_queryset(), pk=self.kwargs["pk"])

    def list(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """List batches, the newest first."""
        return super().list(request, *args, **kwargs)

    @extend_schema(parameters=_ID)
    def retrieve(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Show a batch; poll this while it goes on."""
        return super().retrieve(request, *args, **kwargs)

    @extend_schema(request=None, responses=BatchSerializer, parameters=_ID)
    @action(detail=True, methods=["post"])
    def cancel(self, request: Request, pk: str) -> Response:
        """Call no more of its lines; what was answered is kept. 409 when it has ended."""
        batch, actor = self.get_object(), actor_of(request)
        access.require(
            may_act_on(batch, actor=actor), message="Only consumers of its team and operators cancel a batch."
        )
        making.cancel(batch, at=timezone.now(), by=actor.user)
        return Response(BatchSerializer(batch).data)


class AsyncRunSerializer(serializers.ModelSerializer):
    """A run in the background, with what it was given and what came back."""

    id = serializers.CharField(read_only=True)
    app = serializers.CharField(source="subscription.app.slug", read_only=True)
    team = serializers.CharField(source="subscription.team.slug", read_only=True)
    subscription = serializers.CharField(source="subscription_id", read_only=True)
    input = serializers.JSONField(source="data", read_only=True)
    cost = AmountField(read_only=True)

    class Meta:
        model = AsyncRun
        fields = (
            "id", "app", "team", "subscription", "state", "input", "output", "problems", "error_code", "error_message",
            "model", "input_tokens", "output_tokens", "cost", "currency", "created_at", "begun_at", "ended_at",
            "expires_at",
        )  # fmt: skip
        read_only_fields = fields


class AsyncRunFilter(filters.FilterSet):
    app = filters.CharFilter("subscription__app__slug")

    class Meta:
        model = AsyncRun
        fields = ("state", "subscription", "app")


@extend_schema(tags=["batches"])
class AsyncRunViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet):
    """Runs in the background of the teams that you consume for. They are asked for with ``?async=1``."""

    queryset = AsyncRun.objects.none()
    serializer_class = AsyncRunSerializer
    filterset_class = AsyncRunFilter
    lookup_value_regex = AN_ID

    def get_queryset(self) -> QuerySet[AsyncRun]:
        if getattr(self, "swagger_fake_view", False):
            return AsyncRun.objects.none()
        return runs_queries.visible(actor_of(self.request), at=timezone.now())

    def get_object(self) -> AsyncRun:
        return access.get(self.get_queryset(), pk=self.kwargs["pk"])

    def list(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """List runs, the newest first."""
        return super().list(request, *args, **kwargs)

    @extend_schema(parameters=_ID)
    def retrieve(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Show a run."""
        return super().retrieve(request, *args, **kwargs)

    @extend_schema(request=None, responses=AsyncRunSerializer, parameters=_ID)
    @action(detail=True, methods=["post"])
    def cancel(self, request: Request, pk: str) -> Response:
        """Take a run back; what is under way is not charged, unless its answer has come. 409 when it has ended."""
        run = self.get_object()
        runs_making.cancel(run, at=timezone.now(), by=actor_of(request).user)
        return Response(AsyncRunSerializer(run).data)


class BatchRateSerializer(serializers.ModelSerializer):
    """What calls of batches cost less than list prices, from a date."""

    off_percent = AmountField(help_text="From 0 to 99.99.")
    starts_at = serializers.CharField(
        required=False, help_text="A day or an RFC 3339 time, not in the past; left out: now."
    )
    ends_at = serializers.DateTimeField(read_only=True)
    set_by = serializers.CharField(source="set_by.email", read_only=True)

    class Meta:
        model = BatchRate
        fields = ("off_percent", "starts_at", "ends_at", "reason", "set_by", "set_at")
        read_only_fields = ("set_at",)


@extend_schema(tags=["batches"])
class BatchRateViewSet(mixins.ListModelMixin, viewsets.GenericViewSet):
    """The rates of batches, for finance, operators and approvers of the platform."""

    queryset = BatchRate.objects.select_related("set_by").order_by("-starts_at")
    serializer_class = BatchRateSerializer
    parser_classes = (FloatFreeJSONParser,)

    def get_queryset(self) -> QuerySet[BatchRate]:
        if not getattr(self, "swagger_fake_view", False):
            access.require_platform(actor_of(self.request), *sorted(PLATFORM_ROLES))
        return super().get_queryset()

    def list(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """List every rate, the newest first."""
        return super().list(request, *args, **kwargs)

    @extend_schema(responses={201: BatchRateSerializer})
    def create(self, request: Request) -> Response:
        """Put a rate in force; prices for batches follow every list price. For finance and operators."""
        access.require_platform(actor_of(request), *sorted(batch_rates.SETTERS))
        data = request.data
        if not isinstance(data, dict):
            raise InvalidInput("", "must be an object")
        rate = batch_rates.put_in_force(
            parse_amount(data.get("off_percent"), field="off_percent"),
            starts_at=_starts_at(data.get("starts_at")),
            reason=str(data.get("reason") or ""),
            by=actor_of(request),
            at=timezone.now(),
        )
        return Response(BatchRateSerializer(rate).data, status=status.HTTP_201_CREATED)


def _starts_at(told: Any) -> datetime | None:
    return None if told is None else parse_instant(told, field="starts_at")


ROUTES: list[tuple[str, type[ViewSetMixin], str]] = [
    ("batches", BatchViewSet, "batch"),
    ("background-runs", AsyncRunViewSet, "background-run"),
    ("batch-rates", BatchRateViewSet, "batch-rate"),
]
