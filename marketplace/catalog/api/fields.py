"""What the API shows of versions, checks and plans. Ids and amounts are texts, times RFC 3339."""

from typing import Any

from rest_framework import serializers

from marketplace.catalog.models import Plan, SmokeRun, Version
from marketplace.catalog.plan_terms import terms_of
from marketplace.core.api_fields import AmountField


class PlanTermsSerializer(serializers.Serializer):
    """The terms of a plan; a ``markup`` of null does not pass cost on."""

    currency = serializers.CharField()
    fee = serializers.CharField()
    free_calls = serializers.IntegerField()
    price_per_call = serializers.CharField()
    markup = serializers.CharField(allow_null=True)
    daily_calls_limit = serializers.IntegerField()
    monthly_calls_limit = serializers.IntegerField()
    trial_days = serializers.IntegerField()

    def to_representation(self, plan: Plan) -> dict[str, Any]:
        return {"currency": plan.currency, **terms_of(plan).as_json()}


class CheckSerializer(serializers.ModelSerializer):
    """A smoke test: how far it is, and what a call cost."""

    id = serializers.CharField(read_only=True)
    version = serializers.IntegerField(source="version.number", read_only=True)
    mean_cost = AmountField(read_only=True)
    low_cost = AmountField(read_only=True)
    high_cost = AmountField(read_only=True)
    max_cost = AmountField(read_only=True)

    class Meta:
        model = SmokeRun
        fields = (
            "id", "version", "state", "planned_calls", "done_calls", "failed_calls", "mean_cost", "low_cost",
            "high_cost", "max_cost", "currency", "mean_input_tokens", "mean_cached_input_tokens",
            "mean_cache_write_tokens", "mean_output_tokens", "mean_reasoning_tokens", "p50_latency_ms", "p95_latency_ms", "finding", "sample_output", "created_at", "started_at", "ended_at",
        )  # fmt: skip


class VersionSerializer(serializers.ModelSerializer):
    """A version with everything a reviewer decides on."""

    plan = PlanTermsSerializer(read_only=True, allow_null=True)
    declared_cost_per_call = AmountField(read_only=True)
    submitted_by = serializers.CharField(source="submitted_by.email", read_only=True, default=None)

    class Meta:
        model = Version
        fields = (
            "number", "state", "template", "about", "instructions", "prompt_template", "input_schema",
            "example_input", "examples", "output_format", "output_schema", "endpoint_url", "endpoint_contract", "allowed_models", "max_output_tokens", "expected_monthly_calls",
            "declared_cost_per_call", "slo_latency_ms", "slo_availability_percent", "daily_calls_limit",
            "monthly_calls_limit", "plan", "submitted_by", "submitted_at", "created_at",
        )  # fmt: skip


class ReasonSerializer(serializers.Serializer):
    """Why. Needed to request changes and to reject."""

    reason = serializers.CharField(required=False, allow_blank=True, max_length=2_000, default="")
