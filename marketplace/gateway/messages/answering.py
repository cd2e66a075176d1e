"""What a chat completion answers, whole or in events, in the words of the Messages API."""

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from marketplace.gateway.providers.base import Usage
from marketplace.gateway.providers.sse import events_of

STOP_REASONS = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "function_call": "tool_use",
    "content_filter": "refusal",
}
STOP = b'event: message_stop\ndata: {"type":"message_stop"}\n\n'
Slot = tuple[str, int]
"""Kind of a block, and which of its kind."""

_decoder = msgspec.json.Decoder(dict[str, Any])


def message(answer: bytes, *, message_id: str, model: str, usage: Usage, shows_thinking: bool) -> bytes:
    """Say a whole answer."""
    choice = _decoder.decode(answer)["choices"][0]
    blocks = list(_blocks(choice["message"], shows_thinking=shows_thinking))
    reason = STOP_REASONS.get(choice.get("finish_reason") or "stop", "end_turn")
    return msgspec.json.encode(
        _message(message_id, model, blocks, usage_fields(usage)) | {"stop_reason": reason}
    )


def usage_fields(usage: Usage) -> dict[str, int]:
    """Say a usage: tokens read from or written to a cache stand beside the input, not in it."""
    return {
        "input_tokens": max(usage.input_tokens - usage.cached_input_tokens - usage.cache_write_tokens, 0),
        "cache_creation_input_tokens": usage.cache_write_tokens,
        "cache_read_input_tokens": usage.cached_input_tokens,
        "output_tokens": usage.output_tokens,
    }


def _message(message_id: str, model: str, blocks: list[dict[str, Any]], usage: Any) -> dict[str, Any]:
    return {
        "id": message_id,
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": blocks,
        "stop_reason": None,
        "stop_sequence": None,
        "usage": usage,
    }


def _blocks(said: Mapping[str, Any], *, shows_thinking: bool) -> Iterator[dict[str, Any]]:
    thought = said.get("reasoning_content") or said.get("reasoning")
    if shows_thinking and thought:
        yield {"type": "thinking", "thinking": thought, "signature": ""}
    text = said.get("content") or said.get("refusal")
    if text:
        yield {"type": "text", "text": text if isinstance(text, str) else _text_of(text)}
    for call in said.get("tool_calls") or ():
        function = call["function"]
        yield {
            "type": "tool_use",
            "id": call["id"],
            "name": function["name"],
            "input": _input(function.get("arguments") or "{}"),
        }


def _text_of(parts: list[Mapping[str, Any]]) -> str:
    return "".join(part.get("text") or "" for part in parts)


def _input(arguments: str) -> dict[str, Any]:
    """Read what a tool is called with; a model that wrote no JSON object is quoted."""
    try:
        return _decoder.decode(arguments)
    except msgspec.DecodeError:
        return {"arguments": arguments}


class MessageEvents:
    """Says the events of a chat completion as those of a message, block after block."""

    def __init__(self, message_id: str, *, model: str, input_tokens: int, shows_thinking: bool) -> None:
        self._id = message_id
        self._model = model
        self._input_tokens = input_tokens
        self._shows_thinking = shows_thinking
        self._slots: dict[Slot, int] = {}
        self._open: int | None = None
        self._reason = "end_turn"

    def start(self) -> bytes:
        """Say that a message begins; its input is an estimate until the end."""
        usage = usage_fields(Usage(input_tokens=self._input_tokens))
        begun = _message(self._id, self._model, [], usage)
        return event("message_start", message=begun) + event("ping")

    def feed(self, block: bytes) -> bytes:
        """Say whole events; those that say nothing new give nothing."""
        return b"".join(part for chunk in events_of(block) for part in self._chunk(_decoder.decode(chunk)))

    def end(self, usage: Usage) -> bytes:
        """Say that the message is complete, how it ended, and what it came to."""
        delta = {"stop_reason": self._reason, "stop_sequence": None}
        return self._close() + event("message_delta", delta=delta, usage=usage_fields(usage))

    def _chunk(self, chunk: Mapping[str, Any]) -> Iterator[bytes]:
        for choice in chunk.get("choices") or ():
            if choice.get("finish_reason"):
                self._reason = STOP_REASONS.get(choice["finish_reason"], "end_turn")
            delta = choice.get("delta") or {}
            thought = delta.get("reasoning_content") or delta.get("reasoning")
            if self._shows_thinking and thought:
                yield self._say(("thinking", 0), "thinking_delta", thinking=thought)
            text = delta.get("content") or delta.get("refusal")
            if text:
                yield self._say(("text", 0), "text_delta", text=text)
            for position, call in enumerate(delta.get("tool_calls") or ()):
                yield self._call(call, call.get("index", position))

    def _call(self, call: Mapping[str, Any], number: int) -> bytes:
        slot, function = ("tool_use", number), call.get("function") or {}
        begun = b""
        if slot not in self._slots:
            begun = self._begin(slot, id=call.get("id") or "", name=function.get("name") or "", input={})
        arguments = function.get("arguments")
        return begun + (self._say(slot, "input_json_delta", partial_json=arguments) if arguments else b"")

    def _say(self, slot: Slot, kind: str, **said: str) -> bytes:
        begun = b""
        if slot not in self._slots:
            empty = {"text": ""} if slot[0] == "text" else {"thinking": "", "signature": ""}
            begun = self._begin(slot, **empty)
        delta = {"type": kind, **said}
        return begun + event("content_block_delta", index=self._slots[slot], delta=delta)

    def _begin(self, slot: Slot, **fields: Any) -> bytes:
        ended = self._close()
        self._open = self._slots[slot] = len(self._slots)
        block = {"type": slot[0], **fields}
        return ended + event("content_block_start", index=self._open, content_block=block)

    def _close(self) -> bytes:
        if self._open is None:
            return b""
        index, self._open = self._open, None
        return event("content_block_stop", index=index)


def event(kind: str, **fields: Any) -> bytes:
    """Write one server-sent event."""
    return b"event: %b\ndata: %b\n\n" % (kind.encode(), msgspec.json.encode({"type": kind, **fields}))
