"""What goes wrong at a provider, through the whole path of a call: limits and bill are right afterwards."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from decimal import Decimal
from functools import partial
from typing import Any, TypeVar
from unittest import mock

import msgspec
import pytest

from marketplace.gateway import chat_api, requests
from marketplace.gateway.calling_models import AppCalling
from marketplace.gateway.directory import Caller, caller_of
from marketplace.gateway.http import Message, Request
from marketplace.gateway.models import Provider, ProviderModel
from marketplace.gateway.pipeline import Gateway
from marketplace.gateway.providers.base import Body, ProviderError, ProviderTimeout
from marketplace.gateway.providers.echo import EchoProvider
from marketplace.gateway.requests import ModelRequest
from marketplace.gateway.sources import Resting, Sources
from metering.models import LanguageModel, UsageEvent
from quotas.models import Hold, Limit, LimitCounter, OverrunEntry
from tests.conftest import Cast
from tests.factories import LONG_AGO
from tests.gateway.conftest import free_port
from tests.gateway.live import World, make_models, make_world

pytestmark = pytest.mark.django_db(transaction=True)

T = TypeVar("T")
TEXT = "Classify as a, b or c: the box was broken."
FREE = ("429:9", "500", "503", "reset", "bad-json", "half-stream")
"""Whole answers that never came, or cannot be read: nothing was delivered, so nothing is paid."""


@pytest.fixture
def world(transactional_db: None, cast: Cast, demo_provider: str) -> World:
    make_models(demo_provider)
    Provider.objects.update(timeout_s=1, first_byte_timeout_s=1, idle_timeout_s=1)
    return make_world(cast, "")


@pytest.fixture
def caller(world: World) -> Caller:
    return caller_of(world.subscription)


@pytest.fixture
def budget(caller: Caller) -> Limit:
    Limit.objects.update(ends_at=LONG_AGO)
    return Limit.objects.create(
        team_id=caller.who.team_id, measure="tokens", window="month", limit_value=10**6, starts_at=LONG_AGO
    )


def with_gateway(work: Callable[[Gateway], Awaitable[T]]) -> T:
    async def inside() -> T:
        gateway = Gateway()
        try:
            return await work(gateway)
        finally:
            await gateway.close()

    return asyncio.run(inside())


def asking(text: str, **fields: Any) -> Callable[[Caller], ModelRequest]:
    body = {"model": "llm-8b", "max_tokens": 30, "messages": [{"role": "user", "content": text}], **fields}
    return lambda caller: requests.chat(body, app=caller.app)


async def give(caller: Caller) -> Caller:
    return caller


async def whole(gateway: Gateway, caller: Caller, text: str, **fields: Any) -> Any:
    gateway.sources = Sources()  # each failure by itself
    return await gateway.complete(partial(give, caller), asking(text, **fields))


async def streamed(gateway: Gateway, caller: Caller, text: str, **fields: Any) -> None:
    gateway.sources = Sources()
    async with gateway.stream(partial(give, caller), asking(text, stream=True, **fields)) as opened:
        async for _ in opened.chunks():
            pass


def spent(budget: Limit) -> Decimal:
    assert not Hold.objects.filter(state="held").exists()
    counter = LimitCounter.objects.filter(limit=budget).first()
    if counter is None:
        return Decimal(0)
    assert counter.held == 0
    return counter.spent


class TestFailures:
    def test_without_an_answer_cost_nothing_and_leave_no_hold(self, caller: Caller, budget: Limit) -> None:
        async def all_of_them(gateway: Gateway) -> None:
            for fault in (*FREE, "hang"):
                with pytest.raises(ProviderError):
                    await whole(gateway, caller, f"{TEXT} [[demo:{fault}]]")
            for fault in ("429:9", "500", "503", "reset", "hang"):
                with pytest.raises(ProviderError):
                    await streamed(gateway, caller, f"{TEXT} [[demo:{fault}]]")

        with_gateway(all_of_them)

        assert spent(budget) == 0
        assert not UsageEvent.objects.exists() and not OverrunEntry.objects.exists()

    def test_in_the_middle_of_a_stream_are_paid_as_far_as_they_came(
        self, caller: Caller, budget: Limit
    ) -> None:
        async def some(gateway: Gateway) -> None:
            for fault in ("half-stream:2", "stall:2", "bad-json"):
                with suppress(ProviderError):
                    await streamed(gateway, caller, f"{TEXT} [[demo:{fault}]]")

        with_gateway(some)

        events = list(UsageEvent.objects.all())
        assert len(events) == 3 and all(event.is_estimated and event.input_tokens > 0 for event in events)
        assert spent(budget) == sum(event.input_tokens + event.output_tokens for event in events)
        # 0.20 a million tokens in, 0.60 out.
        for event in events:
            assert event.cost == (event.input_tokens * 20 + event.output_tokens * 60) / Decimal(100_000_000)

    def test_of_counting_are_mended_or_taken_at_their_word(self, caller: Caller, budget: Limit) -> None:
        async def three(gateway: Gateway) -> None:
            for fault in ("slow:20", "no-usage", "wrong-usage"):
                await whole(gateway, caller, f"{TEXT} [[demo:{fault}]]")

        with_gateway(three)

        late, counted, wrong = UsageEvent.objects.order_by("event_id")
        assert (late.is_estimated, counted.is_estimated) == (False, True)
        assert late.output_tokens == counted.output_tokens
        assert wrong.output_tokens == 10 * late.output_tokens
        assert spent(budget) == sum(one.input_tokens + one.output_tokens for one in (late, counted, wrong))


class TestChain:
    def add_first(self, base_url: str) -> None:
        """Offer the same model at the same price at a provider that sorts first."""
        first = Provider.objects.create(name="a-first", title="First", base_url=base_url)
        model = LanguageModel.objects.get(name="llm-8b")
        ProviderModel.objects.create(provider=first, model=model, upstream_name="llm-8b")

    def test_goes_on_where_nothing_can_have_been_charged_for_streams_too(
        self, budget: Limit, world: World
    ) -> None:
        self.add_first(f"http://127.0.0.1:{free_port()}/v1")
        caller = caller_of(world.subscription)

        async def both(gateway: Gateway) -> tuple[int, int]:
            await whole(gateway, caller, TEXT)
            await streamed(gateway, caller, TEXT)
            reports = {report.provider: report for report in gateway.sources.reports(at=chat_api.books.now())}
            return reports["a-first"].failures, reports["demo"].failures

        assert with_gateway(both) == (1, 0)
        first, second = UsageEvent.objects.order_by("event_id")
        assert (first.input_tokens, first.output_tokens) == (second.input_tokens, second.output_tokens)
        assert spent(budget) == 2 * (first.input_tokens + first.output_tokens)

    def test_ends_with_a_failure_that_may_have_been_charged(
        self, world: World, budget: Limit, demo_provider: str
    ) -> None:
        self.add_first(f"{demo_provider}/v1")
        caller = caller_of(world.subscription)

        async def fail(gateway: Gateway) -> int:
            with pytest.raises(ProviderError):
                await whole(gateway, caller, f"{TEXT} [[demo:500]]")
            return len(gateway.sources.reports(at=chat_api.books.now()))

        # Only one of the two was asked.
        assert with_gateway(fail) == 1
        assert spent(budget) == 0

    def test_is_refused_before_a_hold_when_all_rest(self, world: World, budget: Limit) -> None:
        Provider.objects.update(base_url=f"http://127.0.0.1:{free_port()}/v1")
        caller = caller_of(world.subscription)

        async def until_it_rests(gateway: Gateway) -> None:
            for _ in range(5):
                with pytest.raises(ProviderError, match="could not be reached"):
                    await gateway.complete(partial(give, caller), asking(TEXT))
            held = await gateway.read(Hold.objects.count)
            with pytest.raises(Resting):
                await gateway.complete(partial(give, caller), asking(TEXT))
            assert await gateway.read(Hold.objects.count) == held

        with_gateway(until_it_rests)
        assert spent(budget) == 0


class PausingStream:
    """A stream that says three tokens and then waits until it may go on."""

    def __init__(self, source: Any, may_go_on: asyncio.Event) -> None:
        self._source = source
        self._may_go_on = may_go_on
        self._said = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._source, name)

    def __aiter__(self) -> "PausingStream":
        return self

    async def __anext__(self) -> bytes:
        if self._said == 3:
            await self._may_go_on.wait()
        self._said += 1
        chunk: bytes = await anext(self._source)
        return chunk


class Pausing(EchoProvider):
    def __init__(self) -> None:
        super().__init__()
        self.may_go_on = asyncio.Event()

    @asynccontextmanager
    async def stream(self, body: Body, **options: Any) -> AsyncIterator[Any]:
        async with super().stream(body, **options) as source:
            yield PausingStream(source, self.may_go_on)


class TestLeaving:
    """The caller of a stream leaves after three tokens, while the provider says nothing more."""

    def leave(self, world: World, *, goes_on: bool) -> tuple[UsageEvent, bytes]:
        async def inside(gateway: Gateway) -> bytes:
            provider, sent = Pausing(), []
            left = asyncio.Event()

            async def receive() -> Message:
                if not sent_body:
                    sent_body.append(True)
                    return {"type": "http.request", "body": body, "more_body": False}
                await left.wait()
                return {"type": "http.disconnect"}

            async def send(message: Message) -> None:
                sent.append(message.get("body", b""))
                if len([part for part in sent if part]) == 3:
                    left.set()
                    if goes_on:
                        provider.may_go_on.set()

            sent_body: list[bool] = []
            body = msgspec.json.encode(
                {
                    "model": "llm-8b",
                    "stream": True,
                    "messages": [{"role": "user", "content": "One two three four five"}],
                }
            )
            headers = [(b"authorization", f"Bearer {world.sub_key}".encode())]
            scope = {"type": "http", "method": "POST", "path": "/v1/chat/completions", "headers": headers}
            with mock.patch.object(Gateway, "_provider", lambda *_: provider):
                await asyncio.wait_for(chat_api.chat_completions(gateway, Request(scope, receive), send), 20)
            return b"".join(sent)

        passed = with_gateway(inside)
        assert not Hold.objects.filter(state="held").exists()
        return UsageEvent.objects.get(), passed

    def test_ends_it_at_once_and_pays_for_what_was_delivered(self, world: World) -> None:
        event, passed = self.leave(world, goes_on=False)

        assert (event.output_tokens, event.is_estimated) == (3, True)
        assert b"[DONE]" not in passed

    def test_lets_it_come_to_its_end_where_the_app_says_so(self, world: World) -> None:
        AppCalling.objects.create(app=world.app, when_caller_leaves="drain")

        event, passed = self.leave(world, goes_on=True)

        assert (event.output_tokens, event.is_estimated) == (5, False)
        assert passed.endswith(b"data: [DONE]\n\n")

    def test_lets_it_come_to_its_end_where_the_platform_says_so(self, world: World, settings: Any) -> None:
        settings.WHEN_CALLER_LEAVES = "drain"

        event, _ = self.leave(world, goes_on=True)

        assert event.output_tokens == 5


class TestTimes:
    def test_of_a_provider_hold_for_the_first_piece_and_between_two(
        self, caller: Caller, budget: Limit
    ) -> None:
        async def both(gateway: Gateway) -> None:
            for fault in ("hang", "stall:2"):
                with pytest.raises(ProviderTimeout):
                    await streamed(gateway, caller, f"{TEXT} [[demo:{fault}]]")

        with_gateway(both)
        assert spent(budget) > 0 and UsageEvent.objects.count() == 1
