"""Apps as tools, used by the Model Context Protocol's own client, over HTTP, against the whole application."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator
from decimal import Decimal
from typing import Any

import httpx2
import pytest
import urllib3
from mcp.client import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.exceptions import MCPError

from marketplace.accounts import keys
from marketplace.accounts.models import ApiKey
from marketplace.catalog.models import Subscription, SubscriptionKey
from metering import rollups
from metering.models import UsageEvent
from quotas.models import Hold, Limit
from tests import factories
from tests.conftest import Cast
from tests.factories import LONG_AGO, NOW
from tests.gateway.live import World, make_models, make_world, running_application

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]

INPUT = {"text": "The quick brown fox"}
# The handshake of 2025, and the protocol of 2026 that knows none.
MODES = ["legacy", "auto"]


@pytest.fixture
def world(transactional_db: None, cast: Cast, demo_provider: str) -> Iterator[World]:
    make_models(demo_provider)
    with running_application() as url:
        yield make_world(cast, url)


def ask(
    world: World, what: Callable[[Client], Awaitable[Any]], *, key: str | None = None, mode: str = "auto"
) -> Any:
    """Do something with a connected client and return what came of it."""

    async def inside() -> Any:
        headers = {"Authorization": f"Bearer {key or world.sub_key}"}
        http = httpx2.AsyncClient(headers=headers, timeout=30)
        address = streamable_http_client(f"{world.url}/mcp", http_client=http)
        async with http, Client(address, mode=mode) as client:
            return await what(client)

    return asyncio.run(inside())


def tools(world: World, **options: Any) -> list[Any]:
    return ask(world, lambda client: client.list_tools(), **options).tools


def call(world: World, name: str = "where2eat", data: dict[str, Any] | None = None, **options: Any) -> Any:
    return ask(world, lambda client: client.call_tool(name, INPUT if data is None else data), **options)


def post(world: World, *, key: str | None = None, body: bytes | None = None, **headers: str) -> Any:
    message = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}}
    sent = {
        "Authorization": f"Bearer {key or world.sub_key}",
        "Content-Type": "application/json",
        "Accept": "application/json, text/event-stream",
    } | headers
    return urllib3.request(
        "POST", f"{world.url}/mcp", body=body or json.dumps(message).encode(), headers=sent, retries=False
    )


def personal_key(cast: Cast) -> str:
    _, text = keys.issue(kind="pat", organization=cast.company, at=LONG_AGO, by=None, user=cast.consumer)
    return text


@pytest.mark.parametrize("mode", MODES)
def test_lists_an_app_and_bills_a_call_of_it_as_a_plain_one(world: World, mode: str) -> None:
    (tool,) = tools(world, mode=mode)
    result = call(world, mode=mode)
    plain = urllib3.request(
        "POST",
        f"{world.url}/apps/where2eat/run",
        json={"input": INPUT},
        headers={"Authorization": f"Bearer {world.sub_key}"},
    ).json()

    assert (tool.name, tool.title, tool.input_schema["required"]) == ("where2eat", world.app.name, ["text"])
    assert tool.output_schema["properties"]["output"]["type"] == "string"
    assert not result.is_error
    assert result.content[0].text == plain["output"] == result.structured_content["output"]
    assert result.structured_content["usage"] == plain["usage"]
    asked, run = UsageEvent.objects.order_by("received_at")
    assert asked.event_id == result.structured_content["request_id"]
    assert asked.attribution_id == run.attribution_id
    assert asked.cost == run.cost == Decimal(result.structured_content["cost"]) > 0
    assert rollups.differences() == []
    assert not Hold.objects.filter(state="held").exists()


def test_says_which_limit_refuses_and_when_it_resets(world: World) -> None:
    Limit.objects.filter(subscription=world.subscription, window="day").update(limit_value=1)
    call(world)

    refused = call(world)

    facts = refused.structured_content
    assert refused.is_error
    assert (facts["status"], facts["code"], facts["limit"], facts["used"]) == (
        429,
        "quota_exceeded",
        "1",
        "1",
    )
    assert (facts["owner_kind"], facts["measure"], facts["window"]) == ("subscription", "requests", "day")
    assert facts["resets_at"].endswith("T00:00:00Z")
    assert facts["retry_after_s"] > 0
    assert "1 requests a day of this subscription is reached" in refused.content[0].text
    assert UsageEvent.objects.count() == 1


def test_refuses_wrong_input_and_what_others_have_without_a_charge(world: World, cast: Cast) -> None:
    other = factories.make_listed_app(cast.creator_team, slug="digest")
    factories.make_subscription(other, cast.creator_team)
    wrong = call(world, data={})

    for key in (world.sub_key, personal_key(cast)):
        unknown = ask(world, lambda client: refusal_of(client, "digest"), key=key)
        assert unknown == "Unknown tool: digest"

    Subscription.objects.update(state="suspended")
    ended = call(world)

    assert wrong.is_error
    assert "text" in wrong.content[0].text
    assert ended.is_error
    assert ended.structured_content["code"] == "payment_required"
    assert not UsageEvent.objects.exists()


def test_books_a_personal_keys_call_on_the_subscription_until_it_is_revoked(world: World, cast: Cast) -> None:
    text = personal_key(cast)
    result = call(world, key=text)
    key = ApiKey.objects.get(kind="pat")
    keys.revoke(key, at=NOW, by=None)

    event = UsageEvent.objects.select_related("attribution").get()
    assert not result.is_error
    assert (event.attribution.subscription_id, event.attribution.key_id) == (world.subscription.pk, key.pk)
    assert post(world, key=text).status == 401


def test_lets_in_keys_that_may_call_from_where_they_may(world: World, cast: Cast) -> None:
    key, revoked = keys.issue(kind="sub", organization=cast.company, at=LONG_AGO, by=None)
    SubscriptionKey.objects.create(key=key, subscription=world.subscription)
    keys.revoke(key, at=NOW, by=None)

    for wrong in ("hp_sub_none_none", world.app_key, revoked, "x"):
        answer = post(world, key=wrong)
        assert (answer.status, answer.headers["www-authenticate"]) == (401, 'Bearer realm="halfpenny"')
    assert post(world, Origin=world.url).status == 200
    assert post(world, Origin="https://evil.example").status == 403
    assert post(world, Host="evil.example").status == 421
    assert post(world, body=b" " * (1024 * 1024 + 1)).status == 413
    assert urllib3.request("GET", f"{world.url}/mcp", retries=False).status == 405


async def refusal_of(client: Client, name: str) -> str:
    try:
        await client.call_tool(name, INPUT)
    except MCPError as error:
        return error.message
    return ""
