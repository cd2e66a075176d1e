"""/checks, /check-waivers: what the checks of a version found, one of them again, exceptions."""

from typing import Any

from django.db.models import QuerySet
from django.utils import timezone
from django_filters import rest_framework as filters
from drf_spectacular.utils import extend_schema
from rest_framework import mixins, serializers, status, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from marketplace.accounts import access
from marketplace.accounts.requests import actor_of
from marketplace.catalog import check_runs, queries_checks, waivers
from marketplace.catalog.api.fields import ReasonSerializer
from marketplace.catalog.check_models import CheckFinding, CheckRun, CheckWaiver
from marketplace.catalog.scans.rules import rule_of

ID = "[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"


class FindingSerializer(serializers.ModelSerializer):
    """One finding: the rule, where, what, and what to do about it."""

    fix = serializers.SerializerMethodField()

    class Meta:
        model = CheckFinding
        fields = ("rule", "severity", "place", "message", "fix", "fingerprint")

    def get_fix(self, finding: CheckFinding) -> str:
        return rule_of(finding.rule).fix


class CheckRunSerializer(serializers.ModelSerializer):
    """One named check of a version; the newest of a name counts. What it found is before any waiver."""

    id = serializers.CharField(read_only=True)
    app = serializers.CharField(source="version.app.slug", read_only=True)
    version = serializers.IntegerField(source="version.number", read_only=True)
    check = serializers.CharField(source="name", read_only=True)
    findings = FindingSerializer(many=True, read_only=True)

    class Meta:
        model = CheckRun
        fields = (
            "id", "app", "version", "check", "state", "tool", "rules_hash", "reason", "facts", "is_rescan", "findings",
            "created_at", "started_at", "ended_at",
        )  # fmt: skip


class WaiverSerializer(serializers.ModelSerializer):
    """An exception for one finding of an app, until a time."""

    id = serializers.CharField(read_only=True)
    app = serializers.CharField(source="app.slug", read_only=True)
    rule = serializers.CharField(source="finding.rule", read_only=True)
    place = serializers.CharField(source="finding.place", read_only=True)
    requested_by = serializers.CharField(source="requested_by.email", read_only=True)
    decided_by = serializers.CharField(source="decided_by.email", read_only=True, default=None)

    class Meta:
        model = CheckWaiver
        fields = (
            "id", "app", "rule", "place", "fingerprint", "state", "reason", "ends_at", "requested_by", "requested_at",
            "decided_by", "decided_at", "decision_reason",
        )  # fmt: skip


class NewWaiverSerializer(serializers.Serializer):
    """Which finding, why it can be accepted, and until when."""

    fingerprint = serializers.CharField(max_length=64)
    reason = serializers.CharField(max_length=2_000)
    ends_at = serializers.DateTimeField()


class CheckRunFilter(filters.FilterSet):
    app = filters.CharFilter(field_name="version__app__slug")
    version = filters.NumberFilter(field_name="version__number")
    check = filters.ChoiceFilter(field_name="name", choices=CheckRun.Name.choices)
    state = filters.ChoiceFilter(choices=CheckRun.State.choices)

    class Meta:
        model = CheckRun
        fields = ("app", "version", "check", "state")


class CheckRunViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet):
    """Checks of your own apps' versions, and of those you review."""

    serializer_class = CheckRunSerializer
    filterset_class = CheckRunFilter
    lookup_value_regex = ID
    queryset = CheckRun.objects.none()

    def get_queryset(self) -> QuerySet[CheckRun]:
        if getattr(self, "swagger_fake_view", False):
            return CheckRun.objects.none()
        return queries_checks.visible_runs(actor_of(self.request)).prefetch_related("findings")

    def get_object(self) -> CheckRun:
        return access.get(self.get_queryset(), pk=self.kwargs["pk"])

    @extend_schema(request=None, responses={202: CheckRunSerializer})
    @action(detail=True, methods=["post"])
    def again(self, request: Request, pk: str) -> Response:
        """Make this check again."""
        run = self.get_object()
        by = actor_of(request).user
        made = check_runs.run_again(run.version, name=run.name, by=by, at=timezone.now())
        return Response(CheckRunSerializer(made).data, status=status.HTTP_202_ACCEPTED)

    @extend_schema(request=None, responses=CheckRunSerializer)
    @action(detail=True, methods=["post"])
    def cancel(self, request: Request, pk: str) -> Response:
        """End a check that is under way; it could not be checked then."""
        check_runs.cancel(self.get_object(), by=actor_of(request).user, at=timezone.now())
        return Response(CheckRunSerializer(self.get_object()).data)

    @extend_schema(request=NewWaiverSerializer, responses={201: WaiverSerializer})
    @action(detail=True, methods=["post"])
    def waive(self, request: Request, pk: str) -> Response:
        """Ask that a finding of this check be accepted until a time."""
        run = self.get_object()
        body = NewWaiverSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        wanted: dict[str, Any] = dict(body.validated_data)
        findings = queries_checks.visible_findings(actor_of(request)).filter(run=run)
        finding = access.get(findings, fingerprint=wanted.pop("fingerprint"))
        made = waivers.propose(finding, by=actor_of(request).user, at=timezone.now(), **wanted)
        return Response(WaiverSerializer(made).data, status=status.HTTP_201_CREATED)


class WaiverFilter(filters.FilterSet):
    app = filters.CharFilter(field_name="app__slug")
    state = filters.ChoiceFilter(choices=CheckWaiver.State.choices)

    class Meta:
        model = CheckWaiver
        fields = ("app", "state")


class WaiverViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet):
    """Waivers of your own apps' findings, and of those you decide on."""

    serializer_class = WaiverSerializer
    filterset_class = WaiverFilter
    lookup_value_regex = ID
    queryset = CheckWaiver.objects.none()

    def get_queryset(self) -> QuerySet[CheckWaiver]:
        if getattr(self, "swagger_fake_view", False):
            return CheckWaiver.objects.none()
        return waivers.visible(actor_of(self.request))

    def get_object(self) -> CheckWaiver:
        return access.get(self.get_queryset(), pk=self.kwargs["pk"])

    @extend_schema(request=ReasonSerializer, responses=WaiverSerializer)
    @action(detail=True, methods=["post"])
    def approve(self, request: Request, pk: str) -> Response:
        """Accept the finding; somebody else asked."""
        return self._decide(request, approve=True)

    @extend_schema(request=ReasonSerializer, responses=WaiverSerializer)
    @action(detail=True, methods=["post"])
    def reject(self, request: Request, pk: str) -> Response:
        """Refuse, with a reason."""
        return self._decide(request, approve=False)

    @extend_schema(request=ReasonSerializer, responses=WaiverSerializer)
    @action(detail=True, methods=["post"])
    def withdraw(self, request: Request, pk: str) -> Response:
        """Take it back before its end."""
        reason = self._reason(request)
        waivers.withdraw(self.get_object(), by=actor_of(request).user, at=timezone.now(), reason=reason)
        return Response(WaiverSerializer(self.get_object()).data)

    def _decide(self, request: Request, *, approve: bool) -> Response:
        reason = self._reason(request)
        waivers.decide(
            self.get_object(), approve=approve, by=actor_of(request), at=timezone.now(), reason=reason
        )
        return Response(WaiverSerializer(self.get_object()).data)

    def _reason(self, request: Request) -> str:
        body = ReasonSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        return str(body.validated_data["reason"])


ROUTES = [("checks", CheckRunViewSet, "check-run"), ("check-waivers", WaiverViewSet, "check-waiver")]
