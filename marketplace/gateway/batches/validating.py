"""What a line of a batch must be, and which lines of a file are not."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import msgspec

from marketplace.gateway.batch_models import StoredFile
from marketplace.gateway.batches import files
from marketplace.gateway.requests import UNREADABLE

ENDPOINTS = {"/v1/chat/completions": "chat/completions", "/v1/embeddings": "embeddings"}
LONGEST_CUSTOM_ID = 200
MOST_PROBLEMS = 50


@dataclass(frozen=True, slots=True)
class Line:
    """A line that can be called."""

    number: int
    custom_id: str
    body: bytes


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with a line; ``param`` names its field."""

    line: int | None
    code: str
    message: str
    param: str | None = None

    def as_json(self) -> dict[str, Any]:
        return {"code": self.code, "line": self.line, "message": self.message, "param": self.param}


class _Line(msgspec.Struct, forbid_unknown_fields=True):
    custom_id: str
    method: str
    url: str
    body: msgspec.Raw


_decoder = msgspec.json.Decoder(_Line)
_objects = msgspec.json.Decoder(dict[str, Any])


def check(file: StoredFile, *, endpoint: str) -> Iterator[Line | Problem]:
    """Read a file: each line that can be called, and what is wrong with the others. What a call's body says is judged
    when it is called, so one line's mistake is that line's alone."""
    seen: dict[str, int] = {}
    for number, raw in files.lines(file):
        found = _read(number, raw, endpoint=endpoint)
        if isinstance(found, Line):
            first = seen.setdefault(found.custom_id, number)
            if first != number:
                message = f"The custom_id {found.custom_id!r} is that of line {first} already."
                found = Problem(number, "duplicate_custom_id", message, "custom_id")
        yield found


def _read(number: int, raw: bytes, *, endpoint: str) -> Line | Problem:
    try:
        line = _decoder.decode(raw)
        fields = _objects.decode(line.body)
    except UNREADABLE as error:
        return Problem(number, "invalid_json_line", f"Line {number} cannot be read: {error}")
    return _problem(number, line, fields, endpoint=endpoint) or Line(number, line.custom_id, bytes(line.body))


def _problem(number: int, line: _Line, fields: dict[str, Any], *, endpoint: str) -> Problem | None:
    if not line.custom_id or len(line.custom_id) > LONGEST_CUSTOM_ID or "\0" in line.custom_id:
        message = f"A custom_id has 1 to {LONGEST_CUSTOM_ID} characters."
        return Problem(number, "invalid_custom_id", message, "custom_id")
    if line.method != "POST":
        return Problem(number, "invalid_method", "The method is POST.", "method")
    if line.url != endpoint:
        message = f"The url is that of the batch, {endpoint}, and not {line.url[:80]!r}."
        return Problem(number, "invalid_url", message, "url")
    if fields.get("stream"):
        return Problem(number, "invalid_stream", "A call of a batch is not streamed.", "body.stream")
    return None
