"""/pricing/compare: plans side by side, with their curve and break-even points."""

from typing import Any

from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from billing import api_schema as schema
from billing.calculator import MOST_CALLS, MOST_PLANS, as_json, compare
from billing.calculator_requests import parse_comparison
from billing.house import house_terms
from marketplace.core.parsers import FloatFreeJSONParser

_CALLS = {"type": "integer", "minimum": 0, "maximum": MOST_CALLS}
REQUEST: dict[str, Any] = {
    "type": "object",
    "required": ["currency", "plans"],
    "additionalProperties": False,
    "properties": {
        "currency": schema.QUOTE_REQUEST["properties"]["currency"],
        "plans": {
            "type": "array",
            "minItems": 1,
            "maxItems": MOST_PLANS,
            "items": {
                "type": "object",
                "required": ["charges"],
                "additionalProperties": False,
                "properties": {
                    "name": {"type": "string", "maxLength": 60},
                    "charges": {
                        "type": "array",
                        "items": schema.CHARGE,
                        "description": "As in a quote; none: free. The last tier is open.",
                    },
                },
            },
        },
        "calls": {
            "type": "array",
            "items": _CALLS,
            "description": "1,000, 10,000 and 100,000 when left out.",
        },
        "cost_per_call": schema.AMOUNT,
        "per_call": {
            "type": "object",
            "additionalProperties": schema.AMOUNT,
            "description": "How much of other measures a call uses, by the code of the charge, such as tokens.",
        },
        "share": schema.SPLIT_REQUEST["properties"]["share"],
        "basis": schema.SPLIT_REQUEST["properties"]["basis"],
        "most_calls": {**_CALLS, "description": "Where the curve and the search for break-even points end."},
    },
}
_RANGE = {
    "type": "object",
    "properties": {
        "from_calls": {"type": "integer"},
        "to_calls": {"type": "integer", "nullable": True},
        "cheaper": {"type": "string", "nullable": True, "description": "Null: both cost the same."},
    },
}
ANSWER: dict[str, Any] = {
    "type": "object",
    "properties": {
        "currency": {"type": "string"},
        "plans": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "name": {"type": "string"},
                    "bills": {"type": "array", "items": {"type": "object", "additionalProperties": True}},
                },
            },
        },
        "curve": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "calls": {"type": "integer"},
                    "total_minor": {"type": "array", "items": {"type": "integer"}},
                },
            },
        },
        "break_even": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "plans": {"type": "array", "items": {"type": "string"}},
                    "points": {"type": "array", "items": {"type": "integer"}},
                    "ranges": {"type": "array", "items": _RANGE},
                },
            },
        },
    },
}
EXAMPLE = {
    "currency": "USD",
    "cost_per_call": "0.01",
    "plans": [
        {
            "name": "Fee and usage",
            "charges": [
                {"code": "fee", "model": "flat", "amount": "50"},
                {"code": "cost", "model": "cost_plus", "markup": "0.30"},
            ],
        },
        {"name": "Usage only", "charges": [{"code": "cost", "model": "cost_plus", "markup": "0.60"}]},
    ],
    "most_calls": 100000,
}


class CompareView(APIView):
    permission_classes = [IsAuthenticated]
    parser_classes = [FloatFreeJSONParser]

    @extend_schema(
        operation_id="pricing_compare",
        tags=["pricing"],
        summary="Compare plans: worked bills, the curve of price against usage, break-even points",
        request={"application/json": REQUEST},
        responses={
            (200, "application/json"): ANSWER,
            (400, "application/problem+json"): schema.PROBLEM,
            (401, "application/problem+json"): schema.PROBLEM,
        },
        examples=[OpenApiExample("A fee, or a higher markup", EXAMPLE, request_only=True)],
    )
    def post(self, request: Request) -> Response:
        asked = parse_comparison(request.data, default=house_terms().default_share)
        found = compare(
            asked.plans, conditions=asked.conditions, calls=asked.calls, most_calls=asked.most_calls
        )
        return Response(as_json(found, currency=asked.conditions.currency))
