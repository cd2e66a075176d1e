"""Calls of HTTP apps: what is tried again, what never is, and what is charged."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from marketplace.gateway import app_runs
from marketplace.gateway.http_apps import AppAnswer, AppTimeout, AppUnavailable

APP = SimpleNamespace(endpoint_url="https://api.example.com/run", signing_secret="s")
ANSWER = AppAnswer(200, b"{}", {}, None, "", 5)


class Endpoint:
    """Fails as told, then answers; remembers under which id it was called."""

    def __init__(self, *failures: AppUnavailable) -> None:
        self.failures = list(failures)
        self.ids: list[str] = []

    async def call(self, url: str, body: bytes, *, request_id: str, **options: Any) -> AppAnswer:
        self.ids.append(request_id)
        if self.failures:
            raise self.failures.pop(0)
        return ANSWER


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app_runs, "RETRY_PAUSES_S", (0.0, 0.0))


def called(endpoint: Endpoint) -> AppAnswer:
    gateway: Any = SimpleNamespace(apps=endpoint)
    app: Any = APP
    return asyncio.run(app_runs._call_endpoint(gateway, app, {"query": "x"}, request_id="call-1"))


class TestRetries:
    def test_call_again_only_what_did_nothing_and_charge_once(self) -> None:
        endpoint = Endpoint(
            AppUnavailable("could not be reached", was_maybe_run=False),
            AppUnavailable("is busy", was_maybe_run=False, app_status=503, retry_after_s=1),
        )

        assert called(endpoint) is ANSWER
        # One id, as there is one hold: an endpoint can tell, and whoever settles settles once.
        assert endpoint.ids == ["call-1"] * 3

    @pytest.mark.parametrize(
        "failure",
        [
            AppTimeout("did not answer in time", was_maybe_run=True),
            AppUnavailable("failed (500)", was_maybe_run=True, app_status=500),
            AppUnavailable("is busy", was_maybe_run=False, app_status=429, retry_after_s=60),
        ],
    )
    def test_leave_alone_what_may_have_run_or_asks_for_patience(self, failure: AppUnavailable) -> None:
        endpoint = Endpoint(failure)

        with pytest.raises(AppUnavailable):
            called(endpoint)

        assert len(endpoint.ids) == 1

    def test_end(self) -> None:
        endpoint = Endpoint(*[AppUnavailable("could not be reached", was_maybe_run=False)] * 9)

        with pytest.raises(AppUnavailable):
            called(endpoint)

        assert len(endpoint.ids) == 3
