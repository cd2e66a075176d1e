"""Requests to one marketplace: keys, retries, and what an answer means. Everything that ``Client`` does goes through here."""

import json
import time
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from . import errors
from .connections import Answer, Pool
from .errors import HalfpennyError
from .retrying import Retry
from .version import __version__

T = TypeVar("T")
Headers = list[tuple[str, str]]


@dataclass(frozen=True)
class Reply:
    """A whole answer of the marketplace: 2xx, or 304 when nothing changed."""

    headers: Headers
    body: bytes
    status: int = 200

    def header(self, name: str) -> str:
        """Return a header; empty when there is none."""
        return next((value for known, value in self.headers if known.lower() == name), "")

    def json(self) -> dict[str, Any]:
        """Return the body as an object. Raises Unreachable when what answered is no marketplace."""
        try:
            found = json.loads(self.body)
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise errors.Unreachable("the answer is not one of a marketplace", was_sent=True)
        return found


class Requester:
    """Sends requests with one key, each again where that is safe and may help."""

    def __init__(self, pool: Pool, *, retry: Retry, sleep: Callable[[float], None] = time.sleep) -> None:
        self._pool, self._retry, self._sleep = pool, retry, sleep

    def ask(
        self,
        method: str,
        path: str,
        *,
        key: str,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
        content_type: str = "application/json",
    ) -> Reply:
        """Send a request and return its whole answer. A dict is sent as JSON, bytes as they are."""
        sent, data = _ready(key, body, headers or {}, content_type)
        is_safe = method == "GET" or "Idempotency-Key" in sent

        def attempt() -> Reply:
            answer = self._pool.send(method, path, body=data, headers=sent)
            read = answer.read()
            if 200 <= answer.status < 300 or answer.status == 304:
                return Reply(answer.headers, read, answer.status)
            raise errors.of_answer(answer.status, answer.header, read)

        return self._again(attempt, is_safe=is_safe)

    def open(self, path: str, *, key: str, body: Any, headers: Mapping[str, str]) -> Answer:
        """Post a request whose answer is read as it comes; it is sent again only until that begins."""
        sent, data = _ready(key, body, headers, "application/json")

        def attempt() -> Answer:
            answer = self._pool.send("POST", path, body=data, headers=sent)
            if 200 <= answer.status < 300:
                return answer
            raise errors.of_answer(answer.status, answer.header, answer.read())

        return self._again(attempt, is_safe="Idempotency-Key" in sent)

    def _again(self, attempt: Callable[[], T], *, is_safe: bool) -> T:
        number = 0
        while True:
            number += 1
            try:
                return attempt()
            except HalfpennyError as error:
                pause_s = self._retry.pause_s(error, attempt=number, is_safe=is_safe)
                if pause_s is None:
                    raise
                self._sleep(pause_s)


def new_key() -> str:
    """Make an idempotency key."""
    return str(uuid.uuid4())


def form_data(fields: Mapping[str, str], file: tuple[str, bytes]) -> tuple[bytes, str]:
    """Encode a form with one file (RFC 7578); returns the body and its content type."""
    boundary = uuid.uuid4().hex
    parts: Iterable[bytes] = [
        *(
            f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
            for name, value in fields.items()
        ),
        f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{file[0]}"\r\n'
        f"Content-Type: application/octet-stream\r\n\r\n".encode(),
        file[1],
        f"\r\n--{boundary}--\r\n".encode(),
    ]
    return b"".join(parts), f"multipart/form-data; boundary={boundary}"


def _ready(
    key: str, body: Any, headers: Mapping[str, str], content_type: str
) -> tuple[dict[str, str], bytes | None]:
    sent = {"User-Agent": f"halfpenny-python/{__version__}", "Accept": "*/*", **headers}
    if key:
        sent["Authorization"] = f"Bearer {key}"
    if body is None:
        return sent, None
    sent["Content-Type"] = content_type
    return sent, body if isinstance(body, bytes) else json.dumps(body).encode()
