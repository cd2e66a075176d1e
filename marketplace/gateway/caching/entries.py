"""A kept answer: what the provider sent, and what its call had used."""

from datetime import datetime

import msgspec

from marketplace.core.ids import uuid7
from marketplace.gateway import tokens
from marketplace.gateway.providers.base import Completion, Stream, Usage

MOST_BYTES = 256 * 1024
"""A longer answer is not kept: it would push out hundreds of short ones."""
_COMES_TO_ITS_END = "stop"


class Entry(msgspec.Struct, frozen=True, gc=False):
    """An answer that may be given again. ``input_tokens`` and ``output_tokens`` are those of the call that was paid."""

    body: bytes
    input_tokens: int
    output_tokens: int
    finish_reason: str | None = None


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Entry)


def pack(entry: Entry) -> bytes:
    """Return an entry as bytes."""
    return _encoder.encode(entry)


def unpack(data: bytes) -> Entry:
    """Read an entry; raises msgspec.DecodeError."""
    return _decoder.decode(data)


def of_completion(completion: Completion, *, path: str) -> Entry | None:
    """Return the entry of a whole answer; None for one that was cut off, calls a tool, or is too long."""
    if path == "chat/completions" and completion.finish_reason != _COMES_TO_ITS_END:
        return None
    if completion.status != 200 or len(completion.body) > MOST_BYTES:
        return None
    used = completion.usage
    return Entry(completion.body, used.input_tokens, used.output_tokens, completion.finish_reason)


def of_stream(stream: Stream, *, model: str, at: datetime) -> Entry | None:
    """Return the entry of a streamed answer, put together; None when there is more to it than its text."""
    text = stream.text_so_far
    if not text or not stream.is_complete or stream.finish_reason != _COMES_TO_ITS_END:
        return None
    if stream.output_tokens_so_far != tokens.count_outputs([text]):
        return None
    used = stream.usage()
    body = answer_of(text, used, model=model, at=at)
    if len(body) > MOST_BYTES:
        return None
    return Entry(body, used.input_tokens, used.output_tokens, stream.finish_reason)


def answer_of(text: str, used: Usage, *, model: str, at: datetime) -> bytes:
    """Put an answer together as OpenAI's API gives it at once."""
    message = {"role": "assistant", "content": text}
    answer = {
        "id": f"chatcmpl-{uuid7().hex}",
        "object": "chat.completion",
        "created": int(at.timestamp()),
        "model": model,
        "choices": [{"index": 0, "message": message, "finish_reason": _COMES_TO_ITS_END}],
        "usage": {
            "prompt_tokens": used.input_tokens,
            "completion_tokens": used.output_tokens,
            "total_tokens": used.total_tokens,
        },
    }
    return msgspec.json.encode(answer)
