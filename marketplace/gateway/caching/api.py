"""/call-savings in the management API: how calls of an app are saved, what that came to, forgetting what is kept."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from django.utils import timezone
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from marketplace.accounts import access
from marketplace.accounts.requests import actor_of
from marketplace.catalog.models import App
from marketplace.core.errors import InvalidInput
from marketplace.gateway.caching import changing, similar
from marketplace.gateway.caching.changing import SavingFacts
from marketplace.gateway.caching.judging import Measured
from marketplace.gateway.caching.owners import apps_to_save
from marketplace.gateway.saving_models import LONGEST_TTL_S, SHORTEST_TTL_S, CallSaving
from metering import saved_usage

MOST_DAYS = 400


class CallSavingSerializer(serializers.Serializer):
    """How calls of an app are saved. What is left out of a change stays as it is."""

    ttl_s = serializers.IntegerField(
        required=False,
        allow_null=True,
        min_value=SHORTEST_TTL_S,
        max_value=LONGEST_TTL_S,
        help_text="How long an answer is kept, in seconds; null: none is.",
    )
    any_temperature = serializers.BooleanField(required=False)
    compares = serializers.BooleanField(
        required=False, help_text="Whether similar questions are measured, and answered once that is proved."
    )
    similar_threshold = serializers.DecimalField(required=False, max_digits=4, decimal_places=3)
    is_batchable = serializers.BooleanField(required=False)


class ShownSavingSerializer(CallSavingSerializer):
    """How calls of an app are saved, and how far similar questions are proved."""

    app = serializers.CharField()
    similar = serializers.CharField(help_text="off, measuring, serving or stopped.")
    trials = serializers.IntegerField()
    wrong = serializers.IntegerField()
    wrong_rate_high = serializers.CharField(help_text="The upper end of the rate's interval, from 0 to 1.")


class SavedSerializer(serializers.Serializer):
    """What was saved on a day in UTC by one means: cache, similar or batch."""

    day = serializers.DateField()
    by = serializers.CharField()
    currency = serializers.CharField()
    calls = serializers.IntegerField()
    tokens = serializers.IntegerField()
    cost = serializers.DecimalField(max_digits=38, decimal_places=18, normalize_output=True)


class PurgedSerializer(serializers.Serializer):
    """How many answers the database had kept."""

    answers = serializers.IntegerField()


class CallSavingViewSet(viewsets.ViewSet):
    """Saved calls of your apps; operators reach every app."""

    lookup_field = "slug"
    lookup_value_regex = "[-a-zA-Z0-9_]+"

    @extend_schema(responses=ShownSavingSerializer)
    def retrieve(self, request: Request, slug: str) -> Response:
        """Show how calls of an app are saved."""
        return Response(_shown(_app(request, slug)))

    @extend_schema(request=CallSavingSerializer, responses=ShownSavingSerializer)
    def partial_update(self, request: Request, slug: str) -> Response:
        """Set how calls of an app are saved, from its next call on."""
        app = _app(request, slug)
        given = CallSavingSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        facts = replace(_facts(changing.saving_of(app)), **given.validated_data)
        changing.change(app, facts=facts, by=actor_of(request).user, at=timezone.now())
        return Response(_shown(app))

    @extend_schema(request=None, responses=PurgedSerializer)
    @action(detail=True, methods=["post"])
    def purge(self, request: Request, slug: str) -> Response:
        """Forget the kept answers of an app."""
        count = changing.purge(_app(request, slug), by=actor_of(request).user, at=timezone.now())
        return Response({"answers": count})

    @extend_schema(
        parameters=[OpenApiParameter("days", int, description="How many, today among them; default 30.")],
        responses=SavedSerializer(many=True),
        filters=False,
    )
    @action(detail=True, methods=["get"])
    def saved(self, request: Request, slug: str) -> Response:
        """Sum what was saved, by day, means and currency."""
        app, now = _app(request, slug), timezone.now()
        rows = saved_usage.by_day(app.pk, starts_at=_since(request, now), ends_at=now)
        return Response(SavedSerializer(rows, many=True).data)


def _app(request: Request, slug: str) -> App:
    return access.get(apps_to_save(actor_of(request)), slug=slug)


def _since(request: Request, now: datetime) -> datetime:
    text = request.query_params.get("days", "30")
    if not text.isdecimal() or not 1 <= int(text) <= MOST_DAYS:
        raise InvalidInput("days", f"A whole number from 1 to {MOST_DAYS}.", limit=MOST_DAYS)
    first = now.astimezone(UTC) - timedelta(days=int(text) - 1)
    return first.replace(hour=0, minute=0, second=0, microsecond=0)


def _facts(saving: CallSaving | None) -> SavingFacts:
    if saving is None:
        return SavingFacts(ttl_s=None)
    return SavingFacts(
        ttl_s=saving.ttl_s,
        any_temperature=saving.any_temperature,
        compares=saving.similar != CallSaving.Similar.OFF,
        similar_threshold=saving.similar_threshold,
        is_batchable=saving.is_batchable,
    )


def _shown(app: App) -> dict[str, Any]:
    saving = changing.saving_of(app)
    facts, found = _facts(saving), similar.measured(saving) if saving else Measured(0, 0)
    return {
        "app": app.slug,
        "ttl_s": facts.ttl_s,
        "any_temperature": facts.any_temperature,
        "compares": facts.compares,
        "similar": saving.similar if saving else CallSaving.Similar.OFF,
        "similar_threshold": str(facts.similar_threshold),
        "is_batchable": facts.is_batchable,
        "trials": found.trials,
        "wrong": found.wrong,
        "wrong_rate_high": f"{found.interval[1]:.4f}",
    }


ROUTES = [("call-savings", CallSavingViewSet, "call-saving")]
