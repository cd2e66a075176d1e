"""A streamed answer as it comes: server-sent events read into pieces."""

import json
from collections.abc import Iterator
from types import TracebackType
from typing import Any

from .connections import Answer
from .errors import StreamBroken, Unreachable
from .results import ChatChunk, Route, chat_chunk, route_of
from .usage import Usage

DONE = "[DONE]"


class ChatStream:
    """Iterate over it for the pieces of an answer; ``text()`` gives their texts alone.

    Leave it with ``with`` or ``close``, or read it to its end: then its connection is used again. Left early, the
    marketplace hears of it, and what was delivered is charged.
    """

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self._is_done = False
        self.route: Route = route_of(answer.headers)
        self.usage: Usage | None = None
        """Known when the stream has ended."""

    def __iter__(self) -> Iterator[ChatChunk]:
        try:
            for event in self._events():
                chunk = chat_chunk(event)
                self.usage = chunk.usage or self.usage
                yield chunk
        except Unreachable as error:
            raise StreamBroken(str(error)) from error
        finally:
            self.close()

    def text(self) -> Iterator[str]:
        """Give the texts of the pieces that have one."""
        return (chunk.text for chunk in self if chunk.text)

    def close(self) -> None:
        """Let go of the connection."""
        self._answer.close()

    def abort(self) -> None:
        """Break it off from another thread."""
        self._answer.abort()

    def __enter__(self) -> "ChatStream":
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _events(self) -> Iterator[dict[str, Any]]:
        """Read events. Raises StreamBroken when the stream tells an error, or ends before it says that it is done."""
        data: list[str] = []
        while line := self._answer.line():
            text = line.decode(errors="replace").rstrip("\r\n")
            if text.startswith("data:"):
                data.append(text[5:].removeprefix(" "))
            elif not text and data:
                event = "\n".join(data)
                data = []
                if event == DONE:
                    self._is_done = True
                    continue
                yield _read(event)
        if not self._is_done:
            raise StreamBroken("The stream ended before its end.")


def _read(event: str) -> dict[str, Any]:
    try:
        found = json.loads(event)
    except ValueError as error:
        raise StreamBroken("An event of the stream cannot be read.") from error
    if not isinstance(found, dict):
        raise StreamBroken("An event of the stream cannot be read.")
    if isinstance(told := found.get("error"), dict):
        raise StreamBroken(str(told.get("message") or told.get("code") or "The stream failed."))
    return found
