"""Follow a stream of server-sent events as it passes: what it said, how it ended, what it cost."""

from collections import defaultdict
from collections.abc import Iterator

import msgspec

from marketplace.gateway import tokens
from marketplace.gateway.providers.answers import (
    CONTENT,
    Chunk,
    ChunkChoice,
    chunk_decoder,
    chunks_decoder,
    is_given,
    read_usage,
)
from marketplace.gateway.providers.base import Usage

MAX_EVENT_BYTES = 8 * 1024 * 1024

Slot = tuple[int, str]
"""Choice index and kind of text: what arrives for one slot is one text and is counted as one."""


class StreamMeter:
    """Takes bytes as they arrive, gives back whole events to pass on, and keeps count.

    With ``hides_usage`` the event that carries nothing but the usage is left out: the client did not ask for
    it.
    """

    def __init__(self, *, hides_usage: bool) -> None:
        self.reported: Usage | None = None
        self.finish_reason: str | None = None
        self.is_done = False
        self.failure: tuple[str, bytes] | None = None
        self._hides_usage = hides_usage
        self._rest = b""
        self._texts: defaultdict[Slot, list[str]] = defaultdict(list)

    def feed(self, data: bytes) -> bytes:
        """Take the next bytes; give the whole events that may be passed on, which can be none.

        When an event cannot be read or is an error, ``failure`` holds why, and nothing from it on is passed.
        """
        data = self._rest + data if self._rest else data
        if b"\r" in data:
            data = data.replace(b"\r\n", b"\n")
        end = data.rfind(b"\n\n")
        if end < 0:
            self._keep(data)
            return b""
        self._keep(data[end + 2 :])
        return self._pass(data[: end + 2])

    def finish(self) -> bytes:
        """Take the end of the stream; a last event without its empty line still counts."""
        rest, self._rest = self._rest, b""
        return self._pass(rest.rstrip(b"\r\n") + b"\n\n") if rest.strip() else b""

    @property
    def texts(self) -> list[str]:
        """Everything said so far that costs output tokens."""
        return ["".join(parts) for parts in self._texts.values()]

    @property
    def spoken_text(self) -> str:
        """The content of the first choice so far."""
        return "".join(self._texts.get((0, CONTENT), ()))

    @property
    def output_tokens(self) -> int:
        return tokens.count_outputs(self.texts)

    def _keep(self, rest: bytes) -> None:
        self._rest = rest
        if len(rest) > MAX_EVENT_BYTES:
            self.failure = ("sent an event without an end", b"")

    def _pass(self, block: bytes) -> bytes:
        end = _start_of_end(block)
        said = block[:end]
        passed = said if not said or self._is_ordinary(said) else self._pass_singly(said)
        if self.failure or end == len(block):
            return passed
        return passed + self._pass_singly(block[end:])

    def _is_ordinary(self, block: bytes) -> bool:
        """Record a block of events that all say something, in one go; else record nothing and say so.

        Most blocks are of this kind, and decoding them as one list costs a third. JSON has no bare line
        breaks, so what is replaced here can only stand between two events.
        """
        if not block.startswith(b"data: {"):
            return False
        try:
            chunks = chunks_decoder.decode(b"[%b]" % block[6:-2].replace(b"\n\ndata: ", b","))
        except msgspec.DecodeError:
            return False
        for chunk in chunks:
            if is_given(chunk.usage) or is_given(chunk.error):
                return False
        for chunk in chunks:
            self._record_choices(chunk.choices)
        return True

    def _pass_singly(self, block: bytes) -> bytes:
        kept: list[bytes] = []
        has_hidden = False
        for event in block[:-2].split(b"\n\n"):
            if self._is_passed_on(event):
                kept.append(event)
            elif self.failure:
                return _joined(kept)
            else:
                has_hidden = True
        return _joined(kept) if has_hidden else block

    def _is_passed_on(self, event: bytes) -> bool:
        payload = event[6:] if event.startswith(b"data: ") and b"\n" not in event else _payload(event)
        if not payload:
            return True
        if payload == b"[DONE]":
            self.is_done = True
            return True
        try:
            chunk = chunk_decoder.decode(payload)
        except msgspec.DecodeError:
            self.failure = ("sent an event that is not what was agreed", payload)
            return False
        if is_given(chunk.error):
            self.failure = ("broke off with an error", payload)
            return False
        return self._record(chunk)

    def _record(self, chunk: Chunk) -> bool:
        self._record_choices(chunk.choices)
        if not is_given(chunk.usage):
            return True
        self.reported = read_usage(chunk.usage) or self.reported
        return bool(chunk.choices) or not self._hides_usage

    def _record_choices(self, choices: list[ChunkChoice]) -> None:
        for choice in choices:
            if choice.finish_reason is not None:
                self.finish_reason = choice.finish_reason
            delta = choice.delta
            if delta is None:
                continue
            text = delta.plain_text
            if text is not None:
                self._texts[choice.index, CONTENT].append(text)
                continue
            for name, part in delta.parts():
                self._texts[choice.index, name].append(part)


def events_of(block: bytes) -> Iterator[bytes]:
    """Give the data of whole events, without the one that only says that the stream is done."""
    for event in block.split(b"\n\n"):
        payload = _payload(event)
        if payload and payload != b"[DONE]":
            yield payload


def _start_of_end(block: bytes) -> int:
    """Find where the events begin that only end a stream: the usage, [DONE]. Only a guess, to save time."""
    usage = block.find(b'"usage":{')
    if usage >= 0:
        # an empty line cannot be inside an event, so this is where one begins
        return _after(block.rfind(b"\n\ndata: ", 0, usage))
    if block.endswith(b"data: [DONE]\n\n"):
        return _after(block.rfind(b"\n\ndata: [DONE]"))
    return len(block)


def _after(empty_line: int) -> int:
    return empty_line + 2 if empty_line >= 0 else 0


def _joined(events: list[bytes]) -> bytes:
    return b"".join(event + b"\n\n" for event in events)


def _payload(event: bytes) -> bytes:
    """Give the data of an event of any form; comments and other fields have none."""
    lines = (line for line in event.split(b"\n") if line.startswith(b"data:"))
    return b"\n".join(line[5:].removeprefix(b" ") for line in lines)
