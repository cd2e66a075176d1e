import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from unittest import mock

import pytest
from rest_framework.test import APIClient

from billing.models import Coupon
from marketplace.accounts.models import User
from marketplace.catalog.models import Subscription
from tests import factories
from tests.conftest import Cast

CALLS = {"code": "calls", "model": "per_unit", "unit_amount": "0.10"}
TEN = {"code": "TEN", "title": "Ten", "percent": "10"}


def client_for(person: User) -> APIClient:
    client = APIClient()
    client.force_authenticate(person)
    return client


def post(person: User, path: str, body: Any) -> Any:
    return client_for(person).post(f"/api/v1/{path}", json.dumps(body), content_type="application/json")


@pytest.fixture
def subscription(cast: Cast) -> Subscription:
    app = factories.make_app(cast.creator_team)
    plan = factories.make_plan(app, charges=[CALLS], code="standard")
    return factories.make_subscription(app, cast.consumer_team, plan=plan)


@pytest.fixture(autouse=True)
def clock() -> Iterator[None]:
    with mock.patch("django.utils.timezone.now", return_value=datetime(2026, 11, 15, 12, tzinfo=UTC)):
        yield


class TestCompare:
    def test_answers_bills_curve_and_break_even(self, cast: Cast) -> None:
        fee = {"code": "fee", "model": "flat", "amount": "50"}
        plans = [
            {"name": "Fee", "charges": [fee, {**CALLS, "unit_amount": "0.01"}]},
            {"name": "Use", "charges": [{**CALLS, "unit_amount": "0.03"}]},
        ]

        answer = post(
            cast.consumer, "pricing/compare", {"currency": "USD", "plans": plans, "most_calls": 10000}
        )

        # 50 + 0.01 n is 0.03 n at 2,500.
        assert answer.status_code == 200
        assert answer.data["break_even"][0]["points"] == [2500, 2501]
        assert [bill["total_minor"] for bill in answer.data["plans"][0]["bills"]] == [6000, 15000, 105000]
        assert len(answer.data["curve"]) == 41

    def test_names_what_is_wrong(self, cast: Cast) -> None:
        answer = post(
            cast.consumer,
            "pricing/compare",
            {"currency": "USD", "plans": [{"charges": [{**CALLS, "unit_amount": 0.5}]}]},
        )

        assert answer.status_code == 400
        assert answer.data["errors"][0]["field"] == "plans[0].charges[0].unit_amount"


class TestCoupons:
    def test_are_made_redeemed_and_ended(self, cast: Cast, subscription: Subscription) -> None:
        made = post(cast.finance, "coupons", TEN)
        redeemed = post(
            cast.consumer, "coupon-redemptions", {"code": "ten", "subscription": str(subscription.pk)}
        )
        again = post(
            cast.consumer, "coupon-redemptions", {"code": "ten", "subscription": str(subscription.pk)}
        )
        ended = post(cast.finance, "coupons/TEN/end", {})

        assert (made.status_code, made.data["percent"], made.data["costs"]) == (201, "10", [])
        assert (redeemed.status_code, redeemed.data["coupon"]) == (201, "TEN")
        assert (again.status_code, again.data["code"]) == (409, "coupon_already_redeemed")
        assert (ended.status_code, ended.data["state"], ended.data["redemptions_count"]) == (200, "ended", 1)

    @pytest.mark.parametrize(
        ("change", "field"),
        [
            ({"percent": 0.5}, "percent"),
            ({"percent": "101"}, "percent"),
            ({"months": True}, "months"),
            ({"apps": "where2eat"}, "apps"),
            ({"expires_at": "tomorrow"}, "expires_at"),
            ({"price": "1"}, "price"),
        ],
    )
    def test_name_what_is_wrong(self, cast: Cast, change: dict[str, Any], field: str) -> None:
        answer = post(cast.finance, "coupons", {**TEN, **change})

        assert answer.status_code == 400
        assert answer.data["errors"][0]["field"] == field

    def test_are_for_finance_and_redemptions_for_the_team(
        self, cast: Cast, subscription: Subscription
    ) -> None:
        post(cast.finance, "coupons", TEN)
        body = {"code": "TEN", "subscription": str(subscription.pk)}

        for person in (cast.consumer, cast.stranger):
            assert post(person, "coupons", {**TEN, "code": "MINE"}).status_code == 403
            assert client_for(person).get("/api/v1/coupons").status_code == 403
        assert post(cast.stranger, "coupon-redemptions", body).status_code == 404
        assert post(cast.consumer, "coupon-redemptions", body).status_code == 201
        assert client_for(cast.stranger).get("/api/v1/coupon-redemptions").data["results"] == []
        assert Coupon.objects.count() == 1


class TestNegotiatedPrices:
    def body(self, subscription: Subscription, **change: Any) -> dict[str, Any]:
        charge = {**CALLS, "unit_amount": "0.05"}
        return {
            "subscription": str(subscription.pk), "charge": charge, "starts_on": "2026-11-01", "reason": "A year.",
            **change,
        }  # fmt: skip

    def test_are_agreed_and_ended(self, cast: Cast, subscription: Subscription) -> None:
        made = post(cast.finance, "negotiated-prices", self.body(subscription))
        ended = post(cast.finance, f"negotiated-prices/{made.data['id']}/end", {})

        assert (made.status_code, made.data["state"]) == (201, "agreed")
        assert made.data["projection"]["after"]["price"] == "50"
        assert ended.data["ends_on"] is not None

    @pytest.mark.parametrize(
        ("change", "field"),
        [
            ({"charge": "x"}, "charge"),
            ({"charge": {**CALLS, "code": "tokens"}}, "charge.code"),
            ({"charge": {**CALLS, "unit_amount": 0.1}}, "charge[0].unit_amount"),
            ({"starts_on": "2026-1-1"}, "starts_on"),
            ({"starts_on": "2020-01-01"}, "starts_on"),
            ({"reason": ""}, "reason"),
            ({"amount": "1"}, "amount"),
        ],
    )
    def test_name_what_is_wrong(
        self, cast: Cast, subscription: Subscription, change: dict[str, Any], field: str
    ) -> None:
        answer = post(cast.finance, "negotiated-prices", self.body(subscription, **change))

        assert answer.status_code == 400
        assert answer.data["errors"][0]["field"] == field

    def test_show_the_team_no_margin_and_strangers_nothing(
        self, cast: Cast, subscription: Subscription
    ) -> None:
        made = post(cast.finance, "negotiated-prices", self.body(subscription))
        path = f"/api/v1/negotiated-prices/{made.data['id']}"

        assert "projection" not in client_for(cast.consumer).get(path).data
        assert client_for(cast.stranger).get(path).status_code == 404
        assert post(cast.consumer, "negotiated-prices", self.body(subscription)).status_code == 403
        assert post(cast.stranger, f"negotiated-prices/{made.data['id']}/end", {}).status_code == 404
