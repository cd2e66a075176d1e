"""Model requests as callers send them: checked, bounded, and rewritten for the provider."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import msgspec

from marketplace.core.errors import InvalidInput
from marketplace.gateway import tokens
from marketplace.gateway.directory import AppFacts
from marketplace.gateway.router import Need

MAX_BODY_BYTES = 16 * 1024 * 1024
MAX_CHOICES = 16
Path = Literal["chat/completions", "embeddings"]

_decoder = msgspec.json.Decoder(dict[str, Any])
# Wrong JSON, bytes that are no UTF-8, and brackets in brackets without end.
UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class InvalidRequest(InvalidInput):
    """A field of a model request is missing or wrong."""

    code = "invalid_request"


@dataclass(frozen=True, slots=True)
class ModelRequest:
    """A checked request: its fields, and what it needs of a model."""

    path: Path
    fields: Mapping[str, Any]
    need: Need
    is_stream: bool
    feature: str = ""
    choices: int = 1
    names_length: bool = True
    """Whether the caller said how long the answer may be."""
    no_store: bool = False
    """Whether the caller wants an answer that is neither kept nor was."""
    is_packable: bool = False
    """Whether it may go in one call with others that differ in their last message alone."""
    is_batch: bool = False
    """Whether it is a call of a batch, which has prices of its own and whose hold waits for the batch's next worker."""
    tags: Mapping[str, str] | None = None
    """What the usage event keeps of how the request was made."""

    def for_provider(self, upstream_name: str) -> dict[str, Any]:
        """Return the body for one provider, with its name of the model and the output bounded."""
        body = dict(self.fields)
        body["model"] = upstream_name
        if self.path == "chat/completions":
            body.pop("max_completion_tokens", None)
            body["max_tokens"] = max(1, self.need.output_tokens // self.choices)
        return body


def decode(body: bytes) -> dict[str, Any]:
    """Decode a JSON object; raises InvalidRequest."""
    try:
        return _decoder.decode(body)
    except UNREADABLE as error:
        raise InvalidRequest("", f"The body is not a JSON object: {error}") from error


def chat(fields: dict[str, Any], *, app: AppFacts, feature: str = "") -> ModelRequest:
    """Check a chat completion for an app; its instructions come first, its output limit bounds ``max_tokens``."""
    messages = fields.get("messages")
    if not isinstance(messages, list) or not messages:
        raise InvalidRequest("messages", "A list of at least one message is required.")
    if not all(isinstance(m, dict) and isinstance(m.get("role"), str) for m in messages):
        raise InvalidRequest("messages", "Every message is an object with a role.")
    if app.instructions:
        fields = {**fields, "messages": [{"role": "system", "content": app.instructions}, *messages]}
    # Some servers write `best_of` answers and give the best `n`: all of them are written and cost.
    choices = max(_whole(fields, name, default=1, most=MAX_CHOICES) or 1 for name in ("n", "best_of"))
    asked = _whole(fields, "max_completion_tokens", default=None) or _whole(
        fields, "max_tokens", default=None
    )
    output = min(asked or app.max_output_tokens, app.max_output_tokens)
    return ModelRequest(
        path="chat/completions",
        fields=fields,
        need=Need(_model(fields), _input_tokens(fields, "messages"), output * choices),
        is_stream=_flag(fields, "stream"),
        feature=feature,
        choices=choices,
        names_length=asked is not None,
    )


def embeddings(fields: dict[str, Any], *, feature: str = "") -> ModelRequest:
    """Check an embeddings request."""
    if not fields.get("input"):
        raise InvalidRequest("input", "A text or a list of texts is required.")
    need = Need(_model(fields), _input_tokens(fields, "input"), 0, is_embedding=True)
    return ModelRequest("embeddings", fields, need, is_stream=False, feature=feature)


def asks_for_usage(request: ModelRequest) -> bool:
    """Tell whether the caller wants the usage at the end of a stream."""
    options = request.fields.get("stream_options")
    return isinstance(options, dict) and options.get("include_usage") is True


def _input_tokens(fields: Mapping[str, Any], name: str) -> int:
    try:
        return tokens.count_prompt(fields)
    except RecursionError as error:
        raise InvalidRequest(name, "This is nested too deeply.") from error


def _model(fields: Mapping[str, Any]) -> str:
    model = fields.get("model")
    if not isinstance(model, str) or not model or len(model) > 80:
        raise InvalidRequest("model", "Name a model, or `auto` to let the app's policy choose.")
    return model


def _flag(fields: Mapping[str, Any], name: str) -> bool:
    value = fields.get(name)
    if value is not None and not isinstance(value, bool):
        raise InvalidRequest(name, "This is true or false.")
    return bool(value)


def _whole(
    fields: Mapping[str, Any], name: str, *, default: int | None, most: int | None = None
) -> int | None:
    value = fields.get(name)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise InvalidRequest(name, "A whole number of at least 1 is required.")
    if most is not None and value > most:
        raise InvalidRequest(name, f"At most {most} are possible.", limit=most)
    return value
