"""/saving-reports in the management API: asking for a report, reading it."""

from datetime import datetime
from typing import Any

from django.db.models import QuerySet
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import mixins, serializers, status, viewsets
from rest_framework.request import Request
from rest_framework.response import Response

from marketplace.accounts import access
from marketplace.accounts.requests import actor_of
from marketplace.core.errors import InvalidInput
from marketplace.core.parsers import FloatFreeJSONParser
from marketplace.core.periods import parse_instant
from marketplace.gateway.saving_report_models import SavingReport
from marketplace.gateway.savings import keeping
from marketplace.gateway.savings.keeping import Asked

SHARES = ("kept_permille", "repeat_permille", "batchable_permille")
HOSTINGS = ("tokens", "instances")
_PERMILLE = {"type": "integer", "minimum": 0, "maximum": 1000}
REQUEST = {
    "type": "object",
    "required": ["app", "from", "to"],
    "properties": {
        "app": {"type": "string", "description": "Its slug."},
        "from": {"type": "string", "format": "date-time", "description": "A day or an RFC 3339 time."},
        "to": {"type": "string", "format": "date-time", "description": "Excluded."},
        "hosting": {"type": "string", "enum": list(HOSTINGS), "default": "tokens"},
        **dict.fromkeys(SHARES, _PERMILLE),
    },
}


class SavingReportSerializer(serializers.ModelSerializer):
    """A report: what was asked, how far its job is, and what was found, with amounts as decimal text."""

    id = serializers.CharField(read_only=True)
    app = serializers.CharField(source="app.slug", read_only=True, default=None)
    job_state = serializers.CharField(source="job.state", read_only=True, default=None)
    done_steps = serializers.IntegerField(source="job.done_steps", read_only=True, default=0)
    total_steps = serializers.IntegerField(source="job.total_steps", read_only=True, default=0)

    class Meta:
        model = SavingReport
        fields = (
            "id", "app", "title", "asked", "asked_at", "job_state", "done_steps", "total_steps", "found_at", "found",
        )  # fmt: skip


@extend_schema(tags=["savings"])
class SavingReportViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet):
    """Saving reports of the apps that a person makes, or of all for operators."""

    queryset = SavingReport.objects.select_related("app", "job")
    serializer_class = SavingReportSerializer
    parser_classes = (FloatFreeJSONParser,)
    lookup_value_regex = "[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"

    def get_queryset(self) -> QuerySet[SavingReport]:
        if getattr(self, "swagger_fake_view", False):
            return super().get_queryset()
        return keeping.reports(actor_of(self.request)).order_by("-asked_at")

    def get_object(self) -> SavingReport:
        return access.get(self.get_queryset(), pk=self.kwargs["pk"])

    @extend_schema(
        operation_id="saving_reports_ask",
        summary="Ask what would be saved",
        description="A job works it out; look at the report again until `found` is there.",
        request={"application/json": REQUEST},
        responses={202: SavingReportSerializer},
    )
    def create(self, request: Request) -> Response:
        actor = actor_of(request)
        data = request.data if isinstance(request.data, dict) else {}
        app = access.get(keeping.apps(actor), slug=data.get("app"))
        made = keeping.ask(app, asked=read_asked(data), by=actor, at=timezone.now())
        return Response(SavingReportSerializer(made).data, status=status.HTTP_202_ACCEPTED)


def read_asked(data: Any) -> Asked:
    """Read what is asked of a report. Raises InvalidInput by field."""
    hosting = data.get("hosting", "tokens")
    if hosting not in HOSTINGS:
        raise InvalidInput("hosting", f"must be one of {', '.join(HOSTINGS)}")
    shares = {name: data[name] for name in SHARES if name in data}
    for name, value in shares.items():
        if isinstance(value, bool) or not isinstance(value, int):
            raise InvalidInput(name, "must be a whole number of thousandths")
    return Asked(_time(data, "from"), _time(data, "to"), hosting, **shares)


def _time(data: Any, field: str) -> datetime:
    return parse_instant(data.get(field), field=field)


ROUTES = (("saving-reports", SavingReportViewSet, "saving-report"),)
