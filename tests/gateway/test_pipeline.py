"""The order of a call: what is on disk before a provider hears of it."""

import asyncio
from collections.abc import Iterator
from typing import Any
from unittest import mock

import pytest
import urllib3
from django.db import connection

from marketplace.gateway.pipeline import Gateway
from marketplace.gateway.providers.base import Completion, Usage
from metering.models import UsageEvent
from quotas.models import Hold
from tests.conftest import Cast
from tests.gateway.live import World, make_models, make_world, running_application

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]

ANSWER = b'{"id": "1", "object": "chat.completion", "choices": [{"index": 0, "message": {"content": "Yes"}}]}'


class Watcher:
    """A provider that looks into the database, from another connection, at the moment it is called."""

    def __init__(self) -> None:
        self.held: list[list[str]] = []

    async def complete(self, body: Any, **_: Any) -> Completion:
        self.held.append(await asyncio.to_thread(self._read_held))
        return Completion(200, ANSWER, Usage(input_tokens=7, output_tokens=1), "stop", {}, 1)

    def _read_held(self) -> list[str]:
        try:
            return [str(pk) for pk in Hold.objects.filter(state="held").values_list("pk", flat=True)]
        finally:
            connection.close()


@pytest.fixture
def watcher() -> Iterator[Watcher]:
    watching = Watcher()
    with mock.patch.object(Gateway, "_provider", lambda *_: watching):
        yield watching


@pytest.fixture
def world(transactional_db: None, cast: Cast, demo_provider: str) -> Iterator[World]:
    make_models(demo_provider)
    with running_application() as url:
        yield make_world(cast, url)


class TestComplete:
    def test_has_its_hold_on_disk_before_the_provider_is_called(self, world: World, watcher: Watcher) -> None:
        answer = urllib3.request(
            "POST",
            f"{world.url}/v1/chat/completions",
            json={"model": "auto", "messages": [{"role": "user", "content": "Is it held?"}]},
            headers={"Authorization": f"Bearer {world.sub_key}"},
            retries=False,
        )

        assert (answer.status, answer.data) == (200, ANSWER)
        assert watcher.held == [[answer.headers["x-request-id"]]]
        assert Hold.objects.get().state == "settled"
        assert UsageEvent.objects.get().event_id == answer.headers["x-request-id"]
