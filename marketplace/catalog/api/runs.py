"""/runs: what you gave apps by their forms and got back; links that share one inside your organization."""

from typing import Any

from django.db.models import QuerySet
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import mixins, serializers, status, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from marketplace.accounts import access
from marketplace.accounts.requests import actor_of
from marketplace.catalog import kept_runs
from marketplace.catalog.api.checks import ID
from marketplace.catalog.run_models import KeptRun, RunShare
from marketplace.core.api_fields import AmountField


class KeptRunSerializer(serializers.ModelSerializer):
    """A run with its input and output; ``problems`` says where the output is not what the app promises."""

    id = serializers.CharField(read_only=True)
    app = serializers.CharField(source="app.slug", read_only=True)
    version = serializers.IntegerField(source="version.number", read_only=True)
    subscription = serializers.CharField(source="subscription_id", read_only=True)
    input = serializers.DictField(source="data", read_only=True)
    problems = serializers.ListField(child=serializers.CharField(), read_only=True)
    cost = AmountField(read_only=True)

    class Meta:
        model = KeptRun
        fields = (
            "id", "app", "version", "subscription", "input", "output", "problems", "failure", "cost", "currency", "model",
            "latency_ms", "created_at", "ended_at", "expires_at",
        )  # fmt: skip


class NewShareSerializer(serializers.Serializer):
    """For how long the link works."""

    days = serializers.IntegerField(min_value=1, max_value=kept_runs.MAX_SHARE_DAYS, default=7)


class RunShareSerializer(serializers.ModelSerializer):
    """A link to a run, for people of one organization."""

    id = serializers.CharField(read_only=True)
    run = serializers.CharField(source="run_id", read_only=True)
    organization = serializers.CharField(source="organization.slug", read_only=True)

    class Meta:
        model = RunShare
        fields = ("id", "run", "organization", "created_at", "ends_at", "revoked_at")


class KeptRunViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet):
    """Your own runs, until they expire."""

    serializer_class = KeptRunSerializer
    lookup_value_regex = ID
    queryset = KeptRun.objects.none()

    def get_queryset(self) -> QuerySet[KeptRun]:
        if getattr(self, "swagger_fake_view", False):
            return KeptRun.objects.none()
        return kept_runs.own(actor_of(self.request), at=timezone.now())

    def get_object(self) -> KeptRun:
        return access.get(self.get_queryset(), pk=self.kwargs["pk"])

    def destroy(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Delete a run and the link to it; what it used stays metered."""
        kept_runs.forget(self.get_object())
        return Response(status=status.HTTP_204_NO_CONTENT)

    @extend_schema(request=NewShareSerializer, responses={201: RunShareSerializer}, methods=["POST"])
    @extend_schema(request=None, responses={204: None}, methods=["DELETE"])
    @action(detail=True, methods=["post", "delete"])
    def share(self, request: Request, pk: str) -> Response:
        """Make a link to a run, in place of an earlier one; DELETE takes it back."""
        run, by, now = self.get_object(), actor_of(request).user, timezone.now()
        if request.method == "DELETE":
            kept_runs.unshare(run, by=by, at=now)
            return Response(status=status.HTTP_204_NO_CONTENT)
        body = NewShareSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        made = kept_runs.share(run, days=body.validated_data["days"], by=by, at=now)
        return Response(RunShareSerializer(made).data, status=status.HTTP_201_CREATED)


class SharedRunViewSet(viewsets.ViewSet):
    """Runs that people of your organization shared."""

    lookup_value_regex = ID

    @extend_schema(responses=KeptRunSerializer)
    def retrieve(self, request: Request, pk: str) -> Response:
        """Show a shared run by the id of its link."""
        link = access.get(kept_runs.shared_with(actor_of(request), at=timezone.now()), pk=pk)
        return Response(KeptRunSerializer(link.run).data)


ROUTES: list[tuple[str, type[viewsets.ViewSetMixin], str]] = [
    ("runs", KeptRunViewSet, "run"),
    ("shared-runs", SharedRunViewSet, "shared-run"),
]
