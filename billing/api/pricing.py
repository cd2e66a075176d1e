"""The pricing calculators of the management API."""

from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from billing import api_schema as schema
from billing.pricing import parse_quote_request, quote
from billing.revenue_share import parse_and_split
from marketplace.core.parsers import FloatFreeJSONParser

_REFUSED = {
    (400, "application/problem+json"): schema.PROBLEM,
    (401, "application/problem+json"): schema.PROBLEM,
}


class QuoteView(APIView):
    permission_classes = [IsAuthenticated]
    parser_classes = [FloatFreeJSONParser]

    @extend_schema(
        operation_id="pricing_quote",
        tags=["pricing"],
        summary="Price usage under charges, with an explanation of every line",
        request={"application/json": schema.QUOTE_REQUEST},
        responses={(200, "application/json"): schema.QUOTE, **_REFUSED},
        examples=[OpenApiExample("A fee and tokens", schema.QUOTE_EXAMPLE, request_only=True)],
    )
    def post(self, request: Request) -> Response:
        asked = parse_quote_request(request.data)
        answer = quote(
            asked.charges,
            currency=asked.currency,
            usage=asked.usage,
            billed_before=asked.billed_before,
            period=asked.period,
            active=asked.active,
            discounts=asked.discounts,
        )
        return Response(answer.as_json())


class SplitView(APIView):
    permission_classes = [IsAuthenticated]
    parser_classes = [FloatFreeJSONParser]

    @extend_schema(
        operation_id="pricing_split",
        tags=["pricing"],
        summary="Split a price between creator and platform",
        request={"application/json": schema.SPLIT_REQUEST},
        responses={(200, "application/json"): schema.SPLIT, **_REFUSED},
        examples=[OpenApiExample("Net of cost", schema.SPLIT_EXAMPLE, request_only=True)],
    )
    def post(self, request: Request) -> Response:
        return Response(parse_and_split(request.data).as_json())
