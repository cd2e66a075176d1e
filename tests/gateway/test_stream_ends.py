"""Streams that end early, at every chunk: the call has its row, with what was delivered, and its hold has ended."""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from decimal import Decimal
from functools import partial
from typing import Any
from unittest import mock

import pytest

from marketplace.gateway import requests, tokens
from marketplace.gateway.directory import Caller, caller_of
from marketplace.gateway.pipeline import Gateway
from marketplace.gateway.providers.base import ProviderError
from marketplace.gateway.providers.echo import EchoProvider
from marketplace.gateway.requests import ModelRequest
from marketplace.gateway.sources import Sources
from metering.models import UsageEvent
from quotas.models import Hold, Limit, LimitCounter, OverrunEntry
from tests.conftest import Cast
from tests.factories import LONG_AGO
from tests.gateway.live import make_models, make_world

pytestmark = pytest.mark.django_db(transaction=True)

TEXT = "The quick brown fox jumps over the lazy dog, again and again."
CHUNKS = 22  # more than there are pieces, the end, the usage and the closing line


@pytest.fixture
def caller(transactional_db: None, cast: Cast) -> Caller:
    make_models("http://127.0.0.1:9")
    return caller_of(make_world(cast, "").subscription)


@pytest.fixture
def budget(caller: Caller) -> Limit:
    Limit.objects.update(ends_at=LONG_AGO)
    return Limit.objects.create(
        team_id=caller.who.team_id, measure="tokens", window="month", limit_value=10**6, starts_at=LONG_AGO
    )


class Deaf(EchoProvider):
    """A provider that does not care how long an answer may be."""

    def _admit(self, body: Any) -> Mapping[str, Any]:
        return {**super()._admit(body), "max_tokens": 10**6}


def ask(fields: dict[str, Any], caller: Caller) -> ModelRequest:
    return requests.chat(fields, app=caller.app)


async def give(caller: Caller) -> Caller:
    return caller


async def read(gateway: Gateway, caller: Caller, *, leave_after: int | None = None, **fields: Any) -> str:
    """Read a stream to its end, or leave it after so many chunks; give the text that was delivered."""
    body = {"model": "llm-8b", "stream": True, "messages": [{"role": "user", "content": TEXT}]}
    delivered = ""
    with suppress(ProviderError):
        async with gateway.stream(partial(give, caller), partial(ask, body | fields)) as opened:
            chunks = opened.chunks()
            for _ in range(CHUNKS if leave_after is None else leave_after):
                if not await anext(chunks, b""):
                    break
                delivered = opened.source.text_so_far  # type: ignore[attr-defined]
    return delivered


def cut_everywhere(caller: Caller, *, who: str, reports_usage: bool) -> list[str]:
    """Let a stream end after none, one, two and more chunks; give what was delivered of each."""

    async def run() -> list[str]:
        gateway = Gateway()
        texts = []
        for count in range(CHUNKS):
            gateway.sources = Sources()  # or it would be left alone after so many failures
            provider = EchoProvider(
                cut_after=count if who == "provider" else None, reports_usage=reports_usage
            )
            with mock.patch.object(Gateway, "_provider", lambda *_, provider=provider: provider):
                texts.append(await read(gateway, caller, leave_after=count if who == "caller" else None))
        await gateway.close()
        return texts

    return asyncio.run(run())


class TestCut:
    @pytest.mark.parametrize("who", ["provider", "caller"])
    @pytest.mark.parametrize("reports_usage", [True, False])
    def test_at_every_chunk_is_booked_with_what_was_delivered(
        self, caller: Caller, budget: Limit, who: str, reports_usage: bool
    ) -> None:
        texts = cut_everywhere(caller, who=who, reports_usage=reports_usage)

        assert set(Hold.objects.values_list("state", flat=True)) == {"settled"}
        events = UsageEvent.objects.order_by("event_id")
        assert [event.output_tokens for event in events] == [tokens.count(text) for text in texts]
        assert len(set(texts)) > 12
        assert all(event.input_tokens > 0 for event in events)
        counter = LimitCounter.objects.get(limit=budget)
        used = sum(event.input_tokens + event.output_tokens for event in events)
        assert (counter.spent, counter.held, counter.overrun) == (used, 0, 0)
        assert not OverrunEntry.objects.exists()


class TestLength:
    """What a provider writes beyond what it was told it may write is booked as overrun, whole."""

    def test_of_an_answer_beyond_its_bound_is_overrun(self, caller: Caller, budget: Limit) -> None:
        async def run() -> None:
            gateway = Gateway()
            with mock.patch.object(Gateway, "_provider", lambda *_: Deaf()):
                await read(gateway, caller, max_tokens=5)
            await gateway.close()

        asyncio.run(run())

        event, entry = UsageEvent.objects.get(), OverrunEntry.objects.get(limit=budget)
        assert event.output_tokens == tokens.count(TEXT) == 14
        # Five were held.
        assert (entry.amount, entry.cause) == (Decimal(9), "call")
        counter = LimitCounter.objects.get(limit=budget)
        assert counter.spent == event.input_tokens + 14

    def test_counts_against_the_limit_so_that_nothing_more_is_admitted(
        self, caller: Caller, budget: Limit
    ) -> None:
        Limit.objects.filter(pk=budget.pk).update(limit_value=40)

        async def run() -> list[str]:
            gateway = Gateway()
            with mock.patch.object(Gateway, "_provider", lambda *_: Deaf()):
                texts = [await read(gateway, caller, max_tokens=5)]
                with pytest.raises(Exception, match="is reached"):
                    await read(gateway, caller, max_tokens=5)
            await gateway.close()
            return texts

        assert asyncio.run(run()) == [TEXT]
        counter = LimitCounter.objects.get(limit=budget)
        assert counter.spent <= 40
        assert UsageEvent.objects.count() == 1
