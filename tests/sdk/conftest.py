"""A server to report to, and meters that report to it."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from marketplace.sdk import Meter
from tests.sdk.server import MeterServer, running_meter_server

MakeMeter = Callable[..., Meter]


@pytest.fixture
def server() -> Iterator[MeterServer]:
    with running_meter_server() as running:
        yield running


@pytest.fixture
def make_meter(server: MeterServer, tmp_path: Path) -> Iterator[MakeMeter]:
    """Make meters that send at once; all are closed at the end."""
    made: list[Meter] = []

    def make(**options: Any) -> Meter:
        defaults: dict[str, Any] = {"url": server.url, "spool_dir": tmp_path, "flush_interval_s": 0.0}
        meter = Meter(**(defaults | {"key": "hp_app_test", "app_id": "where2eat"} | options))
        made.append(meter)
        return meter

    yield make
    for meter in made:
        meter.close(2)


@pytest.fixture
def meter(make_meter: MakeMeter) -> Meter:
    return make_meter()
