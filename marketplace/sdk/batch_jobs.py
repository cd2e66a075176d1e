"""The batch API: many calls as one file, done later for less, each line's failure its own."""

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol
from urllib.parse import quote

from . import results
from .errors import ApiError, StillRunning, of_answer
from .requesting import Reply, form_data, new_key

CHAT = "/v1/chat/completions"
ENDED = frozenset({"completed", "failed", "expired", "cancelled", "canceled"})
FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 30.0


class Ask(Protocol):
    """Sends a request with the key of a client."""

    def __call__(self, method: str, path: str, **options: Any) -> Reply: ...


@dataclass(frozen=True)
class BatchState:
    """Where a batch is; counts are of its lines."""

    id: str
    state: str
    total: int
    completed: int
    failed: int
    raw: Mapping[str, Any] = field(repr=False)

    @property
    def has_ended(self) -> bool:
        return self.state in ENDED


@dataclass(frozen=True)
class BatchLine:
    """What one line brought: ``body`` is the answer that the call would have had, or ``error`` says why there is none."""

    custom_id: str
    body: Mapping[str, Any] | None
    error: ApiError | None

    @property
    def text(self) -> str:
        """The text of a completion; empty for a line that failed, or is none."""
        return results.chat_answer(self.body or {}, results.route_of(())).text


class Batches:
    """Files of calls that are done within a day. ``client.batches`` is one."""

    def __init__(self, ask: Ask, *, sleep: Callable[[float], None] = time.sleep) -> None:
        self._ask, self._sleep = ask, sleep

    def submit(
        self,
        bodies: Mapping[str, Mapping[str, Any]] | Sequence[Mapping[str, Any]],
        *,
        endpoint: str = CHAT,
        completion_window: str = "24h",
        metadata: Mapping[str, str] | None = None,
        idempotency_key: str | None = None,
    ) -> BatchState:
        """Hand in the bodies of calls, by ids of your own or in order (``0``, ``1``, …)."""
        named = bodies if isinstance(bodies, Mapping) else {str(n): body for n, body in enumerate(bodies)}
        lines = [
            json.dumps({"custom_id": name, "method": "POST", "url": endpoint, "body": body})
            for name, body in named.items()
        ]
        key = idempotency_key or new_key()
        data, kind = form_data({"purpose": "batch"}, ("batch.jsonl", "\n".join(lines).encode() + b"\n"))
        file = self._ask(
            "POST", "/v1/files", body=data, content_type=kind, headers={"Idempotency-Key": f"{key}-file"}
        ).json()
        wanted = {
            "input_file_id": file.get("id"),
            "endpoint": endpoint,
            "completion_window": completion_window,
            "metadata": dict(metadata or {}),
        }
        return _state(self._ask("POST", "/v1/batches", body=wanted, headers={"Idempotency-Key": key}).json())

    def state(self, batch_id: str) -> BatchState:
        """Say where a batch is."""
        return _state(self._ask("GET", _path(batch_id)).json())

    def cancel(self, batch_id: str) -> BatchState:
        """Begin no more of its lines; those that are done stay, and are charged."""
        return _state(
            self._ask("POST", f"{_path(batch_id)}/cancel", headers={"Idempotency-Key": new_key()}).json()
        )

    def wait(self, batch_id: str, *, timeout_s: float = 86_400.0) -> BatchState:
        """Wait until a batch has ended, however it did. Raises StillRunning after ``timeout_s``."""
        waited_s, pause_s = 0.0, FIRST_PAUSE_S
        while not (found := self.state(batch_id)).has_ended:
            if waited_s >= timeout_s:
                raise StillRunning(f"The batch {batch_id}", timeout_s)
            self._sleep(pause_s)
            waited_s += pause_s
            pause_s = min(pause_s * 1.5, LONGEST_PAUSE_S)
        return found

    def lines(self, batch_id: str) -> Iterator[BatchLine]:
        """Give what each line brought so far, in the order in which the marketplace tells it."""
        found = self.state(batch_id)
        for name in ("output_file_id", "error_file_id"):
            if file_id := found.raw.get(name):
                content = self._ask("GET", f"/v1/files/{quote(str(file_id), safe='')}/content").body
                yield from (_line(json.loads(line)) for line in content.splitlines() if line.strip())


def _path(batch_id: str) -> str:
    return f"/v1/batches/{quote(batch_id, safe='')}"


def _state(body: Mapping[str, Any]) -> BatchState:
    counts = body.get("request_counts") or {}
    total, completed, failed = (int(counts.get(name) or 0) for name in ("total", "completed", "failed"))
    return BatchState(
        str(body.get("id") or ""), str(body.get("status") or ""), total, completed, failed, body
    )


def _line(row: Mapping[str, Any]) -> BatchLine:
    answer, told = row.get("response") or {}, row.get("error")
    status, body = int(answer.get("status_code") or 0), answer.get("body")
    name = str(row.get("custom_id") or "")
    if 200 <= status < 300 and isinstance(body, Mapping):
        return BatchLine(name, body, None)
    facts = {"error": told} if told else body if isinstance(body, Mapping) else {}
    return BatchLine(name, None, of_answer(status or 500, lambda _: None, json.dumps(facts).encode()))
