"""What every wire that translates needs: reading OpenAI's requests, writing OpenAI's answers and events."""

import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import msgspec

from marketplace.gateway.providers.base import ProviderRefused, Usage
from marketplace.gateway.providers.sse import MAX_EVENT_BYTES

DONE = b"data: [DONE]\n\n"
UNREADABLE = (AttributeError, KeyError, TypeError, ValueError, IndexError)


class CannotSay(Exception):
    """The protocol of this provider has no words for a field of the request."""

    def __init__(self, field: str, why: str) -> None:
        super().__init__(f"{field}: {why}")
        self.field = field
        self.why = why


@contextmanager
def refused_here(provider: str) -> Iterator[None]:
    """Answer what cannot be said, or not even read, as the provider would: refused, and nothing charged."""
    try:
        yield
    except CannotSay as error:
        raise _refusal(provider, error.why, param=error.field) from error
    except UNREADABLE as error:
        raise _refusal(
            provider, "The request is not as OpenAI's protocol describes it.", param=None
        ) from error


def _refusal(provider: str, message: str, *, param: str | None) -> ProviderRefused:
    fields = {"message": message, "type": "invalid_request_error", "code": "unsupported", "param": param}
    return ProviderRefused(
        provider, "cannot take the request", status=400, body=msgspec.json.encode({"error": fields})
    )


def text_of(content: Any) -> str:
    """Give the text of a message's content, plain or in parts."""
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    return "".join(part.get("text") or part.get("refusal") or "" for part in content)


def parts_of(content: Any) -> list[Mapping[str, Any]]:
    """Give a message's content as parts; empty texts say nothing and are left out."""
    if content is None:
        return []
    parts = [{"type": "text", "text": content}] if isinstance(content, str) else content
    return [part for part in parts if part["type"] != "text" or part["text"]]


def data_url(url: str) -> tuple[str, str] | None:
    """Split a data URL into its media type and its Base64; None for an address."""
    if not url.startswith("data:"):
        return None
    head, comma, data = url[5:].partition(",")
    media_type, _, encoding = head.partition(";")
    if not comma or encoding.lower() != "base64":
        raise CannotSay("messages", "An image in a data URL has to be Base64.")
    return media_type.lower(), data


def image_url(part: Mapping[str, Any]) -> str:
    """Give the address of an image part."""
    image = part["image_url"]
    url = image if isinstance(image, str) else image["url"]
    if not isinstance(url, str):
        raise CannotSay("messages", "The address of an image is a text.")
    return url


def schema_of(response_format: Mapping[str, Any]) -> Any:
    """Give the schema of a response format; None for one that wants any JSON object."""
    if response_format["type"] == "json_schema":
        return response_format["json_schema"]["schema"]
    return None


def arguments_of(call: Mapping[str, Any]) -> Any:
    """Give the arguments of a tool call as an object."""
    text = call["function"].get("arguments") or "{}"
    return msgspec.json.decode(text)


def usage_fields(usage: Usage) -> dict[str, Any]:
    """Write a usage as OpenAI does."""
    return {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.total_tokens,
        "prompt_tokens_details": {
            "cached_tokens": usage.cached_input_tokens,
            "cache_write_tokens": usage.cache_write_tokens,
        },
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
    }


def completion(answer_id: str, *, model: str, choices: list[dict[str, Any]], usage: Usage | None) -> bytes:
    """Write a whole chat completion."""
    body = {
        "id": answer_id,
        "object": "chat.completion",
        "created": int(time.time()),
        "model": model,
        "choices": choices,
    }
    return msgspec.json.encode(body if usage is None else body | {"usage": usage_fields(usage)})


def choice(
    index: int, *, text: str, reasoning: str, tool_calls: list[dict[str, Any]], finish_reason: str
) -> dict[str, Any]:
    """Write one choice of a completion."""
    message: dict[str, Any] = {"role": "assistant", "content": text or (None if tool_calls else "")}
    if reasoning:
        message["reasoning_content"] = reasoning
    if tool_calls:
        message["tool_calls"] = tool_calls
    return {"index": index, "message": message, "logprobs": None, "finish_reason": finish_reason}


def tool_call(call_id: str, *, name: str, arguments: str) -> dict[str, Any]:
    """Write one tool call."""
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}


class EventWriter:
    """Writes the events of one stream as OpenAI does."""

    def __init__(self) -> None:
        self.answer_id = ""
        self.model = ""
        self._created = int(time.time())

    def delta(self, delta: Mapping[str, Any], *, index: int = 0, finish_reason: str | None = None) -> bytes:
        """Write what one choice says, or that it ends."""
        return self._event([{"index": index, "delta": delta, "finish_reason": finish_reason}])

    def usage(self, usage: Usage) -> bytes:
        """Write the event that has nothing but the usage."""
        return self._event([], usage=usage_fields(usage))

    def error(self, error: Any) -> bytes:
        """Write that the stream breaks off."""
        return (
            b"data: "
            + msgspec.json.encode({"error": error or {"message": "The provider broke off."}})
            + b"\n\n"
        )

    def _event(self, choices: list[dict[str, Any]], **more: Any) -> bytes:
        fields = {
            "id": self.answer_id,
            "object": "chat.completion.chunk",
            "created": self._created,
            "model": self.model,
            "choices": choices,
            **more,
        }
        return b"data: " + msgspec.json.encode(fields) + b"\n\n"


class EventTranslator(ABC):
    """Cuts what arrives into server-sent events and lets each be translated."""

    def __init__(self) -> None:
        self.input_usage: Usage | None = None
        self.writer = EventWriter()
        self._rest = b""

    def feed(self, data: bytes) -> bytes:
        """Take the next bytes; give the events that they complete. What cannot be read is passed on as it is, for the
        meter to find."""
        *events, self._rest = (self._rest + data).replace(b"\r\n", b"\n").split(b"\n\n")
        if len(self._rest) > MAX_EVENT_BYTES:
            return self.writer.error({"message": "The provider sent an event without an end."})
        return b"".join(self._of(event) for event in events)

    def finish(self) -> bytes:
        """Take the end; a last event without its empty line still counts."""
        rest, self._rest = self._rest.strip(), b""
        return (self._of(rest) if rest else b"") + self.end()

    @abstractmethod
    def event(self, fields: dict[str, Any]) -> bytes:
        """Translate one event; what is not as agreed raises one of UNREADABLE."""

    def end(self) -> bytes:
        """Give what is said when the provider has closed the stream."""
        return b""

    def _of(self, event: bytes) -> bytes:
        lines = [line[5:].strip() for line in event.split(b"\n") if line.startswith(b"data:")]
        payload = b"\n".join(lines)
        if not payload:
            return b""
        try:
            return self.event(msgspec.json.decode(payload))
        except (msgspec.DecodeError, *UNREADABLE):
            return b'data: {"unreadable": ' + payload.replace(b"\n", b" ") + b"\n\n"
