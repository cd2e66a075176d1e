"""A server that answers like a marketplace, as far as the client asks, and remembers what it got; needs no database."""

import contextlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

USAGE = {"prompt_tokens": 24, "completion_tokens": 6, "total_tokens": 30}
COMPLETION = {
    "id": "1", "object": "chat.completion", "created": 1, "model": "llm-8b", "usage": USAGE,
    "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "Try Sushi Bar."}}],
}  # fmt: skip
RUN = {
    "output": "Try Sushi Bar.",
    "usage": {"input_tokens": 24, "output_tokens": 6, "total_tokens": 30},
    "cost": "0.0000084",
    "model": "llm-8b",
    "request_id": "r-1",
}
ROUTE_HEADERS = {
    "x-request-id": "r-1",
    "x-halfpenny-model": "llm-8b",
    "x-halfpenny-route": "cheapest of 2",
    "x-halfpenny-cache": "miss",
    "x-halfpenny-cost": "0.0000084",
}
TOTALS = {"requests": 3, "input_tokens": 72, "output_tokens": 18, "cost": "0.0000252"}
LIMIT = {
    "id": "1", "owner": {"kind": "subscription", "id": "s-1", "label": "UX"}, "measure": "requests", "window": "day",
    "mode": "hard", "limit": "100", "used": "3", "held": "0", "remaining": "97", "currency": None,
    "resets_at": "2026-11-29T00:00:00Z",
}  # fmt: skip


@dataclass
class Asked:
    """One request as it came, and the connection that it came by."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    connection: int

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Said:
    """An answer that a test wants; ``drop`` closes the connection instead, ``cut`` after so many bytes of the body."""

    status: int = 200
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    drop: bool = False
    cut: int | None = None


class MarketplaceServer:
    """Says what a test has put into ``answers``, else what a marketplace would say."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.asked: list[Asked] = []
        self.answers: list[Said] = []
        self.policy: dict[str, Any] | None = {
            "id": "01a22421-94d0-7141-9360-225d5b0147f4", "number": 1, "mode": "all", "percent": 100,
            "split_by": "subscription", "rows": [{"intents": ["summary"], "use": "small"}, {"use": "strongest"}],
        }  # fmt: skip
        self.policy_etag = '"1"'
        self.batch_lines: list[dict[str, Any]] = []
        self.jobs_left = 1
        self.gate: threading.Event | None = None
        self._lock = threading.Lock()

    def answer(self, asked: Asked) -> Said:
        """Take a request."""
        with self._lock:
            self.asked.append(asked)
            said = self.answers.pop(0) if self.answers else None
        if self.gate is not None:
            self.gate.wait(20)
        return said or self._usual(asked)

    def _usual(self, asked: Asked) -> Said:
        path = asked.path.partition("?")[0]
        if path.endswith("/run"):
            if "async=1" in asked.path:
                return Said(202, {"job": "/jobs/j-1", "state": "queued"})
            return Said(body=RUN, headers=ROUTE_HEADERS)
        if path == "/v1/chat/completions":
            return _streamed() if asked.json.get("stream") else Said(body=COMPLETION, headers=ROUTE_HEADERS)
        if path == "/v1/embeddings":
            texts = asked.json["input"]
            # The last one first: the index decides, not the place.
            rows = [{"index": n, "embedding": [float(n), 1.0]} for n in reversed(range(len(texts)))]
            return Said(
                body={"data": rows, "usage": {"prompt_tokens": 4, "total_tokens": 4}}, headers=ROUTE_HEADERS
            )
        if path == "/v1/models":
            return Said(body={"data": [{"id": "auto"}, {"id": "llm-8b"}]})
        if path.startswith("/jobs/"):
            self.jobs_left -= 1
            if self.jobs_left >= 0:
                return Said(body={"id": "j-1", "state": "running", "result": None, "error": None})
            return Said(body={"id": "j-1", "state": "done", "result": RUN, "error": None})
        if path == "/api/v1/usage":
            row = {
                "starts_at": "2026-11-01T00:00:00Z",
                "app": "where2eat",
                "app_label": "Where2Eat",
                **TOTALS,
            }
            body = {"group_by": ["app"], "results": [row], "totals": TOTALS, "currency": "USD"}
            return Said(body=body)
        if path == "/api/v1/route-policies":
            if asked.headers.get("if-none-match") == self.policy_etag:
                return Said(304, b"")
            found = [self.policy] if self.policy else []
            return Said(body={"next": None, "results": found}, headers={"ETag": self.policy_etag})
        if path == "/api/v1/limits":
            return Said(body={"next": None, "results": [LIMIT]})
        if path.startswith(("/v1/files", "/v1/batches")):
            return self._batch(asked, path)
        return Said(404, {"error": {"message": f"There is nothing at {path}.", "code": "not_found"}})

    def _batch(self, asked: Asked, path: str) -> Said:
        if path == "/v1/files":
            lines = asked.body.split(b"\r\n\r\n")[-1].split(b"\r\n--")[0].splitlines()
            self.batch_lines = [json.loads(line) for line in lines]
            return Said(body={"id": "file-1"})
        if path == "/v1/files/file-2/content":
            done = [
                {
                    "custom_id": line["custom_id"],
                    "response": {"status_code": 200, "body": COMPLETION},
                    "error": None,
                }
                for line in self.batch_lines[:-1]
            ]
            return Said(body=b"".join(json.dumps(one).encode() + b"\n" for one in done))
        if path == "/v1/files/file-3/content":
            failed = {
                "custom_id": self.batch_lines[-1]["custom_id"], "error": None,
                "response": {"status_code": 429, "body": {"error": {"message": "Full.", "code": "quota_exceeded"}}},
            }  # fmt: skip
            return Said(body=json.dumps(failed).encode() + b"\n")
        counts = {"total": len(self.batch_lines), "completed": len(self.batch_lines) - 1, "failed": 1}
        is_new = path == "/v1/batches"
        state = "validating" if is_new else "cancelled" if path.endswith("/cancel") else "completed"
        files = {} if is_new else {"output_file_id": "file-2", "error_file_id": "file-3"}
        return Said(body={"id": "batch-1", "status": state, "request_counts": counts, **files})


def _streamed() -> Said:
    same = {"id": "1", "object": "chat.completion.chunk", "created": 1, "model": "llm-8b"}
    texts = [
        {**same, "usage": None, "choices": [{"index": 0, "delta": {"content": text}, "finish_reason": None}]}
        for text in ("Try ", "Sushi ", "Bar.")
    ]
    ends = [
        {**same, "usage": None, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]},
        {**same, "usage": USAGE, "choices": []},
    ]
    events = [b"data: " + json.dumps(event).encode() + b"\n\n" for event in texts + ends]
    headers = {name: value for name, value in ROUTE_HEADERS.items() if name != "x-halfpenny-cost"}
    return Said(body=b": hello\n\n" + b"".join(events) + b"data: [DONE]\n\n", headers=headers)


@contextmanager
def running_marketplace() -> Iterator[MarketplaceServer]:
    """Serve on a free port."""
    http = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server = MarketplaceServer(f"http://127.0.0.1:{http.server_port}")
    http.marketplace = server  # type: ignore[attr-defined]
    http.daemon_threads = True
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        http.shutdown()
        thread.join()
        http.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self._take(self.rfile.read(int(self.headers.get("Content-Length") or 0)))

    def do_GET(self) -> None:
        self._take(b"")

    def _take(self, body: bytes) -> None:
        server: MarketplaceServer = self.server.marketplace  # type: ignore[attr-defined]
        headers = {name.lower(): value for name, value in self.headers.items()}
        asked = Asked(self.command, self.path, headers, body, self.client_address[1])
        said = server.answer(asked)
        if said.drop:
            self.close_connection = True
            return
        with contextlib.suppress(ConnectionError):
            self._respond(said)

    def _respond(self, said: Said) -> None:
        body = said.body if isinstance(said.body, bytes) else json.dumps(said.body).encode()
        self.send_response(said.status)
        for name, value in said.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if said.status == 304:
            return
        self.wfile.write(body if said.cut is None else body[: said.cut])
        if said.cut is not None:
            self.close_connection = True

    def log_message(self, format: str, *args: Any) -> None:
        pass
