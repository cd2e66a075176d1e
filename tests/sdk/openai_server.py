"""Answers POST /chat/completions as OpenAI does, whole or as a stream, with usage."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

MODEL = "gpt-4o-mini"
USAGE = {
    "prompt_tokens": 24,
    "completion_tokens": 6,
    "total_tokens": 30,
    "prompt_tokens_details": {"cached_tokens": 8},
}


@contextmanager
def running_openai_server() -> Iterator[str]:
    """Serve on a free port; give the base URL for clients."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if asked.get("stream"):
            self._respond("text/event-stream", b"".join(map(_event, _chunks())) + b"data: [DONE]\n\n")
        else:
            self._respond("application/json", json.dumps(_completion()).encode())

    def _respond(self, kind: str, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        pass


def _event(chunk: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps(chunk).encode() + b"\n\n"


def _chunks() -> list[dict[str, Any]]:
    same = {"id": "1", "object": "chat.completion.chunk", "created": 1, "model": MODEL}
    texts = [
        {**same, "usage": None, "choices": [{"index": 0, "delta": {"content": text}, "finish_reason": None}]}
        for text in ("Try ", "Sushi ", "Bar.")
    ]
    return [*texts, {**same, "choices": [], "usage": USAGE}]


def _completion() -> dict[str, Any]:
    message = {"role": "assistant", "content": "Try Sushi Bar."}
    return {
        "id": "1",
        "object": "chat.completion",
        "created": 1,
        "model": MODEL,
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": USAGE,
    }
