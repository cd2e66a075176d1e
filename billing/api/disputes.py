"""/cost-statements, /disputes and the reopening of months."""

from typing import Any
from uuid import UUID

import django_filters
from django.db.models import QuerySet
from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_field
from rest_framework import mixins, serializers, status, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from billing.allocation.tree import ratio_text
from billing.chargeback import disputes, statements
from billing.chargeback.disputes import Claim
from billing.closing import reopening
from billing.credit_asks import read_minor
from billing.house import house_terms
from billing.models import AllocationRow, BillingPeriod, CostStatement, Reopening, StatementDispute
from marketplace.accounts import access
from marketplace.accounts.access import Role
from marketplace.accounts.requests import actor_of
from marketplace.catalog.models import App
from marketplace.core.errors import InvalidInput
from marketplace.core.money import from_minor, to_text
from marketplace.core.parsers import FloatFreeJSONParser
from marketplace.core.periods import parse_month

UUID_PATTERN = "[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_ID = OpenApiParameter("id", OpenApiTypes.UUID, "path")
_NAME = OpenApiParameter("name", str, "path", description="Month, such as 2026-10.")


class AllocatedSerializer(serializers.ModelSerializer):
    """One row of an allocation; shared parts say how they were split and in which ratio."""

    app = serializers.CharField(source="app.slug", default=None, allow_null=True)
    model_cost = serializers.SerializerMethodField()
    ratio = serializers.SerializerMethodField(help_text='Such as "3 of 12"; empty for own use.')
    rule_version = serializers.IntegerField(source="rule.version", default=None, allow_null=True)

    class Meta:
        model = AllocationRow
        fields = (
            "kind", "app", "environment", "sku", "amount_minor", "currency", "model_cost", "is_late", "method", "ratio",
            "rule_version",
        )  # fmt: skip

    def get_model_cost(self, row: AllocationRow) -> str:
        return to_text(row.cost)

    def get_ratio(self, row: AllocationRow) -> str:
        return ratio_text(row)


class CostStatementSerializer(serializers.ModelSerializer):
    """What a month came to for a cost center; own use, corrections and shared parts apart."""

    id = serializers.CharField()
    period = serializers.CharField(source="period_id")
    organization = serializers.CharField(source="organization.slug")
    cost_center = serializers.CharField(source="cost_center.code")
    run = serializers.CharField(source="run_id", help_text="The allocation that it was made by.")
    statement = serializers.CharField(source="invoice.number", default=None, allow_null=True)
    total = serializers.SerializerMethodField(help_text="In major units, a decimal string.")

    class Meta:
        model = CostStatement
        fields: tuple[str, ...] = (
            "id", "period", "revision", "state", "organization", "cost_center", "mode", "currency", "direct_minor",
            "correction_minor", "shared_minor", "total_minor", "total", "statement", "run", "published_at",
            "disputable_until",
        )  # fmt: skip

    def get_total(self, statement: CostStatement) -> str:
        return f"{from_minor(statement.total_minor, statement.currency):f}"


class CostStatementDetailSerializer(CostStatementSerializer):
    """A statement with the rows that it is made of."""

    rows = serializers.SerializerMethodField()

    class Meta(CostStatementSerializer.Meta):
        fields = (*CostStatementSerializer.Meta.fields, "rows")

    @extend_schema_field(AllocatedSerializer(many=True))
    def get_rows(self, statement: CostStatement) -> list[dict[str, Any]]:
        return list(AllocatedSerializer(statements.rows(statement), many=True).data)


class CostStatementFilter(django_filters.FilterSet):
    """By month, cost center, organization and state."""

    period = django_filters.CharFilter(field_name="period_id")
    cost_center = django_filters.CharFilter(field_name="cost_center__code")
    organization = django_filters.CharFilter(field_name="organization__slug")
    state = django_filters.ChoiceFilter(choices=CostStatement.State.choices)

    class Meta:
        model = CostStatement
        fields: list[str] = []


@extend_schema(tags=["finance"])
class CostStatementViewSet(viewsets.ReadOnlyModelViewSet):
    """Published statements with direct and shared parts, of the cost centers that concern the person."""

    queryset = CostStatement.objects.none()
    serializer_class = CostStatementSerializer
    filterset_class = CostStatementFilter
    lookup_value_regex = UUID_PATTERN

    def get_queryset(self) -> QuerySet[CostStatement]:
        return statements.statements(actor_of(self.request))

    @extend_schema(responses=CostStatementDetailSerializer, parameters=[_ID])
    def retrieve(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Show one with its rows."""
        shown = access.get(self.get_queryset(), pk=self.kwargs["pk"])
        return Response(CostStatementDetailSerializer(shown).data)


class DisputeSerializer(serializers.ModelSerializer):
    """That a part of a statement is not agreed with; `due_at` is until when finance decides."""

    id = serializers.CharField()
    statement = serializers.CharField(source="statement_id")
    period = serializers.CharField(source="statement.period_id")
    cost_center = serializers.CharField(source="statement.cost_center.code")
    currency = serializers.CharField(source="statement.currency")
    app = serializers.CharField(source="app.slug", default=None, allow_null=True)
    event_ids = serializers.ListField(child=serializers.CharField())
    opened_by = serializers.CharField(source="opened_by.email")

    class Meta:
        model = StatementDispute
        fields = (
            "id", "state", "statement", "period", "cost_center", "app", "amount_minor", "currency", "reason",
            "event_ids", "opened_by", "opened_at", "due_at", "decided_at", "decision_note",
        )  # fmt: skip


class DisputeBodySerializer(serializers.Serializer):
    """A dispute to be opened."""

    statement = serializers.CharField(
        help_text="Id of the statement, or the number of its invoice lines, ST-…."
    )
    amount = serializers.CharField(help_text="A decimal string in major units.")
    reason = serializers.CharField(max_length=disputes.LONGEST_REASON)
    app = serializers.CharField(required=False, allow_null=True, help_text="Slug; left out: all of it.")
    event_ids = serializers.ListField(
        child=serializers.CharField(max_length=128), required=False, max_length=disputes.MOST_EVENTS
    )


class DisputeAcceptSerializer(serializers.Serializer):
    """What is granted of a dispute."""

    note = serializers.CharField(max_length=disputes.LONGEST_REASON)
    amount = serializers.CharField(required=False, help_text="Left out: all that is disputed.")
    charge_to = serializers.CharField(
        required=False, help_text="Code of the cost center that bears it instead."
    )


class DisputeNoteSerializer(serializers.Serializer):
    """The reason of a decision."""

    note = serializers.CharField(max_length=disputes.LONGEST_REASON)


class DisputeFilter(django_filters.FilterSet):
    """By state, month and cost center."""

    state = django_filters.ChoiceFilter(choices=StatementDispute.State.choices)
    period = django_filters.CharFilter(field_name="statement__period_id")
    cost_center = django_filters.CharFilter(field_name="statement__cost_center__code")

    class Meta:
        model = StatementDispute
        fields: list[str] = []


@extend_schema(tags=["finance"])
class DisputeViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet):
    """Disputes that the person may see."""

    queryset = StatementDispute.objects.none()
    serializer_class = DisputeSerializer
    filterset_class = DisputeFilter
    parser_classes = (FloatFreeJSONParser,)
    lookup_value_regex = UUID_PATTERN

    def get_queryset(self) -> QuerySet[StatementDispute]:
        return disputes.disputes(actor_of(self.request))

    def get_object(self) -> StatementDispute:
        return access.get(self.get_queryset(), pk=self.kwargs["pk"])

    @extend_schema(responses=DisputeSerializer, parameters=[_ID])
    def retrieve(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Show one."""
        return Response(DisputeSerializer(self.get_object()).data)

    @extend_schema(request=DisputeBodySerializer, responses={201: DisputeSerializer})
    def create(self, request: Request) -> Response:
        """Dispute a part of a statement, within its window. Files are added on its page."""
        typed = _typed(DisputeBodySerializer, request)
        actor = actor_of(request)
        statement = _statement(statements.statements(actor), typed["statement"])
        claim = Claim(
            amount_minor=read_minor(typed["amount"], field="amount", currency=statement.currency),
            reason=typed["reason"],
            app=_app(typed.get("app")),
            event_ids=tuple(typed.get("event_ids", ())),
        )
        made = disputes.open_dispute(statement, claim=claim, by=actor, at=timezone.now(), terms=house_terms())
        return Response(DisputeSerializer(made).data, status=status.HTTP_201_CREATED)

    @extend_schema(request=DisputeAcceptSerializer, responses=DisputeSerializer, parameters=[_ID])
    @action(detail=True, methods=["post"])
    def accept(self, request: Request, pk: str) -> Response:
        """Accept it, all or a part: the next open month corrects it."""
        dispute = self.get_object()
        typed = _typed(DisputeAcceptSerializer, request)
        amount, code = typed.get("amount"), typed.get("charge_to")
        currency = dispute.statement.currency
        disputes.accept(
            dispute,
            note=typed["note"],
            by=actor_of(request),
            at=timezone.now(),
            amount_minor=None if amount is None else read_minor(amount, field="amount", currency=currency),
            charge_to=_center(dispute, code) if code else None,
        )
        return Response(DisputeSerializer(dispute).data)

    @extend_schema(request=DisputeNoteSerializer, responses=DisputeSerializer, parameters=[_ID])
    @action(detail=True, methods=["post"])
    def reject(self, request: Request, pk: str) -> Response:
        """Reject it, with a reason."""
        dispute = self.get_object()
        note = _typed(DisputeNoteSerializer, request)["note"]
        disputes.reject(dispute, note=note, by=actor_of(request), at=timezone.now())
        return Response(DisputeSerializer(dispute).data)

    @extend_schema(request=None, responses=DisputeSerializer, parameters=[_ID])
    @action(detail=True, methods=["post"])
    def withdraw(self, request: Request, pk: str) -> Response:
        """Take your own dispute back."""
        dispute = self.get_object()
        disputes.withdraw(dispute, by=actor_of(request), at=timezone.now())
        return Response(DisputeSerializer(dispute).data)


def _typed(serializer: type[serializers.Serializer], request: Request) -> dict[str, Any]:
    body = serializer(data=request.data)
    body.is_valid(raise_exception=True)
    found: dict[str, Any] = body.validated_data
    return found


def _statement(visible: QuerySet[CostStatement], named: str) -> CostStatement:
    published = visible.filter(state=CostStatement.State.PUBLISHED)
    by_number = published.filter(invoice__number=named).first()
    if by_number is not None:
        return by_number
    try:
        found = published.filter(pk=UUID(named)).first()
    except ValueError:
        found = None
    if found is None:
        raise InvalidInput(
            "statement", "is no published statement that you can see", code="unknown_statement"
        )
    return found


def _app(slug: str | None) -> App | None:
    if not slug:
        return None
    app = App.objects.filter(slug=slug).first()
    if app is None:
        raise InvalidInput("app", "is no app", code="unknown_app")
    return app


def _center(dispute: StatementDispute, code: str) -> Any:
    center = dispute.statement.organization.cost_centers.filter(code=code).first()
    if center is None:
        raise InvalidInput("charge_to", "is no cost center of the organization")
    return center


# --- reopening -------------------------------------------------------------------------------------------


class ReopeningSerializer(serializers.ModelSerializer):
    """That a closed month takes corrections again. Usage and invoices of it stay closed."""

    period = serializers.CharField(source="period_id")
    proposed_by = serializers.CharField(source="proposed_by.email")
    decided_by = serializers.CharField(source="decided_by.email", default=None, allow_null=True)

    class Meta:
        model = Reopening
        fields = (
            "period",
            "state",
            "reason",
            "proposed_by",
            "proposed_at",
            "decided_by",
            "decided_at",
            "ended_at",
        )


class ReopenBodySerializer(serializers.Serializer):
    """Why a month is to be reopened; needed to ask, not to agree."""

    reason = serializers.CharField(required=False, default="", allow_blank=True, max_length=500)


class ReopenView(APIView):
    """Reopening a closed month for corrections."""

    parser_classes = (FloatFreeJSONParser,)

    @extend_schema(
        operation_id="periods_reopen",
        tags=["finance"],
        summary="Reopen a closed month for corrections",
        description=(
            "The first person asks with a reason: 202. A second one of finance who posts agrees: 200. Late usage goes to "
            "the next open month all the same, and issued invoices never change."
        ),
        parameters=[_NAME],
        request=ReopenBodySerializer,
        responses={200: ReopeningSerializer, 202: ReopeningSerializer},
    )
    def post(self, request: Request, name: str) -> Response:
        actor, now = actor_of(request), timezone.now()
        access.require_platform(actor, Role.FINANCE)
        reason = _typed(ReopenBodySerializer, request)["reason"]
        period = access.get(BillingPeriod.objects.all(), pk=parse_month(name).name)
        waiting = reopening.active(period)
        if waiting is not None and waiting.state == Reopening.State.PROPOSED:
            reopening.approve(waiting, by=actor, at=now, note=reason)
            return Response(ReopeningSerializer(waiting).data)
        made = reopening.propose(period, reason=reason, by=actor, at=now)
        return Response(ReopeningSerializer(made).data, status=status.HTTP_202_ACCEPTED)


class LockView(APIView):
    """Locking a reopened month again."""

    @extend_schema(
        operation_id="periods_lock",
        tags=["finance"],
        parameters=[_NAME],
        request=None,
        responses=ReopeningSerializer,
    )
    def post(self, request: Request, name: str) -> Response:
        """Lock a reopened month: it takes nothing more."""
        actor = actor_of(request)
        access.require_platform(actor, Role.FINANCE)
        found = Reopening.objects.filter(period=parse_month(name).name, state=Reopening.State.APPROVED)
        one = access.get(found)
        reopening.lock(one, by=actor, at=timezone.now())
        return Response(ReopeningSerializer(one).data)
