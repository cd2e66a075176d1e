"""A receiver of webhooks for tests, and what posts to it without a network."""

import base64
import hashlib
import hmac
import json
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import Any

from marketplace.gateway.outbox.delivering import Way
from marketplace.gateway.outbox.mails import Sender
from marketplace.gateway.outbox.posting import Outcome, Outgoing

SENDER = Sender("notices@apps.example", "https://apps.example", "Halfpenny")
DELIVERED = Outcome(12, 200, excerpt="ok")


@dataclass
class Receiver:
    """Takes messages in memory; ``answer`` says what it answers next."""

    answer: Outcome | Callable[[Outgoing], Outcome] = DELIVERED
    got: list[Outgoing] = field(default_factory=list)

    def post(self, outgoing: Sequence[Outgoing], *, allowed: Collection[str], at: datetime) -> list[Outcome]:
        self.got += outgoing
        return [self.answer(one) if callable(self.answer) else self.answer for one in outgoing]

    @property
    def way(self) -> Way:
        return Way(SENDER, post=self.post)

    def bodies(self) -> list[dict[str, Any]]:
        return [json.loads(one.body) for one in self.got]


def is_signed(outgoing: Outgoing, secret: str) -> bool:
    """Verify a message as its receiver would, by the words of Standard Webhooks and none of our code."""
    headers = outgoing.headers
    content = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.{outgoing.body.decode()}"
    key = base64.b64decode(secret.split("_", 1)[1])
    expected = base64.b64encode(hmac.new(key, content.encode(), hashlib.sha256).digest()).decode()
    return f"v1,{expected}" in headers["webhook-signature"].split(" ")


@dataclass
class Answer:
    """What the server of a test answers."""

    status: int = 200
    body: bytes = b"thanks"
    headers: dict[str, str] = field(default_factory=dict)


@contextmanager
def server(answer: Answer) -> Iterator[tuple[str, list[dict[str, str]]]]:
    """Serve on the loopback; gives ``host:port`` and the headers of what came."""
    came: list[dict[str, str]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            came.append({name.lower(): value for name, value in self.headers.items()})
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            self.wfile.write(answer.body)

        def log_message(self, *_: Any) -> None:
            pass

    running = HTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"127.0.0.1:{running.server_port}", came
    finally:
        running.shutdown()
        thread.join()
        running.server_close()
