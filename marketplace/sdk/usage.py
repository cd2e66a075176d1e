"""Token counts as model providers write them, read into one convention.

Ours is that of the meter: cached and cache-write tokens are parts of input, reasoning tokens are part of output.
Providers differ, so each way of counting has a reader here that says how it differs.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

MISSING = object()


class Usage(NamedTuple):
    """What one call of a model used, in tokens. Cached and cache-write are parts of input, reasoning of output."""

    input_tokens: int = 0
    output_tokens: int = 0
    cached_input_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0

    def __add__(self, other: object) -> "Usage":
        if not isinstance(other, Usage):
            return NotImplemented
        return Usage(*map(int.__add__, self, other))

    def merged(self, later: "Usage") -> "Usage":
        """Combine two readings of one stream. Providers count up within it, so the larger of each count stands."""
        return Usage(*map(max, self, later))

    def fields(self) -> dict[str, int]:
        """Return the counts that are not zero, by the names of the meter."""
        return {name: count for name, count in zip(self._fields, self, strict=True) if count}


def field(holder: Any, name: str, default: Any = None) -> Any:
    """Return an entry of a mapping or an attribute of an object."""
    if holder is None:
        return default
    # Before the question for any Mapping, which is ten times as slow.
    if isinstance(holder, dict):
        return holder.get(name, default)
    value = getattr(holder, name, MISSING)
    if value is not MISSING:
        return value
    return holder.get(name, default) if isinstance(holder, Mapping) else default


def normalize(counts: Any) -> Usage | None:
    """Read a provider's usage, mapping or object; None when it has none of the counts that we know."""
    for marks, read in READERS:
        if any(field(counts, mark) is not None for mark in marks):
            return read(counts)
    return None


def _count(holder: Any, *names: str) -> int:
    """Return the first of these counts that is there; what is not a whole number counts as absent."""
    if holder is None:
        return 0
    for name in names:
        value = field(holder, name)
        if isinstance(value, int) and not isinstance(value, bool) and value > 0:
            return value
    return 0


def _usage(*, input_: int, output: int, cached: int = 0, written: int = 0, reasoning: int = 0) -> Usage:
    """Build a usage whose parts fit into their wholes: parts that exceed them were counted beside them."""
    if cached + written > input_:
        input_ += cached + written
    if reasoning > output:
        output += reasoning
    return Usage(input_, output, cached, written, reasoning)


def _chat(counts: Any) -> Usage:
    """OpenAI's chat and embeddings, and the many that speak it. Prompt includes cached and cache-write tokens.

    Completion includes reasoning, but not everywhere (xAI): there the total is larger by just that.
    """
    prompt, completion = _count(counts, "prompt_tokens"), _count(counts, "completion_tokens")
    of_prompt, of_completion = (
        field(counts, "prompt_tokens_details"),
        field(counts, "completion_tokens_details"),
    )
    reasoning = _count(of_completion, "reasoning_tokens")
    is_beside = reasoning and _count(counts, "total_tokens") == prompt + completion + reasoning
    return _usage(
        input_=prompt,
        output=completion + reasoning if is_beside else completion,
        cached=_count(of_prompt, "cached_tokens") or _count(counts, "prompt_cache_hit_tokens"),
        written=_count(of_prompt, "cache_write_tokens"),
        reasoning=reasoning,
    )


def _input_output(counts: Any) -> Usage:
    """``input_tokens`` and ``output_tokens``: OpenAI's responses and LangChain include cached tokens in input,
    Anthropic counts them, and those written to the cache, beside it.
    """
    if (
        field(counts, "cache_read_input_tokens", MISSING) is not MISSING
        or field(counts, "cache_creation_input_tokens", MISSING) is not MISSING
    ):
        return _anthropic(counts)
    of_input = field(counts, "input_tokens_details") or field(counts, "input_token_details")
    of_output = field(counts, "output_tokens_details") or field(counts, "output_token_details")
    return _usage(
        input_=_count(counts, "input_tokens"),
        output=_count(counts, "output_tokens"),
        cached=_count(of_input, "cached_tokens", "cache_read"),
        written=_count(of_input, "cache_write_tokens", "cache_creation"),
        reasoning=_count(of_output, "reasoning_tokens", "thinking_tokens", "reasoning"),
    )


def _anthropic(counts: Any) -> Usage:
    cached, written = (
        _count(counts, "cache_read_input_tokens"),
        _count(counts, "cache_creation_input_tokens"),
    )
    if not written:
        by_age = field(counts, "cache_creation")
        written = _count(by_age, "ephemeral_5m_input_tokens") + _count(by_age, "ephemeral_1h_input_tokens")
    return _usage(
        input_=_count(counts, "input_tokens") + cached + written,
        output=_count(counts, "output_tokens"),
        cached=cached,
        written=written,
        reasoning=_count(field(counts, "output_tokens_details"), "thinking_tokens"),
    )


def _gemini(counts: Any) -> Usage:
    """Gemini. Prompt includes cached tokens; tool results come beside the prompt, thoughts beside the candidates."""
    thoughts = _count(counts, "thoughtsTokenCount", "thoughts_token_count")
    candidates = _count(
        counts,
        "candidatesTokenCount",
        "candidates_token_count",
        "responseTokenCount",
        "response_token_count",
    )
    tools = _count(counts, "toolUsePromptTokenCount", "tool_use_prompt_token_count")
    return _usage(
        input_=_count(counts, "promptTokenCount", "prompt_token_count") + tools,
        output=candidates + thoughts,
        cached=_count(counts, "cachedContentTokenCount", "cached_content_token_count"),
        reasoning=thoughts,
    )


def _bedrock(counts: Any) -> Usage:
    """Bedrock's Converse. Cached tokens, read and written, come beside input."""
    cached = _count(counts, "cacheReadInputTokens", "cacheReadInputTokenCount")
    written = _count(counts, "cacheWriteInputTokens", "cacheWriteInputTokenCount")
    return _usage(
        input_=_count(counts, "inputTokens") + cached + written,
        output=_count(counts, "outputTokens"),
        cached=cached,
        written=written,
    )


def _cohere(counts: Any) -> Usage:
    """Cohere tells what it counted and what it bills; the bill is what costs."""
    billed = field(counts, "billed_units")
    return _usage(input_=_count(billed, "input_tokens"), output=_count(billed, "output_tokens"))


Reader = Callable[[Any], Usage]

# Tried in order; a body belongs to the first reader of which it has one mark.
READERS: tuple[tuple[tuple[str, ...], Reader], ...] = (
    (("prompt_tokens", "completion_tokens"), _chat),
    (("input_tokens", "output_tokens"), _input_output),
    (("promptTokenCount", "prompt_token_count", "candidatesTokenCount", "candidates_token_count"), _gemini),
    (("inputTokens", "outputTokens"), _bedrock),
    (("billed_units",), _cohere),
)
