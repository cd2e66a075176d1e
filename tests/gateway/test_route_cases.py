"""The gateway chooses as the SDK does for apps on the edge: both answer one table of cases alike."""

import json
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from marketplace.gateway.router import Offer
from marketplace.gateway.routing import table
from marketplace.gateway.routing.book import Learned, Policy
from marketplace.gateway.routing.choosing import Known, decide
from marketplace.gateway.routing.difficulty import Judgment
from marketplace.gateway.routing.table import Call
from marketplace.sdk import RoutePolicy
from metering.rating import ATTO, TokenPrices
from tests import sdk
from tests.factories import LONG_AGO

TABLE = json.loads((Path(sdk.__file__).parent / "route_cases.json").read_text())
EASY, HARD = Judgment(0, ()), Judgment(100, ())
JUDGMENTS = {True: EASY, False: HARD, None: None}
POLICY_ID = UUID("01a22421-94d0-7141-9360-225d5b0147f4")


def offer(name: str, kind: str, price: str) -> Offer:
    per_mtok = int(Decimal(price) * ATTO)
    prices = TokenPrices(1, "USD", per_mtok, per_mtok, per_mtok, per_mtok, per_mtok, LONG_AGO, None)
    return Offer(name, kind, 8000, "demo", name, prices)


def policy(rows: list[dict[str, Any]], *, mode: str = "all", percent: int = 100) -> Policy:
    return Policy(POLICY_ID, 1, table.stored(rows), mode, percent, "subscription", 95)


class TestDecide:
    @pytest.mark.parametrize("case", TABLE["cases"], ids=lambda case: case["case"])
    def test_answers_like_the_table(self, case: dict[str, Any]) -> None:
        call = Call(**{"intent": "", "tokens": 0, "environment": "production"} | case["call"])
        ranked = [offer(*model) for model in TABLE["models"]]

        found = decide(
            policy(case["rows"]), call, Known(JUDGMENTS[case["is_easy"]]), ranked, learned=Learned()
        )

        assert [one.model for one in found.route.offers] == case["models"]
        assert found.row == case["row"]


class TestActsOn:
    def test_takes_the_same_subscriptions_as_the_sdk(self) -> None:
        rows = [{"use": "small"}]
        here = policy(rows, mode="part", percent=30)
        there = RoutePolicy.read({"id": str(POLICY_ID), "rows": rows, "mode": "part", "percent": 30})
        subscriptions = [UUID(int=number * 7919) for number in range(200)]

        mine = [here.acts_on(subscription_id=one, call_id=POLICY_ID) for one in subscriptions]

        assert mine == [
            there.acts_on(subscription_id=str(one), call_id=str(POLICY_ID)) for one in subscriptions
        ]
        assert 30 < sum(mine) < 90
