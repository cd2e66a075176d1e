"""The client for whoever calls apps and models of a marketplace."""

import os
import time
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, Literal, overload
from urllib.parse import quote, urlencode

from . import results
from .batch_jobs import Batches
from .chat_streams import ChatStream
from .connections import Pool
from .errors import RunFailed, StillRunning
from .requesting import Reply, Requester, new_key
from .results import ChatAnswer, Embeddings, LimitStanding, RunAnswer, RunState, UsageReport
from .retrying import Retry
from .settings import URL, ConfigurationError

CALL_KEY = "HALFPENNY_CALL_KEY"
PERSONAL_KEY = "HALFPENNY_TOKEN"
AUTO = "auto"
Messages = str | Sequence[Mapping[str, Any]]


class Client:
    """Calls apps and models with the key of a subscription, and asks for usage and limits with a personal one.

    May be used by any number of threads; connections are kept and shared. Every call gets an idempotency key, so one
    that got lost is sent again and still happens, and is charged, once. In asyncio use ``AsyncClient``.

    ``url`` and the keys come from ``HALFPENNY_URL``, ``HALFPENNY_CALL_KEY`` and ``HALFPENNY_TOKEN`` where they are not
    given. ``timeout_s`` bounds each wait for the marketplace, not a stream as a whole.

    >>> client = Client("https://marketplace.example", "hp_sub_…")
    >>> client.close()
    """

    def __init__(
        self,
        url: str | None = None,
        api_key: str | None = None,
        *,
        personal_key: str | None = None,
        timeout_s: float = 120.0,
        connect_timeout_s: float = 5.0,
        connections: int = 32,
        retry: Retry | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        address = url or os.environ.get(URL, "")
        self._key = api_key or os.environ.get(CALL_KEY, "")
        self._personal_key = personal_key or os.environ.get(PERSONAL_KEY, "") or self._key
        try:
            self._pool = Pool(
                address, timeout_s=timeout_s, connect_timeout_s=connect_timeout_s, most=connections
            )
        except ValueError as error:
            raise ConfigurationError(f"A client needs url: give it, or set {URL}; {error}.") from error
        if not self._key and not self._personal_key:
            raise ConfigurationError(f"A client needs api_key: give it, or set {CALL_KEY}.")
        self._requester = Requester(self._pool, retry=retry or Retry(), sleep=sleep)
        self._sleep = sleep
        self.batches = Batches(self._ask, sleep=sleep)

    def run(
        self, app: str, input: Mapping[str, Any], *, feature: str = "", idempotency_key: str | None = None
    ) -> RunAnswer:
        """Run an app by its own input and return what it answers."""
        headers = _headers(idempotency_key, feature=feature)
        reply = self._ask("POST", _run_path(app), body={"input": input}, headers=headers)
        return results.run_answer(reply.json(), results.route_of(reply.headers))

    def submit(self, app: str, input: Mapping[str, Any], *, idempotency_key: str | None = None) -> str:
        """Begin a run that takes longer than one wants to wait; returns the id of its job."""
        reply = self._ask(
            "POST", f"{_run_path(app)}?async=1", body={"input": input}, headers=_headers(idempotency_key)
        )
        return str(reply.json().get("job") or "").rpartition("/")[2]

    def job(self, job_id: str) -> RunState:
        """Say where a run that was submitted is, with its answer once it is done."""
        reply = self._ask("GET", f"/jobs/{quote(job_id, safe='')}")
        body = reply.json()
        result, state = body.get("result"), str(body.get("state") or "")
        answer: RunAnswer | None = None
        if state == "done" and isinstance(result, Mapping):
            answer = results.run_answer(result, results.route_of(()))
        return RunState(job_id, state, answer, str(body.get("error") or ""))

    def wait(self, job_id: str, *, timeout_s: float = 600.0) -> RunAnswer:
        """Wait for a run that was submitted. Raises RunFailed, and StillRunning after ``timeout_s``."""
        waited_s, pause_s = 0.0, 0.2
        while True:
            found = self.job(job_id)
            if found.answer is not None:
                return found.answer
            if found.has_ended:
                raise RunFailed(job_id, found.state, found.error)
            if waited_s >= timeout_s:
                raise StillRunning(f"The run {job_id}", timeout_s)
            self._sleep(pause_s)
            waited_s += pause_s
            pause_s = min(pause_s * 1.5, 5.0)

    @overload
    def chat(
        self, messages: Messages, *, model: str = AUTO, stream: Literal[False] = False, feature: str = "",
        intent: str = "", cache: bool = True, idempotency_key: str | None = None, **fields: Any,
    ) -> ChatAnswer: ...  # fmt: skip
    @overload
    def chat(
        self, messages: Messages, *, model: str = AUTO, stream: Literal[True], feature: str = "",
        intent: str = "", cache: bool = True, idempotency_key: str | None = None, **fields: Any,
    ) -> ChatStream: ...  # fmt: skip

    def chat(
        self, messages: Messages, *, model: str = AUTO, stream: bool = False, feature: str = "", intent: str = "",
        cache: bool = True, idempotency_key: str | None = None, **fields: Any,
    ) -> ChatAnswer | ChatStream:  # fmt: skip
        """Have a model answer. A text is one message of a user; ``fields`` are those of OpenAI's chat completions.

        ``intent`` tells the policy what it is about; without ``cache`` no kept answer is given, and none kept.
        """
        said = [{"role": "user", "content": messages}] if isinstance(messages, str) else list(messages)
        body = {"model": model, "messages": said, **fields}
        headers = _headers(idempotency_key, feature=feature, intent=intent, cache=cache)
        if not stream:
            reply = self._ask("POST", "/v1/chat/completions", body=body, headers=headers)
            return results.chat_answer(reply.json(), results.route_of(reply.headers))
        body |= {"stream": True, "stream_options": {"include_usage": True}}
        return ChatStream(
            self._requester.open("/v1/chat/completions", key=self._key, body=body, headers=headers)
        )

    def embed(
        self, texts: str | Sequence[str], *, model: str = AUTO, feature: str = "",
        idempotency_key: str | None = None, **fields: Any,
    ) -> Embeddings:  # fmt: skip
        """Return a vector for each text."""
        body = {"model": model, "input": [texts] if isinstance(texts, str) else list(texts), **fields}
        headers = _headers(idempotency_key, feature=feature)
        reply = self._ask("POST", "/v1/embeddings", body=body, headers=headers)
        return results.embeddings(reply.json(), results.route_of(reply.headers))

    def models(self) -> list[str]:
        """Return the names that this subscription may ask for, ``auto`` among them."""
        reply = self._ask("GET", "/v1/models")
        return [str(row.get("id")) for row in reply.json().get("data") or ()]

    def usage(self, *, granularity: str = "day", group_by: Sequence[str] = (), **filters: str) -> UsageReport:
        """Return usage by time and dimension, as the person of the key may see it; see /api/v1/usage for filters.

        ``from_`` and ``to`` are days or times, such as ``from_="2026-11-01"``.
        """
        query = {name.rstrip("_"): value for name, value in filters.items()} | {"granularity": granularity}
        if group_by:
            query["group_by"] = ",".join(group_by)
        return results.usage_report(self._manage("/usage", query))

    def limits(self, owner_kind: str = "", owner_id: str = "") -> list[LimitStanding]:
        """Return limits with what is used and held: of one owner, or of everything the person may see."""
        query = {"owner_kind": owner_kind, "owner_id": owner_id} if owner_kind else {}
        found, page = [], self._manage("/limits", query)
        while True:
            found += [results.limit_standing(row) for row in page.get("results") or ()]
            rest = str(page.get("next") or "").partition("?")[2]
            if not rest:
                return found
            page = self._manage(f"/limits?{rest}", {})

    def fetch_route_policy(self, app: str, *, etag: str = "") -> Reply:
        """Ask for the policy in force of an app that the person makes; 304 when it is that of ``etag``."""
        query = urlencode({"app": app, "state": "in_force"})
        headers = {"If-None-Match": etag} if etag else {}
        address = f"/api/v1/route-policies?{query}"
        return self._requester.ask("GET", address, key=self._personal_key, headers=headers)

    def close(self) -> None:
        """Close idle connections."""
        self._pool.close()

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _ask(self, method: str, path: str, **options: Any) -> Reply:
        return self._requester.ask(method, path, key=self._key, **options)

    def _manage(self, path: str, query: Mapping[str, str]) -> dict[str, Any]:
        address = f"/api/v1{path}" + (f"?{urlencode(query)}" if query else "")
        return self._requester.ask("GET", address, key=self._personal_key).json()


def _run_path(app: str) -> str:
    return f"/apps/{quote(app, safe='')}/run"


def _headers(key: str | None, *, feature: str = "", intent: str = "", cache: bool = True) -> dict[str, str]:
    headers = {"Idempotency-Key": key or new_key()}
    if feature:
        headers["X-Halfpenny-Feature"] = feature
    if intent:
        headers["X-Halfpenny-Intent"] = intent
    if not cache:
        headers["X-Halfpenny-Cache"] = "no-store"
    return headers
