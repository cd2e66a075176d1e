"""/benches: a version's examples over several models, with what each answered and cost."""

from typing import Any

from django.conf import settings
from django.db.models import QuerySet
from django.utils import timezone
from django_filters import rest_framework as filters
from drf_spectacular.utils import extend_schema
from rest_framework import mixins, serializers, viewsets
from rest_framework.request import Request
from rest_framework.response import Response

from marketplace.accounts import access
from marketplace.accounts.requests import actor_of
from marketplace.catalog import benches, queries_creator
from marketplace.catalog.bench_models import BenchResult, BenchRun
from marketplace.core.api_fields import AmountField
from marketplace.core.errors import Conflict
from marketplace.gateway import bench


class BenchResultSerializer(serializers.ModelSerializer):
    """What one model answered to one case; ``missed`` lists what was expected and not kept, null: not judged."""

    cost = AmountField(read_only=True)
    missed = serializers.ListField(child=serializers.CharField(), read_only=True, allow_null=True)

    class Meta:
        model = BenchResult
        fields = ("model", "case", "output", "failure", "missed", "cost", "latency_ms")


class BenchSerializer(serializers.ModelSerializer):
    """A round of a version's examples. The first case is the app's own example, then come the kept ones."""

    id = serializers.CharField(read_only=True)
    app = serializers.CharField(source="version.app.slug", read_only=True)
    version = serializers.IntegerField(source="version.number", read_only=True)
    models = serializers.ListField(source="model_names", child=serializers.CharField(), read_only=True)
    most_cost = AmountField(read_only=True)
    created_by = serializers.CharField(source="created_by.email", read_only=True)
    results = BenchResultSerializer(many=True, read_only=True)

    class Meta:
        model = BenchRun
        fields = (
            "id", "app", "version", "models", "cases", "most_cost", "currency", "stopped_because", "created_by",
            "created_at", "ended_at", "results",
        )  # fmt: skip


class NewBenchSerializer(serializers.Serializer):
    """Which app of yours, over which models; an app that runs elsewhere needs none."""

    app = serializers.CharField(help_text="Its slug; the newest version is taken.")
    models = serializers.ListField(child=serializers.CharField(max_length=80), required=False, default=list)


class BenchFilter(filters.FilterSet):
    app = filters.CharFilter(field_name="version__app__slug")
    version = filters.NumberFilter(field_name="version__number")

    class Meta:
        model = BenchRun
        fields = ("app", "version")


class BenchViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet):
    """Benches of the apps you make; their calls are paid from the sandbox credit of the app's team."""

    serializer_class = BenchSerializer
    filterset_class = BenchFilter
    lookup_value_regex = "[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
    queryset = BenchRun.objects.none()

    def get_queryset(self) -> QuerySet[BenchRun]:
        if getattr(self, "swagger_fake_view", False):
            return BenchRun.objects.none()
        return benches.visible(actor_of(self.request)).order_by("-pk")

    def get_object(self) -> BenchRun:
        return access.get(self.get_queryset(), pk=self.kwargs["pk"])

    @extend_schema(request=NewBenchSerializer, responses={202: BenchSerializer})
    def create(self, request: Request) -> Response:
        """Begin a bench; ask for it again until ``ended_at`` is there."""
        body = NewBenchSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        wanted: dict[str, Any] = dict(body.validated_data)
        app = access.get(queries_creator.owned_apps(actor_of(request)), slug=wanted["app"])
        version, now = queries_creator.newest_version(app), timezone.now()
        models = benches.check_models(version, wanted["models"])
        if problem := bench.why_not(version):
            raise Conflict(problem, code="no_bench")
        made = benches.start(
            version,
            models=models,
            most_cost=bench.most_cost(version, models, at=now),
            currency=settings.CURRENCY,
            by=actor_of(request).user,
            at=now,
        )
        return Response(BenchSerializer(made).data, status=202)


ROUTES = [("benches", BenchViewSet, "bench")]
