"""The client for callers, against a server that answers like a marketplace."""

import asyncio
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from marketplace.sdk import (
    AppPaused,
    AsyncClient,
    BudgetExceeded,
    Client,
    ConfigurationError,
    IdempotencyKeyReused,
    InvalidRequest,
    KeyRefused,
    ModelNotApproved,
    ProviderFailed,
    QuotaExceeded,
    RateLimited,
    Retry,
    RunFailed,
    StillRunning,
    StreamBroken,
    Unreachable,
    Usage,
)
from tests.sdk.marketplace_server import RUN, MarketplaceServer, Said, running_marketplace

LIMIT = {
    "code": "quota_exceeded", "owner_kind": "subscription", "owner_id": "s-1", "measure": "requests",
    "window": "day", "limit": "100", "used": "100", "asked": "1", "resets_at": "2026-11-29T00:00:00Z",
}  # fmt: skip
BUSY = Said(503, {"error": {"code": "database_unavailable", "message": "Later."}}, {"Retry-After": "2"})


@pytest.fixture
def shop() -> Iterator[MarketplaceServer]:
    with running_marketplace() as server:
        yield server


@pytest.fixture
def pauses() -> list[float]:
    return []


@pytest.fixture
def client(shop: MarketplaceServer, pauses: list[float]) -> Iterator[Client]:
    with Client(shop.url, "hp_sub_k", personal_key="hp_pat_k", sleep=pauses.append) as made:
        yield made


class TestRun:
    def test_returns_output_cost_and_route(self, client: Client, shop: MarketplaceServer) -> None:
        answer = client.run("where2eat", {"city": "Boston"}, feature="lunch")

        (asked,) = shop.asked
        assert (asked.method, asked.path, asked.json) == (
            "POST",
            "/apps/where2eat/run",
            {"input": {"city": "Boston"}},
        )
        assert asked.headers["authorization"] == "Bearer hp_sub_k"
        assert asked.headers["x-halfpenny-feature"] == "lunch"
        assert answer.output == "Try Sushi Bar."
        assert answer.cost == Decimal("0.0000084")
        assert answer.usage == Usage(input_tokens=24, output_tokens=6)
        assert (answer.route.model, answer.route.reason, answer.route.cache) == (
            "llm-8b",
            "cheapest of 2",
            "miss",
        )

    def test_can_be_waited_for(self, client: Client, shop: MarketplaceServer, pauses: list[float]) -> None:
        shop.jobs_left = 2

        answer = client.wait(client.submit("where2eat", {"city": "Boston"}))

        assert [asked.path for asked in shop.asked] == ["/apps/where2eat/run?async=1", *["/jobs/j-1"] * 3]
        assert pauses == pytest.approx([0.2, 0.3])
        assert (answer.output, answer.cost, answer.route.request_id) == (
            RUN["output"],
            Decimal("0.0000084"),
            "r-1",
        )

    def test_gives_up_waiting_and_says_so(self, client: Client, shop: MarketplaceServer) -> None:
        shop.jobs_left = 1000

        with pytest.raises(StillRunning, match="1 s"):
            client.wait("j-1", timeout_s=1)

    def test_tells_why_a_job_failed(self, client: Client, shop: MarketplaceServer) -> None:
        shop.answers = [Said(body={"id": "j-1", "state": "failed", "result": None, "error": "No price."})]

        with pytest.raises(RunFailed) as caught:
            client.wait("j-1")

        assert (caught.value.state, caught.value.message) == ("failed", "No price.")


class TestChat:
    def test_takes_a_text_for_a_message(self, client: Client, shop: MarketplaceServer) -> None:
        answer = client.chat("Sushi?", temperature=0, intent="lunch", cache=False)

        (asked,) = shop.asked
        assert asked.json == {
            "model": "auto",
            "messages": [{"role": "user", "content": "Sushi?"}],
            "temperature": 0,
        }
        assert asked.headers["x-halfpenny-intent"] == "lunch"
        assert asked.headers["x-halfpenny-cache"] == "no-store"
        assert (answer.text, answer.finish_reason) == ("Try Sushi Bar.", "stop")
        assert answer.message["role"] == "assistant"

    def test_streams_and_knows_the_usage_at_the_end(self, client: Client, shop: MarketplaceServer) -> None:
        with client.chat("Sushi?", stream=True) as stream:
            texts = list(stream.text())

        assert shop.asked[0].json["stream_options"] == {"include_usage": True}
        assert texts == ["Try ", "Sushi ", "Bar."]
        assert stream.usage == Usage(24, 6)
        assert (stream.route.model, stream.route.cost) == ("llm-8b", None)

    def test_uses_the_connection_of_a_stream_again(self, client: Client, shop: MarketplaceServer) -> None:
        with client.chat("Sushi?", stream=True) as stream:
            list(stream)
        client.chat("Sushi?")

        assert len({asked.connection for asked in shop.asked}) == 1

    def test_does_not_use_a_connection_that_was_left_in_the_middle(
        self, client: Client, shop: MarketplaceServer
    ) -> None:
        with client.chat("Sushi?", stream=True) as stream:
            next(iter(stream))
        client.chat("Sushi?")

        assert len({asked.connection for asked in shop.asked}) == 2

    @pytest.mark.parametrize("cut", [0, 40, 400])
    def test_says_that_a_stream_broke_and_does_not_ask_again(
        self, client: Client, shop: MarketplaceServer, cut: int
    ) -> None:
        whole = b'data: {"choices": [{"delta": {"content": "Try "}}]}\n\n' * 8 + b"data: [DONE]\n\n"
        shop.answers = [Said(body=whole, cut=cut)]

        with pytest.raises(StreamBroken):
            list(client.chat("Sushi?", stream=True))

        assert len(shop.asked) == 1

    def test_tells_what_a_stream_says_went_wrong(self, client: Client, shop: MarketplaceServer) -> None:
        shop.answers = [Said(body=b'data: {"error": {"message": "The provider stopped."}}\n\n')]

        with pytest.raises(StreamBroken, match="The provider stopped"):
            list(client.chat("Sushi?", stream=True))


class TestEmbed:
    def test_gives_vectors_in_the_order_of_the_texts(self, client: Client) -> None:
        answer = client.embed(["a", "b", "c"])

        assert answer.vectors == [[0.0, 1.0], [1.0, 1.0], [2.0, 1.0]]
        assert answer.usage.input_tokens == 4


class TestAsking:
    def test_uses_the_personal_key_for_usage(self, client: Client, shop: MarketplaceServer) -> None:
        report = client.usage(from_="2026-11-01", group_by=["app"], app="where2eat")

        (asked,) = shop.asked
        assert asked.path == "/api/v1/usage?from=2026-11-01&app=where2eat&granularity=day&group_by=app"
        assert asked.headers["authorization"] == "Bearer hp_pat_k"
        assert report.rows[0].group == {"app": "where2eat"}
        assert report.rows[0].starts_at == datetime(2026, 11, 1, tzinfo=UTC)
        assert (report.total.requests, report.total.cost, report.currency) == (3, Decimal("0.0000252"), "USD")

    def test_reads_every_page_of_limits(self, client: Client, shop: MarketplaceServer) -> None:
        row = {"owner": {"kind": "team", "id": "ux"}, "measure": "cost", "limit": "50", "used": "1.5"}
        shop.answers = [Said(body={"next": f"{shop.url}/api/v1/limits?cursor=abc", "results": [row]})]

        first, second = client.limits()

        assert shop.asked[1].path == "/api/v1/limits?cursor=abc"
        assert (first.owner_kind, first.limit, first.used) == ("team", Decimal(50), Decimal("1.5"))
        assert (second.limit, second.used, second.remaining) == (Decimal(100), Decimal(3), Decimal(97))

    def test_lists_models(self, client: Client) -> None:
        assert client.models() == ["auto", "llm-8b"]


class TestErrors:
    @pytest.mark.parametrize(
        ("status", "code", "kind"),
        [
            (400, "invalid_request", InvalidRequest),
            (401, "bad_key", KeyRefused),
            (402, "budget_exceeded", BudgetExceeded),
            (403, "model_not_approved", ModelNotApproved),
            (409, "idempotency_key_reused", IdempotencyKeyReused),
            (429, "quota_exceeded", QuotaExceeded),
            (502, "provider_unavailable", ProviderFailed),
            (503, "app_paused", AppPaused),
        ],
    )
    def test_have_types_of_their_own_and_are_not_tried_again(
        self, client: Client, shop: MarketplaceServer, status: int, code: str, kind: type[Exception]
    ) -> None:
        headers = {"Retry-After": "300"} if status == 503 else {}
        shop.answers = [Said(status, {"error": {"code": code, "message": "No."}}, headers)]

        with pytest.raises(kind, match="No") as caught:
            client.chat("Sushi?")

        assert type(caught.value) is kind
        assert len(shop.asked) == 1

    def test_tell_which_limit_how_much_and_when_it_resets(
        self, client: Client, shop: MarketplaceServer
    ) -> None:
        shop.answers = [Said(429, LIMIT, {"Retry-After": "3600", "x-request-id": "r-9"})]

        with pytest.raises(QuotaExceeded) as caught:
            client.run("where2eat", {})

        error = caught.value
        assert (error.limit, error.used, error.asked) == (Decimal(100), Decimal(100), Decimal(1))
        assert error.resets_at == datetime(2026, 11, 29, tzinfo=UTC)
        assert (error.owner, error.measure, error.window) == (("subscription", "s-1"), "requests", "day")
        assert (error.retry_after_s, error.request_id) == (3600, "r-9")

    def test_name_every_wrong_field(self, client: Client, shop: MarketplaceServer) -> None:
        problems = [{"field": "city", "message": "is missing", "code": "required"}]
        shop.answers = [Said(400, {"code": "required", "detail": "city: is missing", "errors": problems})]

        with pytest.raises(InvalidRequest) as caught:
            client.run("where2eat", {})

        (problem,) = caught.value.problems
        assert (problem.field, problem.message) == ("city", "is missing")

    def test_say_that_nobody_is_there(self, pauses: list[float]) -> None:
        client = Client("http://127.0.0.1:9", "k", sleep=pauses.append)

        with pytest.raises(Unreachable) as caught:
            client.chat("Sushi?")

        assert not caught.value.was_sent
        assert len(pauses) == 3

    def test_refuse_a_page_that_is_no_marketplace(self, client: Client, shop: MarketplaceServer) -> None:
        shop.answers = [Said(body=b"<html>Sign in</html>")]

        with pytest.raises(Unreachable, match="not one of a marketplace"):
            client.chat("Sushi?")

    @pytest.mark.parametrize(("url", "key"), [("", "k"), ("ftp://x", "k"), ("https://x", "")])
    def test_say_what_a_client_needs(self, url: str, key: str, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("HALFPENNY_URL", "HALFPENNY_CALL_KEY", "HALFPENNY_TOKEN"):
            monkeypatch.delenv(name, raising=False)

        with pytest.raises(ConfigurationError):
            Client(url, key)


class TestRetries:
    def test_send_the_same_key_and_body_again(
        self, client: Client, shop: MarketplaceServer, pauses: list[float]
    ) -> None:
        shop.answers = [Said(drop=True), BUSY]

        client.chat("Sushi?")

        first, *others = shop.asked
        assert len(others) == 2
        for other in others:
            assert other.body == first.body
            assert other.headers["idempotency-key"] == first.headers["idempotency-key"]
        # By chance within half of what is due; at least what the marketplace asks for.
        assert 0.125 <= pauses[0] <= 0.25
        assert pauses[1] == 2

    def test_take_another_key_for_another_call(self, client: Client, shop: MarketplaceServer) -> None:
        client.chat("Sushi?")
        client.chat("Sushi?")

        assert len({asked.headers["idempotency-key"] for asked in shop.asked}) == 2

    def test_wait_for_the_attempt_that_was_lost_sight_of(
        self, client: Client, shop: MarketplaceServer
    ) -> None:
        running = {"error": {"code": "idempotent_call_running", "message": "Not ended."}}
        shop.answers = [Said(drop=True), Said(409, running)]

        assert client.chat("Sushi?").text == "Try Sushi Bar."
        assert len(shop.asked) == 3

    def test_end_when_the_key_is_one_that_somebody_else_uses(
        self, client: Client, shop: MarketplaceServer
    ) -> None:
        shop.answers = [Said(409, {"error": {"code": "idempotent_call_running", "message": "Not ended."}})]

        with pytest.raises(Exception, match="Not ended"):
            client.chat("Sushi?", idempotency_key="mine")

        assert len(shop.asked) == 1

    def test_wait_as_long_as_a_limit_of_a_minute_says(
        self, client: Client, shop: MarketplaceServer, pauses: list[float]
    ) -> None:
        shop.answers = [Said(429, {"code": "rate_limited", "limit": "10"}, {"Retry-After": "7"})]

        client.run("where2eat", {})

        assert pauses == [7]

    def test_do_not_wait_longer_than_they_may(self, shop: MarketplaceServer, pauses: list[float]) -> None:
        shop.answers = [Said(429, {"code": "rate_limited"}, {"Retry-After": "7"})]

        with (
            Client(shop.url, "k", retry=Retry(patience_s=5), sleep=pauses.append) as client,
            pytest.raises(RateLimited) as caught,
        ):
            client.run("where2eat", {})

        assert (caught.value.retry_after_s, pauses) == (7, [])

    def test_come_to_an_end(self, client: Client, shop: MarketplaceServer, pauses: list[float]) -> None:
        shop.answers = [BUSY] * 9

        with pytest.raises(Exception, match="Later"):
            client.chat("Sushi?")

        assert len(shop.asked) == 4
        assert len(pauses) == 3

    def test_are_not_made_of_what_could_be_charged_twice(self) -> None:
        retry = Retry()

        lost = retry.pause_s(Unreachable("reset", was_sent=True), attempt=1, is_safe=False)
        never_sent = retry.pause_s(Unreachable("refused", was_sent=False), attempt=1, is_safe=False)

        assert lost is None
        assert never_sent is not None


class TestConnections:
    def test_are_kept_and_shared(self, client: Client, shop: MarketplaceServer) -> None:
        for _ in range(5):
            client.chat("Sushi?")

        assert len({asked.connection for asked in shop.asked}) == 1

    def test_are_as_many_as_threads_call_at_once(self, client: Client, shop: MarketplaceServer) -> None:
        shop.gate = threading.Event()
        threads = [threading.Thread(target=client.chat, args=("Sushi?",)) for _ in range(4)]
        for thread in threads:
            thread.start()
        while len(shop.asked) < 4:
            threading.Event().wait(0.005)
        shop.gate.set()
        for thread in threads:
            thread.join()

        assert len({asked.connection for asked in shop.asked}) == 4

    def test_that_the_server_closed_meanwhile_are_not_used(
        self, client: Client, shop: MarketplaceServer, pauses: list[float]
    ) -> None:
        shop.answers = [Said(body={"output": 1}, headers={"Connection": "close"})]
        client.run("where2eat", {})

        client.run("where2eat", {})

        assert pauses == []
        assert len({asked.connection for asked in shop.asked}) == 2


class TestBatches:
    def test_go_as_one_file_and_come_back_line_by_line(self, client: Client, shop: MarketplaceServer) -> None:
        body = {"model": "llm-8b", "messages": [{"role": "user", "content": "Sushi?"}]}

        batch = client.batches.submit({"a": body, "b": body})
        ended = client.batches.wait(batch.id)
        lines = {line.custom_id: line for line in client.batches.lines(batch.id)}

        assert [line["custom_id"] for line in shop.batch_lines] == ["a", "b"]
        assert shop.batch_lines[0] == {
            "custom_id": "a",
            "method": "POST",
            "url": "/v1/chat/completions",
            "body": body,
        }
        assert shop.asked[1].json["input_file_id"] == "file-1"
        assert (batch.has_ended, ended.has_ended, ended.failed) == (False, True, 1)
        assert lines["a"].text == "Try Sushi Bar."
        assert isinstance(lines["b"].error, QuotaExceeded)

    def test_can_be_canceled(self, client: Client) -> None:
        assert client.batches.cancel("batch-1").state == "cancelled"


class TestAsyncClient:
    def test_makes_calls_side_by_side(self, shop: MarketplaceServer) -> None:
        shop.gate = threading.Event()

        async def ask() -> list[Any]:
            async with AsyncClient(shop.url, "hp_sub_k") as client:
                calls = [asyncio.ensure_future(client.chat("Sushi?")) for _ in range(8)]
                while len(shop.asked) < 8:
                    await asyncio.sleep(0.005)
                assert shop.gate is not None
                shop.gate.set()
                return [answer.text for answer in await asyncio.gather(*calls)]

        assert asyncio.run(ask()) == ["Try Sushi Bar."] * 8

    def test_streams(self, shop: MarketplaceServer) -> None:
        async def ask() -> tuple[list[str], Usage | None]:
            async with (
                AsyncClient(shop.url, "hp_sub_k") as client,
                await client.chat("Sushi?", stream=True) as stream,
            ):
                return [text async for text in stream.text()], stream.usage

        assert asyncio.run(ask()) == (["Try ", "Sushi ", "Bar."], Usage(24, 6))

    def test_has_the_rest_of_the_calls(self, shop: MarketplaceServer) -> None:
        async def ask() -> tuple[Any, ...]:
            async with AsyncClient(shop.url, "hp_sub_k") as client:
                ran = await client.run("where2eat", {"city": "Boston"})
                waited = await client.wait(await client.submit("where2eat", {}))
                vectors = (await client.embed("a")).vectors
                usage, limits = await client.usage(group_by=["app"]), await client.limits()
                return (
                    ran.output,
                    waited.output,
                    vectors,
                    usage.total.requests,
                    len(limits),
                    await client.models(),
                )

        assert asyncio.run(ask()) == (
            RUN["output"], RUN["output"], [[0.0, 1.0]], 3, 1, ["auto", "llm-8b"],
        )  # fmt: skip
