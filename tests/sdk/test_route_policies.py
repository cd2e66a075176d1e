"""Route policies in the SDK: the table of cases that the gateway answers alike, and the store that keeps one offline."""

import json
import threading
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from marketplace.sdk import Client, PolicyStore, Retry, RouteCall, RouteModel, RoutePolicy
from tests.sdk.marketplace_server import MarketplaceServer, Said, running_marketplace

TABLE = json.loads((Path(__file__).parent / "route_cases.json").read_text())
MODELS = [RouteModel(name, size, Decimal(price)) for name, size, price in TABLE["models"]]


class Clock:
    """A time that tests move."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def shop() -> Iterator[MarketplaceServer]:
    with running_marketplace() as server:
        yield server


@pytest.fixture
def client(shop: MarketplaceServer) -> Iterator[Client]:
    with Client(shop.url, personal_key="hp_pat_k", retry=Retry(attempts=1)) as made:
        yield made


class TestChoose:
    @pytest.mark.parametrize("case", TABLE["cases"], ids=lambda case: case["case"])
    def test_answers_like_the_table(self, case: dict[str, Any]) -> None:
        policy = RoutePolicy.read({"rows": case["rows"]})

        # Whatever the order in which they are given.
        choice = policy.choose(RouteCall(**case["call"]), MODELS[::-1], is_easy=case["is_easy"])

        assert [model.name for model in choice.models] == case["models"]
        assert choice.row == case["row"]

    def test_refuses_a_condition_that_it_does_not_know(self) -> None:
        with pytest.raises(ValueError, match="moon"):
            RoutePolicy.read({"rows": [{"use": "small", "moon": "full"}]})


class TestActsOn:
    def test_says_the_same_for_a_subscription_each_time_and_about_so_many_percent(self) -> None:
        policy = RoutePolicy.read(
            {"id": "01a22421-94d0-7141-9360-225d5b0147f4", "rows": [], "mode": "part", "percent": 30}
        )
        ids = [f"00000000-0000-4000-8000-{number:012}" for number in range(1000)]

        said = [policy.acts_on(subscription_id=one, call_id=ids[0]) for one in ids]

        assert said == [policy.acts_on(subscription_id=one, call_id=ids[1]) for one in ids]
        assert 250 < sum(said) < 350

    def test_does_nothing_in_the_shadow_and_all_after_it(self) -> None:
        for mode, acts in (("shadow", False), ("all", True)):
            assert RoutePolicy.read({"rows": [], "mode": mode}).acts_on(call_id="") is acts


class TestPolicyStore:
    def test_asks_again_after_its_time_and_only_whether_it_changed(
        self, shop: MarketplaceServer, client: Client
    ) -> None:
        clock = Clock()
        store = PolicyStore("where2eat", client, refresh_s=300, clock=clock)
        first = store.policy()
        clock.now += 299
        store.policy()
        assert len(shop.asked) == 1

        clock.now += 1
        same = store.policy()
        shop.policy_etag, shop.policy = '"2"', {**(shop.policy or {}), "number": 2}
        clock.now += 300
        changed = store.policy()

        assert shop.asked[0].path == "/api/v1/route-policies?app=where2eat&state=in_force"
        assert [asked.headers.get("if-none-match") for asked in shop.asked] == [None, '"1"', '"1"']
        assert same is first is not None
        assert changed is not None and changed.number == 2

    def test_goes_on_with_what_it_knew_when_nobody_is_there(
        self, shop: MarketplaceServer, client: Client, tmp_path: Path
    ) -> None:
        path = tmp_path / "kept" / "policy.json"
        known = PolicyStore("where2eat", client, path=path).policy()

        with Client("http://127.0.0.1:9", personal_key="k", retry=Retry(attempts=1)) as nobody:
            store = PolicyStore("where2eat", nobody, path=path)
            offline = store.policy()

        assert offline == known is not None
        assert "refused" in store.problem
        assert store.fetched_at is not None

    @pytest.mark.parametrize(
        "said",
        [Said(503, b""), Said(body=b"<html>"), Said(body={"results": [{"rows": [{"use": "x", "y": 1}]}]})],
    )
    def test_keeps_the_one_before_when_it_gets_none_that_can_be_read(
        self, shop: MarketplaceServer, client: Client, said: Said
    ) -> None:
        store = PolicyStore("where2eat", client)
        known = store.policy()
        shop.answers = [said]

        assert not store.refresh()
        assert store.policy() == known is not None
        assert store.problem

    def test_knows_that_an_app_has_none(self, shop: MarketplaceServer, client: Client) -> None:
        shop.policy = None

        store = PolicyStore("where2eat", client)

        assert store.policy() is None
        assert store.problem == ""

    def test_begins_anew_with_a_file_that_cannot_be_read(
        self, shop: MarketplaceServer, client: Client, tmp_path: Path
    ) -> None:
        path = tmp_path / "policy.json"
        path.write_text('{"etag": "half')

        assert PolicyStore("where2eat", client, path=path).policy() is not None
        assert PolicyStore("where2eat", client, path=path).fetched_at is not None

    def test_lets_others_go_on_while_one_thread_asks(self, shop: MarketplaceServer, client: Client) -> None:
        clock = Clock()
        store = PolicyStore("where2eat", client, clock=clock)
        store.policy()
        clock.now += 1000
        shop.gate = threading.Event()
        asking = threading.Thread(target=store.policy)
        asking.start()
        while len(shop.asked) < 2:
            threading.Event().wait(0.002)

        found = store.policy()

        assert found is not None
        assert len(shop.asked) == 2
        shop.gate.set()
        asking.join()
