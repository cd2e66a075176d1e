"""Where the usage stands in what a model provider's client returned: a response, or one event of a stream."""

from typing import Any, NamedTuple

from .usage import Usage, field, normalize

# Parts of a response or a stream's event that carry the usage one level deeper: Anthropic's message_start, OpenAI's
# response.completed, Bedrock's metadata, Cohere's message-end and embeddings, Groq's last chunk.
INNER = ("response", "message", "metadata", "meta", "delta", "x_groq")
MODEL_NAMES = ("model", "modelVersion", "model_version")


class Reading(NamedTuple):
    """A usage and the model that the provider says it is of (None when it does not say)."""

    model: str | None
    usage: Usage


def read_usage(response: Any) -> Reading | None:
    """Read usage and model from a response, an event of a stream, or bare counts; objects or mappings.

    Returns None when there is no usage in it. Counts come in the meter's convention, see ``Usage``.
    """
    if response is None or isinstance(response, (str, bytes, int, float)):
        return None
    # First the place where most have it, then what tells that most items of a stream have none.
    found = _from_counts(response, "usage")
    if found is not None:
        return found
    if _is_piece(response):
        return None
    return _elsewhere(response)


def _elsewhere(response: Any) -> Reading | None:
    found = _direct(response)
    if found is None:
        inner = (field(response, name) for name in INNER)
        found = next((reading for part in inner if part is not None and (reading := _direct(part))), None)
    if found is None:
        counts = normalize(response)
        return Reading(_model(response), counts) if counts is not None else None
    return found if found.model else found._replace(model=_model(response))


def _is_piece(event: Any) -> bool:
    """Tell a piece of text in a stream: it has no usage, and there are many."""
    kind = field(event, "type")
    if isinstance(kind, str):
        return kind == "content_block_delta" or kind.endswith(".delta")
    is_chunk = field(event, "object") == "chat.completion.chunk"
    return is_chunk and field(event, "usage") is None and field(event, "x_groq") is None


def _direct(holder: Any) -> Reading | None:
    for name in ("usage", "usageMetadata", "usage_metadata"):
        found = _from_counts(holder, name)
        if found is not None:
            return found
    if field(holder, "billed_units") is not None:
        return _reading(None, normalize(holder))
    return None


def _from_counts(holder: Any, name: str) -> Reading | None:
    counts = field(holder, name)
    return _reading(_model(holder), normalize(counts)) if counts is not None else None


def _reading(model: str | None, usage: Usage | None) -> Reading | None:
    return Reading(model, usage) if usage is not None else None


def _model(holder: Any) -> str | None:
    for name in MODEL_NAMES:
        value = field(holder, name)
        if isinstance(value, str) and value:
            return value
    return None
