"""Read from an OpenAI-shaped answer what has to be known: usage, end reason, texts that must be counted."""

from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import Any

import msgspec

from marketplace.gateway.providers.base import Usage

CONTENT = "content"
# No call comes near; what a broken provider reports beyond would not even fit into the database.
MOST_TOKENS = 10**12
MOST_COST = 10**12

_ABSENT = msgspec.Raw()
_NOTHING = (b"", b"null")


class _InputDetails(msgspec.Struct):
    cached_tokens: int | None = None
    cache_write_tokens: int | None = None
    cache_creation_tokens: int | None = None


class _OutputDetails(msgspec.Struct):
    reasoning_tokens: int | None = None


class _UsageReport(msgspec.Struct):
    """OpenAI's usage, with what DeepSeek (hits), Anthropic (creation) and OpenRouter (cost) add."""

    prompt_tokens: int
    completion_tokens: int = 0
    prompt_tokens_details: _InputDetails | None = None
    completion_tokens_details: _OutputDetails | None = None
    prompt_cache_hit_tokens: int | None = None
    cache_creation_input_tokens: int | None = None
    cost: Decimal | None = None


class _Function(msgspec.Struct):
    name: Any = None
    arguments: Any = None


class _ToolCall(msgspec.Struct):
    index: int = 0
    function: _Function | None = None


class Message(msgspec.Struct):
    """A message, or the part of one that a stream delivers. Reasoning comes under two names."""

    content: Any = None
    reasoning_content: Any = None
    reasoning: Any = None
    refusal: Any = None
    tool_calls: list[_ToolCall] | None = None

    @property
    def plain_text(self) -> str | None:
        """Give the content when there is nothing else in it: nearly every event of a stream."""
        has_more = (
            self.tool_calls is not None
            or self.reasoning_content is not None
            or self.reasoning is not None
            or self.refusal is not None
        )
        return None if has_more or type(self.content) is not str else self.content

    def parts(self) -> Sequence[tuple[str, str]]:
        """Give everything in it that costs output tokens, each under the name of the text it belongs to."""
        return tuple(self._every_part())

    def _every_part(self) -> Iterator[tuple[str, str]]:
        if self.content:
            yield CONTENT, _joined_text(self.content)
        thought = self.reasoning_content or self.reasoning
        for name, text in (("reasoning", thought), ("refusal", self.refusal)):
            if isinstance(text, str):
                yield name, text
        for position, call in enumerate(self.tool_calls or ()):
            slot = f"tool {call.index or position}"
            if call.function is not None and call.function.name:
                yield f"{slot} name", _as_text(call.function.name)
            if call.function is not None and call.function.arguments:
                yield f"{slot} arguments", _as_text(call.function.arguments)


class _Choice(msgspec.Struct):
    message: Message | None = None
    finish_reason: str | None = None


class _Answer(msgspec.Struct):
    choices: msgspec.Raw = _ABSENT
    data: msgspec.Raw = _ABSENT
    usage: msgspec.Raw = _ABSENT


class _FinishedChoice(msgspec.Struct):
    finish_reason: str | None = None


class ChunkChoice(msgspec.Struct):
    index: int = 0
    delta: Message | None = None
    finish_reason: str | None = None


class Chunk(msgspec.Struct):
    """One event of a stream."""

    choices: list[ChunkChoice] = []
    usage: msgspec.Raw = _ABSENT
    error: msgspec.Raw = _ABSENT


answer_decoder = msgspec.json.Decoder(_Answer)
chunk_decoder = msgspec.json.Decoder(Chunk)
chunks_decoder = msgspec.json.Decoder(list[Chunk])
_finished_decoder = msgspec.json.Decoder(list[_FinishedChoice])
_choices_decoder = msgspec.json.Decoder(list[_Choice])
_usage_decoder = msgspec.json.Decoder(_UsageReport)


def is_given(raw: msgspec.Raw) -> bool:
    """Say whether a field was there and not null."""
    return raw is not _ABSENT and bytes(raw) not in _NOTHING


def read_usage(raw: msgspec.Raw) -> Usage | None:
    """Read a reported usage; None when there is none, or none that can be true (negative, endless, no numbers)."""
    if not is_given(raw):
        return None
    try:
        report = _usage_decoder.decode(raw)
    except msgspec.DecodeError:
        return None
    if not (0 <= report.prompt_tokens <= MOST_TOKENS and 0 <= report.completion_tokens <= MOST_TOKENS):
        return None
    return _usage_of(report)


def read_finish_reason(choices: msgspec.Raw) -> str | None:
    """Give the end reason of the first choice. Raises msgspec.DecodeError when these are no choices."""
    finished = _finished_decoder.decode(choices)
    return finished[0].finish_reason if finished else None


def read_texts(choices: msgspec.Raw) -> list[str]:
    """Give the texts of an answer that cost output tokens, each counted by itself."""
    return [
        text
        for choice in _choices_decoder.decode(choices)
        if choice.message is not None
        for _, text in choice.message.parts()
    ]


def _usage_of(report: _UsageReport) -> Usage:
    details, output_details = report.prompt_tokens_details, report.completion_tokens_details
    cached = (details and details.cached_tokens) or report.prompt_cache_hit_tokens or 0
    written = (
        (details and (details.cache_write_tokens or details.cache_creation_tokens))
        or report.cache_creation_input_tokens
        or 0
    )
    cached = _within(cached, report.prompt_tokens)
    has_cost = report.cost is not None and report.cost.is_finite() and 0 <= report.cost <= MOST_COST
    return Usage(
        input_tokens=report.prompt_tokens,
        output_tokens=report.completion_tokens,
        cached_input_tokens=cached,
        cache_write_tokens=_within(written, report.prompt_tokens - cached),
        reasoning_tokens=_within(
            (output_details and output_details.reasoning_tokens) or 0, report.completion_tokens
        ),
        provider_cost=report.cost if has_cost else None,
        currency="USD" if has_cost else "",
    )


def _within(part: int, whole: int) -> int:
    return max(0, min(part, whole))


def _joined_text(content: Any) -> str:
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else ()
    return "".join(
        part["text"] for part in parts if isinstance(part, dict) and isinstance(part.get("text"), str)
    )


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
