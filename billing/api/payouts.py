"""/payouts, /earnings and /agreements: what creators are owed and paid, and how prices are split."""

from typing import Any

import django_filters
from django.db.models import QuerySet
from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import mixins, serializers, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from billing import agreements
from billing.creators import earnings, paying, queries
from billing.creators.balances import balances_of
from billing.models import Payout, RevenueShareAgreement
from marketplace.accounts.requests import actor_of
from marketplace.core.money import from_minor
from marketplace.core.parsers import FloatFreeJSONParser

PAYOUT_ID = "[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_ID = OpenApiParameter("id", OpenApiTypes.UUID, "path", description="Of the payout.")


class PayoutSerializer(serializers.ModelSerializer):
    """What a team is paid on one day."""

    id = serializers.CharField()
    team = serializers.CharField(source="team.slug")
    amount = serializers.SerializerMethodField(help_text="In major units, a decimal string.")
    is_approved = serializers.BooleanField()

    class Meta:
        model = Payout
        fields: tuple[str, ...] = (
            "id", "team", "currency", "amount_minor", "amount", "state", "method", "due_date", "needs_second_person",
            "is_approved", "reason", "attempts", "reference", "created_at", "sent_at", "paid_at",
        )  # fmt: skip

    def get_amount(self, payout: Payout) -> str:
        return f"{from_minor(payout.amount_minor, payout.currency):f}"


class PayoutActionSerializer(serializers.Serializer):
    """The reason of holding, failing or retrying, or the bank's reference of a confirmation."""

    note = serializers.CharField(required=False, default="", allow_blank=True, max_length=500)


class PayoutFilter(django_filters.FilterSet):
    """By team, state and currency."""

    team = django_filters.CharFilter(field_name="team__slug")
    state = django_filters.ChoiceFilter(choices=Payout.State.choices)
    currency = django_filters.CharFilter(field_name="currency")

    class Meta:
        model = Payout
        fields: list[str] = []


@extend_schema(tags=["finance"])
class PayoutViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet):
    """Payouts of the teams whose earnings the person sees; the marketplace's finance sees all and decides."""

    queryset = Payout.objects.none()
    serializer_class = PayoutSerializer
    filterset_class = PayoutFilter
    parser_classes = (FloatFreeJSONParser,)
    lookup_value_regex = PAYOUT_ID

    def get_queryset(self) -> QuerySet[Payout]:
        return queries.payouts(actor_of(self.request)).order_by("-due_date", "-pk")

    @extend_schema(parameters=[_ID], request=None, responses=PayoutSerializer)
    @action(detail=True, methods=["post"])
    def approve(self, request: Request, pk: str) -> Response:
        """Approve a payout as the first or the second person."""
        payout = self.get_object()
        paying.approve_one(payout, by=actor_of(request), at=timezone.now())
        return Response(PayoutSerializer(payout).data)

    @extend_schema(parameters=[_ID], request=PayoutActionSerializer, responses=PayoutSerializer)
    @action(detail=True, methods=["post"])
    def hold(self, request: Request, pk: str) -> Response:
        """Keep a payout from being paid, with a reason."""
        payout, note = self.get_object(), self._note(request)
        paying.hold(payout, reason=note, by=actor_of(request), at=timezone.now())
        return Response(PayoutSerializer(payout).data)

    @extend_schema(parameters=[_ID], request=None, responses=PayoutSerializer)
    @action(detail=True, methods=["post"])
    def release(self, request: Request, pk: str) -> Response:
        """Let a held payout go on."""
        payout = self.get_object()
        paying.release(payout, by=actor_of(request), at=timezone.now())
        return Response(PayoutSerializer(payout).data)

    @extend_schema(parameters=[_ID], request=PayoutActionSerializer, responses=PayoutSerializer)
    @action(detail=True, methods=["post"])
    def fail(self, request: Request, pk: str) -> Response:
        """Write down that a payout did not arrive."""
        payout, note = self.get_object(), self._note(request)
        paying.fail(payout, reason=note, by=actor_of(request), at=timezone.now())
        return Response(PayoutSerializer(payout).data)

    @extend_schema(parameters=[_ID], request=PayoutActionSerializer, responses=PayoutSerializer)
    @action(detail=True, methods=["post"])
    def retry(self, request: Request, pk: str) -> Response:
        """Try a failed payout again, with a reason."""
        payout, note = self.get_object(), self._note(request)
        paying.retry(payout, reason=note, by=actor_of(request), at=timezone.now())
        return Response(PayoutSerializer(payout).data)

    @extend_schema(parameters=[_ID], request=PayoutActionSerializer, responses=PayoutSerializer)
    @action(detail=True, methods=["post"])
    def confirm(self, request: Request, pk: str) -> Response:
        """Book a bank transfer that was carried out; `note` is the bank's reference."""
        payout, note = self.get_object(), self._note(request)
        paying.confirm(payout, reference=note, by=actor_of(request), at=timezone.now())
        payout.refresh_from_db()
        return Response(PayoutSerializer(payout).data)

    def _note(self, request: Request) -> str:
        typed = PayoutActionSerializer(data=request.data)
        typed.is_valid(raise_exception=True)
        return str(typed.validated_data["note"])


class BalanceSerializer(serializers.Serializer):
    """What a team has in a currency, in minor units."""

    team = serializers.CharField()
    currency = serializers.CharField()
    held_minor = serializers.IntegerField()
    available_minor = serializers.IntegerField()
    on_its_way_minor = serializers.IntegerField()


class EarningSerializer(serializers.Serializer):
    """What an app brought in a month, in minor units."""

    month = serializers.CharField()
    app = serializers.CharField()
    team = serializers.CharField()
    currency = serializers.CharField()
    earned_minor = serializers.IntegerField()
    taken_minor = serializers.IntegerField()
    released_minor = serializers.IntegerField()
    held_minor = serializers.IntegerField()


class EarningsSerializer(serializers.Serializer):
    """Balances of teams, and earnings by month and app."""

    balances = BalanceSerializer(many=True)
    earnings = EarningSerializer(many=True)


class EarningsView(APIView):
    @extend_schema(
        operation_id="earnings", tags=["finance"], summary="What apps earned", responses=EarningsSerializer
    )
    def get(self, request: Request) -> Response:
        """Give balances and earnings of the teams whose earnings the person sees."""
        teams = dict(queries.earning_teams(actor_of(request)).values_list("pk", "slug"))
        balances = [{**vars(one), "team": teams[one.team_id]} for one in balances_of(list(teams))]
        rows = [
            {**vars(one), "app": one.app_slug, "team": teams[one.team_id]}
            for one in earnings.earnings(list(teams))
        ]
        return Response(EarningsSerializer({"balances": balances, "earnings": rows}).data)


class AgreementSerializer(serializers.ModelSerializer):
    """How an app's price is split, from a date."""

    app = serializers.CharField(source="app.slug")
    fees = serializers.ListField(child=serializers.DictField())
    tiers = serializers.ListField(child=serializers.DictField())

    class Meta:
        model = RevenueShareAgreement
        fields: tuple[str, ...] = (
            "app", "basis", "share", "fees", "tiers", "tier_window", "guarantee_minor", "currency", "starts_at", "ends_at",
        )  # fmt: skip


class AgreementFilter(django_filters.FilterSet):
    """By app."""

    app = django_filters.CharFilter(field_name="app__slug")

    class Meta:
        model = RevenueShareAgreement
        fields: list[str] = []


@extend_schema(tags=["finance"])
class AgreementViewSet(mixins.ListModelMixin, viewsets.GenericViewSet):
    """Agreements of the apps whose terms the person sees."""

    queryset = RevenueShareAgreement.objects.none()
    serializer_class = AgreementSerializer
    filterset_class = AgreementFilter

    def get_queryset(self) -> Any:
        return agreements.agreements(actor_of(self.request))
