"""A server that answers like POST /meter and remembers what it got, for tests that need no database."""

import contextlib
import gzip
import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

# Status, headers and body that a test wants instead of receipts.
Answer = tuple[int, dict[str, str], bytes]


class MeterServer:
    """Keeps each event by its id; the same again is a duplicate, with other content a conflict."""

    def __init__(self, server: ThreadingHTTPServer) -> None:
        self.url = f"http://127.0.0.1:{server.server_port}"
        self.events: dict[str, dict[str, Any]] = {}
        self.arrivals: Counter[str] = Counter()
        self.requests: list[tuple[dict[str, str], list[dict[str, Any]]]] = []
        self.answers: list[Answer] = []
        self.rejects: Callable[[dict[str, Any]], bool] = lambda event: False
        self.most_events = 10_000
        self._changed = threading.Condition()

    def answer(self, headers: dict[str, str], body: bytes) -> Answer:
        """Take one request."""
        with self._changed:
            events = [json.loads(line) for line in gzip.decompress(body).splitlines()]
            self.requests.append((headers, events))
            answer = self.answers.pop(0) if self.answers else self._receipts(events)
            self._changed.notify_all()
            return answer

    def wait_for(self, is_so: Callable[[], bool], timeout_s: float = 20) -> None:
        """Wait for something that requests bring about; fails when they do not."""
        with self._changed:
            assert self._changed.wait_for(is_so, timeout_s), f"{len(self.events)} events"

    def _receipts(self, events: list[dict[str, Any]]) -> Answer:
        if len(events) > self.most_events:
            return 413, {}, b"{}"
        counts = Counter({"accepted": 0, "duplicates": 0, "conflicts": 0, "rejected": 0})
        results = []
        for index, event in enumerate(events):
            self.arrivals[event["id"]] += 1
            if self.rejects(event):
                counts["rejected"] += 1
                error = {"code": "unknown_price", "field": "model", "message": "No price is known."}
                results.append({"index": index, "id": event["id"], "status": "rejected", "error": error})
            elif event["id"] not in self.events:
                self.events[event["id"]] = event
                counts["accepted"] += 1
            elif self.events[event["id"]] == event:
                counts["duplicates"] += 1
                results.append({"index": index, "id": event["id"], "status": "duplicate"})
            else:
                counts["conflicts"] += 1
                error = {"code": "conflict", "field": "id", "message": "This id was used."}
                results.append({"index": index, "id": event["id"], "status": "conflict", "error": error})
        status = 207 if counts["rejected"] or counts["conflicts"] else 200
        return status, {}, json.dumps({**counts, "results": results}).encode()


@contextmanager
def running_meter_server(port: int = 0) -> Iterator[MeterServer]:
    """Serve on a free port, or on a given one."""
    http = ThreadingHTTPServer(("127.0.0.1", port), _Handler)
    meter_server = MeterServer(http)
    http.meter_server = meter_server  # type: ignore[attr-defined]
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield meter_server
    finally:
        http.shutdown()
        thread.join()
        http.server_close()


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        server: MeterServer = self.server.meter_server  # type: ignore[attr-defined]
        status, headers, answer = server.answer({**self.headers, "path": self.path}, body)
        with contextlib.suppress(ConnectionError):
            # Whoever asked may have been killed meanwhile.
            self._respond(status, headers, answer)

    def _respond(self, status: int, headers: dict[str, str], answer: bytes) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, format: str, *args: Any) -> None:
        pass
