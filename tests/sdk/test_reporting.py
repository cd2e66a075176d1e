"""The SDK against the marketplace itself: POST /meter of the running application."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from marketplace.sdk import Meter, Problem
from metering import rollups
from metering.models import UsageEvent
from tests.architecture.sources import ROOT
from tests.conftest import Cast
from tests.gateway.live import World, make_models, make_world, running_application
from tests.sdk.conftest import MakeMeter

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]

BODIES = json.loads((Path(__file__).parent / "usage_bodies.json").read_text())["bodies"]


@pytest.fixture
def world(cast: Cast) -> Iterator[World]:
    make_models("http://127.0.0.1:9")
    with running_application() as url:
        yield make_world(cast, url)


class TestReporting:
    def test_records_every_kind_of_body_with_all_token_classes(
        self, world: World, make_meter: MakeMeter
    ) -> None:
        meter = make_meter(url=world.url, key=world.app_key)
        expected = {meter.record(case["body"], model="llm-8b"): case["expected"] for case in BODIES}

        assert meter.flush(60)

        rows = UsageEvent.objects.values_list(
            "event_id", "input_tokens", "output_tokens", "cached_input_tokens", "cache_write_tokens", "reasoning_tokens"
        )  # fmt: skip
        assert {event_id: counts for event_id, *counts in rows} == expected
        assert meter.counts["accepted"] == len(BODIES)
        assert rollups.differences() == []

    def test_of_dimensions_is_kept(self, world: World, make_meter: MakeMeter) -> None:
        meter = make_meter(url=world.url, key=world.app_key)
        about: dict[str, Any] = {
            "feature": "summary",
            "subscription": str(world.subscription.pk),
            "tags": {"a": "b"},
        }

        with meter.meter(model="llm-8b", provider_cost="0.0042", currency="USD", **about) as call:
            call.observe({"usage": {"input_tokens": 480, "output_tokens": 96}})
        assert meter.flush(60)

        event = UsageEvent.objects.get()
        assert (event.input_tokens, event.output_tokens, event.tags) == (480, 96, {"a": "b"})
        assert str(event.provider_cost).startswith("0.0042")

    def test_of_an_unknown_price_comes_back_to_the_app(self, world: World, make_meter: MakeMeter) -> None:
        problems: list[Problem] = []
        meter = make_meter(url=world.url, key=world.app_key, on_problem=problems.append)

        meter.record(model="nobody-knows", tokens=1)
        good = meter.record(model="llm-8b", tokens=1)
        assert meter.flush(60)

        assert [(problem.code, problem.field) for problem in problems] == [("unknown_price", "model")]
        assert [event.event_id for event in UsageEvent.objects.all()] == [good]

    def test_of_a_killed_process_is_recorded_once(
        self, world: World, make_meter: MakeMeter, tmp_path: Path
    ) -> None:
        """The process is killed while four threads record and its events are on their way."""
        command = [sys.executable, "-m", "tests.sdk.app", "killed", world.url, str(tmp_path)]
        with subprocess.Popen(
            [*command, world.app_key], cwd=ROOT, stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None
            said = [process.stdout.readline().strip() for _ in range(200)]
            process.kill()
            said += [line for line in process.stdout.read().split() if len(line) == 36]
        meter: Meter = make_meter(url=world.url, key=world.app_key)

        last = meter.record(model="llm-8b", tokens=1)
        assert meter.flush(60)

        # Beyond what was said aloud there may be the last event of each thread.
        stored = list(UsageEvent.objects.values_list("event_id", flat=True))
        assert {*said, last} <= set(stored)
        assert len(stored) == len(set(stored)) <= len(said) + 1 + 4
        assert rollups.differences() == []
