"""/takedowns, /appeals, /price-changes: what a second person decides."""

from collections.abc import Callable
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
from marketplace.catalog import appeals, price_changes, queries, takedowns
from marketplace.catalog.api.fields import PlanTermsSerializer
from marketplace.catalog.api.reviews import AppealSerializer, TextSerializer
from marketplace.catalog.takedown_models import Appeal, Takedown
from marketplace.catalog.version_models import PriceChange

ID = "[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"


class DecisionNoteSerializer(serializers.Serializer):
    """What whoever decides has to say; needed to refuse, and to call something off."""

    note = serializers.CharField(required=False, default="", allow_blank=True, max_length=2_000)


class TakedownSerializer(serializers.ModelSerializer):
    """That a live app leaves the catalogue, at once or unless it is fixed by a date."""

    id = serializers.CharField(read_only=True)
    app = serializers.CharField(source="app.slug", read_only=True)
    version = serializers.IntegerField(source="version.number", read_only=True)
    proposed_by = serializers.CharField(source="proposed_by.email", read_only=True)
    decided_by = serializers.CharField(source="decided_by.email", read_only=True, default=None)

    class Meta:
        model = Takedown
        fields = (
            "id", "app", "version", "state", "reason", "policy_url", "fix_by", "proposed_by", "proposed_at",
            "decided_by", "decided_at", "decision_note", "ended_at",
        )  # fmt: skip


class NewTakedownSerializer(serializers.Serializer):
    """Which live app shall go, and why."""

    app = serializers.CharField(help_text="Its slug.")
    reason = serializers.CharField(max_length=2_000)
    policy_url = serializers.URLField(required=False, allow_blank=True, default="")
    fix_by = serializers.DateTimeField(
        required=False, allow_null=True, default=None, help_text="Live until then; left out: down at once."
    )


class PriceChangeSerializer(serializers.ModelSerializer):
    """That subscribers of an app go over to another plan; a rise waits for a second person, then for its date."""

    id = serializers.CharField(read_only=True)
    app = serializers.CharField(source="app.slug", read_only=True)
    version = serializers.IntegerField(source="version.number", read_only=True)
    old_plan = PlanTermsSerializer(read_only=True)
    new_plan = PlanTermsSerializer(read_only=True)
    proposed_by = serializers.CharField(source="proposed_by.email", read_only=True)
    decided_by = serializers.CharField(source="decided_by.email", read_only=True, default=None)

    class Meta:
        model = PriceChange
        fields = (
            "id", "app", "version", "state", "is_rise", "old_plan", "new_plan", "reason", "starts_at", "proposed_by",
            "proposed_at", "decided_by", "decided_at", "decision_note", "ended_at",
        )  # fmt: skip


class TakedownFilter(filters.FilterSet):
    app = filters.CharFilter(field_name="app__slug")
    state = filters.ChoiceFilter(choices=Takedown.State.choices)

    class Meta:
        model = Takedown
        fields = ("app", "state")


class AppealFilter(filters.FilterSet):
    app = filters.CharFilter(field_name="app__slug")
    state = filters.ChoiceFilter(choices=Appeal.State.choices)

    class Meta:
        model = Appeal
        fields = ("app", "state")


class PriceChangeFilter(filters.FilterSet):
    app = filters.CharFilter(field_name="app__slug")
    state = filters.ChoiceFilter(choices=PriceChange.State.choices)

    class Meta:
        model = PriceChange
        fields = ("app", "state")


class SecondLookViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet):
    """What the resources below have in common: who sees what, and how a decision is read."""

    lookup_value_regex = ID
    visible: Callable[[Any], QuerySet[Any]]

    def get_queryset(self) -> QuerySet[Any]:
        if getattr(self, "swagger_fake_view", False):
            return super().get_queryset()
        return type(self).visible(actor_of(self.request)).order_by("-pk")

    def get_object(self) -> Any:
        return access.get(self.get_queryset(), pk=self.kwargs["pk"])

    def decided(self, request: Request, act: Callable[..., Any], *, word: str = "note") -> Response:
        """Do what the path says with the note of the body, and answer what it became."""
        body = DecisionNoteSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        note = {word: body.validated_data["note"]}
        act(self.get_object(), by=actor_of(request), at=timezone.now(), **note)
        return self.shown()

    def withdrawn(self, request: Request, act: Callable[..., Any]) -> Response:
        """Take something back, and answer what it became."""
        act(self.get_object(), by=actor_of(request), at=timezone.now())
        return self.shown()

    def shown(self) -> Response:
        return Response(self.get_serializer(self.get_object()).data)


class TakedownViewSet(SecondLookViewSet):
    """Takedowns of your own apps, once decided, and of those you review."""

    serializer_class = TakedownSerializer
    filterset_class = TakedownFilter
    queryset = Takedown.objects.none()
    visible = staticmethod(takedowns.visible)

    @extend_schema(request=NewTakedownSerializer, responses={201: TakedownSerializer})
    def create(self, request: Request) -> Response:
        """Propose that a live app be taken down; another approver decides."""
        body = NewTakedownSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        wanted: dict[str, Any] = dict(body.validated_data)
        listing = queries.listing_for(actor_of(request), slug=wanted.pop("app"))
        made = takedowns.propose(listing.app, by=actor_of(request), at=timezone.now(), **wanted)
        return Response(TakedownSerializer(made).data, status=201)

    @extend_schema(request=DecisionNoteSerializer, responses=TakedownSerializer)
    @action(detail=True, methods=["post"])
    def approve(self, request: Request, pk: str) -> Response:
        """Approve it as the second person: the app is down when this answers, or has until its date."""
        return self.decided(request, takedowns.approve)

    @extend_schema(request=DecisionNoteSerializer, responses=TakedownSerializer)
    @action(detail=True, methods=["post"])
    def reject(self, request: Request, pk: str) -> Response:
        """Refuse it, with a reason."""
        return self.decided(request, takedowns.reject)

    @extend_schema(request=None, responses=TakedownSerializer)
    @action(detail=True, methods=["post"])
    def withdraw(self, request: Request, pk: str) -> Response:
        """Take your own proposal back."""
        return self.withdrawn(request, takedowns.withdraw)

    @extend_schema(request=TextSerializer, responses={201: AppealSerializer})
    @action(detail=True, methods=["post"])
    def appeal(self, request: Request, pk: str) -> Response:
        """Appeal against it, as one of the app's makers: somebody who had no part in it decides."""
        body = TextSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        made = appeals.of_takedown(
            self.get_object(), text=body.validated_data["text"], by=actor_of(request), at=timezone.now()
        )
        return Response(AppealSerializer(made).data, status=201)


class AppealViewSet(SecondLookViewSet):
    """Appeals of your own apps, and of those you review."""

    serializer_class = AppealSerializer
    filterset_class = AppealFilter
    queryset = Appeal.objects.none()
    visible = staticmethod(appeals.visible)

    @extend_schema(request=DecisionNoteSerializer, responses=AppealSerializer)
    @action(detail=True, methods=["post"])
    def grant(self, request: Request, pk: str) -> Response:
        """Grant it: a rejected version is reviewed again by others, a takedown is undone."""
        return self.decided(request, appeals.grant)

    @extend_schema(request=DecisionNoteSerializer, responses=AppealSerializer)
    @action(detail=True, methods=["post"])
    def refuse(self, request: Request, pk: str) -> Response:
        """Refuse it, with a reason: what was decided stands."""
        return self.decided(request, appeals.refuse)

    @extend_schema(request=None, responses=AppealSerializer)
    @action(detail=True, methods=["post"])
    def withdraw(self, request: Request, pk: str) -> Response:
        """Take it back, as one of the makers."""
        return self.withdrawn(request, appeals.withdraw)


class PriceChangeViewSet(SecondLookViewSet):
    """Price changes of your own apps, and of those you review."""

    serializer_class = PriceChangeSerializer
    filterset_class = PriceChangeFilter
    queryset = PriceChange.objects.none()
    visible = staticmethod(price_changes.visible)

    @extend_schema(request=DecisionNoteSerializer, responses=PriceChangeSerializer)
    @action(detail=True, methods=["post"])
    def approve(self, request: Request, pk: str) -> Response:
        """Approve a rise as the second person; it begins for subscribers after the notice that the platform gives."""

        def approve(change: PriceChange, **words: Any) -> None:
            price_changes.approve(change, notice_days=settings.PRICE_NOTICE_DAYS, **words)

        return self.decided(request, approve)

    @extend_schema(request=DecisionNoteSerializer, responses=PriceChangeSerializer)
    @action(detail=True, methods=["post"])
    def reject(self, request: Request, pk: str) -> Response:
        """Refuse a rise, with a reason; the version stays live at the price that is offered."""
        return self.decided(request, price_changes.reject)

    @extend_schema(request=DecisionNoteSerializer, responses=PriceChangeSerializer)
    @action(detail=True, methods=["post"], url_path="call-off")
    def call_off(self, request: Request, pk: str) -> Response:
        """Let a rise that has not begun not come, as one of the app's makers."""
        return self.decided(request, price_changes.call_off, word="reason")


ROUTES = [
    ("takedowns", TakedownViewSet, "takedown"),
    ("appeals", AppealViewSet, "appeal"),
    ("price-changes", PriceChangeViewSet, "price-change"),
]
