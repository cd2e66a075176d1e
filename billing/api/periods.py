"""/periods: what state each month is in, and closing one."""

from dataclasses import dataclass
from typing import Any

from django.utils import timezone
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers, status, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from billing import background, queries
from billing.close import MonthNotOver
from billing.models import BillingPeriod
from marketplace.accounts import access
from marketplace.accounts.access import Role
from marketplace.accounts.requests import actor_of
from marketplace.core.errors import InvalidInput
from marketplace.core.models import Job


class CloseJobSerializer(serializers.ModelSerializer):
    """Background work that closes a month."""

    id = serializers.CharField(read_only=True)

    class Meta:
        model = Job
        fields = ("id", "state", "done_steps", "total_steps", "last_error", "created_at", "ended_at")


class PeriodSerializer(serializers.Serializer):
    """A month; `starts_at` is in it, `ends_at` is not. `job` is the newest work to close it."""

    name = serializers.CharField()
    state = serializers.ChoiceField(BillingPeriod.State.choices)
    starts_at = serializers.DateTimeField(source="month.starts_at")
    ends_at = serializers.DateTimeField(source="month.ends_at")
    closed_at = serializers.DateTimeField(allow_null=True)
    closed_by = serializers.CharField(allow_blank=True)
    can_close = serializers.BooleanField()


class PeriodWithJobSerializer(PeriodSerializer):
    """A month and the work to close it."""

    job = CloseJobSerializer(allow_null=True)


class PeriodListSerializer(serializers.Serializer):
    """Every month there is, newest first; always one page."""

    next = serializers.URLField(allow_null=True)
    previous = serializers.URLField(allow_null=True)
    results = PeriodSerializer(many=True)


@dataclass(frozen=True)
class _WithJob:
    """A month as the API shows it."""

    shown: queries.Month
    job: Job | None

    def __getattr__(self, name: str) -> Any:
        return getattr(self.shown, name)


class PeriodViewSet(viewsets.ViewSet):
    """Months, for finance."""

    lookup_field = "name"
    lookup_value_regex = r"[0-9]{4}-[0-9]{2}"

    @extend_schema(
        operation_id="periods_list",
        tags=["finance"],
        parameters=[OpenApiParameter("state", enum=BillingPeriod.State.values)],
        responses=PeriodListSerializer,
    )
    def list(self, request: Request) -> Response:
        """List every month from the first usage to now, or those in one state."""
        _require_finance(request)
        state = request.query_params.get("state")
        if state and state not in BillingPeriod.State.values:
            raise InvalidInput("state", f"must be one of {', '.join(BillingPeriod.State.values)}")
        months = [one for one in queries.months(at=timezone.now()) if state in (None, "", one.state)]
        results = PeriodSerializer(months, many=True).data
        return Response({"next": None, "previous": None, "results": results})

    @extend_schema(operation_id="periods_retrieve", tags=["finance"], responses=PeriodWithJobSerializer)
    def retrieve(self, request: Request, name: str) -> Response:
        """Show one month; poll this while it is being closed."""
        _require_finance(request)
        return Response(_shown(name))

    @extend_schema(
        operation_id="periods_close",
        tags=["finance"],
        request=None,
        responses={200: PeriodWithJobSerializer, 202: PeriodWithJobSerializer},
    )
    @action(detail=True, methods=["post"])
    def close(self, request: Request, name: str) -> Response:
        """Close a month in the background: 202 with the job, or 200 when it is closed already."""
        access.require_platform(actor_of(request), Role.FINANCE)
        now = timezone.now()
        month = queries.month_called(name, at=now)
        if month.state == BillingPeriod.State.CLOSED:
            return Response(_shown(name))
        if not month.is_over:
            raise MonthNotOver(month.month)
        background.request_close(name, at=now, by=request.user)
        return Response(_shown(name), status=status.HTTP_202_ACCEPTED)


def _require_finance(request: Request) -> None:
    access.require(queries.is_finance(actor_of(request)), message="This is for finance only.")


def _shown(name: str) -> dict[str, Any]:
    month = queries.month_called(name, at=timezone.now())
    return dict(PeriodWithJobSerializer(_WithJob(month, background.close_job(name))).data)
