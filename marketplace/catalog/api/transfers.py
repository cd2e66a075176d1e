"""/transfers: apps on their way to another team."""

from collections.abc import Callable
from typing import Any

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
from marketplace.catalog import ownership
from marketplace.catalog.owning import AppTransfer


class TransferSerializer(serializers.ModelSerializer):
    """An app that a team offers to another one, and what became of that."""

    id = serializers.CharField(read_only=True)
    app = serializers.CharField(source="app.slug", read_only=True)
    from_team = serializers.CharField(source="from_team.slug", read_only=True)
    to_team = serializers.CharField(source="to_team.slug", read_only=True)
    proposed_by = serializers.CharField(source="proposed_by.email", read_only=True)
    decided_by = serializers.CharField(source="decided_by.email", read_only=True, default=None)

    class Meta:
        model = AppTransfer
        fields = (
            "id", "app", "from_team", "to_team", "state", "starts_at", "reason", "proposed_by", "proposed_at",
            "decided_by", "decided_at", "note",
        )  # fmt: skip


class NewTransferSerializer(serializers.Serializer):
    """To which team an app shall go."""

    team = serializers.CharField(help_text="Slug of a team of the same organization.")
    starts_at = serializers.DateTimeField(
        required=False, allow_null=True, default=None, help_text="Left out: six minutes after it is accepted."
    )
    reason = serializers.CharField(max_length=2000)


class TransferNoteSerializer(serializers.Serializer):
    """What the other team has to say; needed to decline."""

    note = serializers.CharField(required=False, default="", allow_blank=True, max_length=2000)


class TransferFilter(filters.FilterSet):
    app = filters.CharFilter(field_name="app__slug")

    class Meta:
        model = AppTransfer
        fields = ("app", "state")


@extend_schema(tags=["apps"])
class TransferViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet):
    """Transfers from and to the teams in which you are a creator, or of the organizations you operate."""

    serializer_class = TransferSerializer
    filterset_class = TransferFilter
    lookup_value_regex = "[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
    queryset = AppTransfer.objects.none()

    def get_queryset(self) -> QuerySet[AppTransfer]:
        if getattr(self, "swagger_fake_view", False):
            return AppTransfer.objects.none()
        return ownership.visible_transfers(actor_of(self.request))

    def get_object(self) -> AppTransfer:
        return access.get(self.get_queryset(), pk=self.kwargs["pk"])

    @extend_schema(request=TransferNoteSerializer, responses=TransferSerializer)
    @action(detail=True, methods=["post"])
    def accept(self, request: Request, pk: str) -> Response:
        """Take the app over from its date on, at the earliest in six minutes."""
        return self._answer(request, ownership.accept)

    @extend_schema(request=TransferNoteSerializer, responses=TransferSerializer)
    @action(detail=True, methods=["post"])
    def decline(self, request: Request, pk: str) -> Response:
        """Do not take it, with a note that says why."""
        return self._answer(request, ownership.decline)

    @extend_schema(request=None, responses=TransferSerializer)
    @action(detail=True, methods=["post"])
    def withdraw(self, request: Request, pk: str) -> Response:
        """Take an offer of your own team back."""
        found = self.get_object()
        ownership.withdraw(found, by=actor_of(request), at=timezone.now())
        return Response(TransferSerializer(found).data)

    def _answer(self, request: Request, act: Callable[..., Any]) -> Response:
        found = self.get_object()
        body = TransferNoteSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        act(found, by=actor_of(request), at=timezone.now(), note=body.validated_data["note"])
        return Response(TransferSerializer(found).data)


ROUTES = [("transfers", TransferViewSet, "transfer")]
