import json
from typing import Any

import pytest
from rest_framework.response import Response
from rest_framework.test import APIRequestFactory, force_authenticate

from billing.api.pricing import QuoteView, SplitView
from marketplace.accounts.models import User

QUOTE = {
    "currency": "USD",
    "charges": [{"code": "tokens", "model": "per_unit", "unit_amount": "0.067"}],
    "usage": {"tokens": "55"},
}
SPLIT = {"price": "13", "platform_cost": "10", "share": "0.20", "basis": "gross", "currency": "USD"}


def post(view: type[QuoteView] | type[SplitView], body: Any, *, is_signed_in: bool = True) -> Response:
    content = body if isinstance(body, str) else json.dumps(body)
    request = APIRequestFactory().post("/", content, content_type="application/json")
    if is_signed_in:
        force_authenticate(request, user=User(pk=1))
    response = view.as_view()(request)
    response.render()
    return response


class TestQuote:
    def test_answers_lines_and_totals(self) -> None:
        response = post(QuoteView, QUOTE)

        # 55 x 0.067 = 3.685
        assert response.status_code == 200
        assert response.data["lines"][0]["amount"] == "3.685"
        assert response.data["total_minor"] == 369
        assert response.data["currency"] == "USD"

    def test_names_a_float_by_field(self) -> None:
        body = json.dumps(QUOTE).replace('"0.067"', "0.067")

        response = post(QuoteView, body)

        assert response.status_code == 400
        assert response.headers["Content-Type"].startswith("application/problem+json")
        assert [(error["field"], error["code"]) for error in response.data["errors"]] == [
            ("charges[0].unit_amount", "float_not_allowed")
        ]

    def test_names_a_missing_quantity(self) -> None:
        response = post(QuoteView, {**QUOTE, "usage": {}})

        assert response.status_code == 400
        assert response.data["errors"][0]["field"] == "usage.tokens"

    @pytest.mark.parametrize(
        "body",
        [
            "",
            "{",
            '{"currency": NaN}',
            '{"currency": "USD", "currency": "EUR"}',
            '{"usage": {"\\ud800": "1"}}',
            "[" * 100_000,
            '{"currency": ' + "9" * 5000 + "}",
        ],
        ids=["empty", "cut", "not a number", "name twice", "not text", "deep", "long number"],
    )
    def test_refuses_what_is_not_json(self, body: str) -> None:
        assert post(QuoteView, body).status_code == 400

    def test_is_for_people_who_signed_in(self) -> None:
        assert post(QuoteView, QUOTE, is_signed_in=False).status_code == 401


class TestSplit:
    def test_shows_margin_and_break_even(self) -> None:
        response = post(SplitView, SPLIT)

        assert response.status_code == 200
        assert (response.data["platform_margin"], response.data["sustainable"]) == ("-7.4", False)

    def test_names_a_share_above_one(self) -> None:
        response = post(SplitView, {**SPLIT, "share": "20"})

        assert response.status_code == 400
        assert response.data["errors"] == [
            {
                "field": "share",
                "message": "is a fraction from 0 to 1; 20 percent is 0.20",
                "code": "invalid",
                "limit": "1",
            }
        ]

    def test_is_for_people_who_signed_in(self) -> None:
        assert post(SplitView, SPLIT, is_signed_in=False).status_code == 401
