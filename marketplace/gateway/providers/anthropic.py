"""Anthropic's Messages API: requests into its words, its answers and events into OpenAI's."""

from collections.abc import Mapping
from typing import Any

import msgspec
from yarl import URL

from marketplace.gateway.providers import bodies
from marketplace.gateway.providers.base import Body, Path, ProviderEndpoint, ProviderMisconfigured, Usage
from marketplace.gateway.providers.prefixes import PrefixMemory
from marketplace.gateway.providers.translating import (
    DONE,
    CannotSay,
    EventTranslator,
    arguments_of,
    choice,
    completion,
    data_url,
    image_url,
    parts_of,
    refused_here,
    schema_of,
    text_of,
    tool_call,
)
from marketplace.gateway.providers.wires import Sent

VERSION = "2023-06-01"
CACHE = {"type": "ephemeral"}
"""Five minutes, always: the price of a cache write is that of five minutes."""
IMAGE_TYPES = ("image/jpeg", "image/png", "image/gif", "image/webp")
ONLY_JSON = "Answer with one JSON object and nothing else."
FINISH_REASONS = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "pause_turn": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}
TOOL_CHOICES = {"auto": "auto", "none": "none", "required": "any"}
EFFORTS = {"minimal": "low", "low": "low", "medium": "medium", "high": "high", "xhigh": "high"}


class AnthropicWire:
    """The protocol at one endpoint; ``base_url`` usually is https://api.anthropic.com/v1."""

    def __init__(self, endpoint: ProviderEndpoint, *, prefixes: PrefixMemory | None = None) -> None:
        self._name = endpoint.name
        self._prefixes = prefixes or PrefixMemory()
        base = endpoint.base_url.rstrip("/")
        self.headers: Mapping[str, str] = {"x-api-key": endpoint.api_key, "anthropic-version": VERSION}
        self.models_url = URL(f"{base}/models?limit=1000")
        self._url = URL(f"{base}/messages")

    def request(self, body: Body, *, path: Path) -> Sent:
        if path == "embeddings":
            raise ProviderMisconfigured(self._name, "makes no embeddings, but offers a model for them")
        return Sent(msgspec.json.encode(self._said(body)), self._url)

    def stream_request(self, body: Body) -> Sent:
        fields = bodies.decode(body)
        asked = (fields.get("stream_options") or {}).get("include_usage") is True
        return Sent(msgspec.json.encode(self._said(fields) | {"stream": True}), self._url, asked)

    def answer(self, answer: bytes, *, path: Path, request: Body) -> bytes:
        fields = _answer_decoder.decode(answer)
        return completion(
            fields.id,
            model=fields.model,
            choices=[_choice(fields)],
            usage=usage_of(fields.usage),
        )

    def translator(self, body: Body) -> "AnthropicEvents":
        return AnthropicEvents()

    def model_names(self, answer: bytes) -> list[str]:
        return [model["id"] for model in msgspec.json.decode(answer, type=dict[str, Any])["data"]]

    def _said(self, body: Body) -> dict[str, Any]:
        with refused_here(self._name):
            said = messages_request(bodies.decode(body))
        self._mark_prefix(said)
        return said

    def _mark_prefix(self, said: dict[str, Any]) -> None:
        """Have tools and system prompt cached when this very beginning was sent a moment ago, too."""
        if has_cache_marks(said) or not said.get("system"):
            return
        if self._prefixes.is_repeated(msgspec.json.encode([said.get("tools"), said["system"]])):
            said["system"][-1]["cache_control"] = CACHE


def messages_request(body: Mapping[str, Any]) -> dict[str, Any]:
    """Say a chat completion in Anthropic's words. Raises CannotSay."""
    if (body.get("n") or 1) > 1:
        raise CannotSay("n", "This model gives one answer a request.")
    if body.get("functions"):
        raise CannotSay("functions", "Describe functions as `tools`.")
    said: dict[str, Any] = {"model": body["model"], "max_tokens": body["max_tokens"]}
    system = _system(body)
    if system:
        said["system"] = system
    said["messages"] = _messages(body["messages"])
    if body.get("tools"):
        said["tools"] = [_tool(tool) for tool in body["tools"]]
        said |= _tool_choice(body)
    said |= _sampling(body)
    if output := _output_config(body):
        said["output_config"] = output
    return said


def has_cache_marks(said: Mapping[str, Any]) -> bool:
    """Say whether the caller marked what is to be cached."""
    contents = [said.get("system") or (), said.get("tools") or ()]
    contents += [message["content"] for message in said["messages"]]
    return any("cache_control" in block for content in contents for block in content)


def _system(body: Mapping[str, Any]) -> list[dict[str, Any]]:
    blocks = [
        {"type": "text", "text": part["text"], **_cache_of(part)}
        for message in body["messages"]
        if message["role"] in ("system", "developer")
        for part in parts_of(message.get("content"))
    ]
    response_format = body.get("response_format") or {}
    if response_format.get("type") == "json_object":
        blocks.append({"type": "text", "text": ONLY_JSON})
    return blocks


def _messages(messages: list[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Say the turns; what follows each other from one side is one turn, as results of tools are of the user's."""
    turns: list[dict[str, Any]] = []
    for message in messages:
        role = message["role"]
        if role in ("system", "developer"):
            continue
        said_by = "assistant" if role == "assistant" else "user"
        blocks = _blocks(message)
        if turns and turns[-1]["role"] == said_by:
            turns[-1]["content"] += blocks
        elif blocks:
            turns.append({"role": said_by, "content": blocks})
    return turns


def _blocks(message: Mapping[str, Any]) -> list[dict[str, Any]]:
    if message["role"] == "tool":
        content = [_block(part) for part in parts_of(message.get("content"))]
        return [{"type": "tool_result", "tool_use_id": message["tool_call_id"], "content": content}]
    blocks = [_block(part) for part in parts_of(message.get("content"))]
    for call in message.get("tool_calls") or ():
        name, arguments = call["function"]["name"], arguments_of(call)
        blocks.append({"type": "tool_use", "id": call["id"], "name": name, "input": arguments})
    return blocks


def _block(part: Mapping[str, Any]) -> dict[str, Any]:
    kind = part["type"]
    if kind in ("text", "refusal"):
        return {"type": "text", "text": part[kind], **_cache_of(part)}
    if kind == "image_url":
        return {"type": "image", "source": _image(image_url(part)), **_cache_of(part)}
    if kind == "file" and (document := data_url(part["file"].get("file_data") or "")):
        source = {"type": "base64", "media_type": document[0], "data": document[1]}
        return {"type": "document", "source": source, **_cache_of(part)}
    raise CannotSay("messages", f"This model takes no content of the type {kind}.")


def _image(url: str) -> dict[str, Any]:
    inline = data_url(url)
    if inline is None:
        return {"type": "url", "url": url}
    if inline[0] not in IMAGE_TYPES:
        raise CannotSay("messages", f"This model takes images of {', '.join(IMAGE_TYPES)}.")
    return {"type": "base64", "media_type": inline[0], "data": inline[1]}


def _cache_of(part: Mapping[str, Any]) -> dict[str, Any]:
    return {"cache_control": CACHE} if part.get("cache_control") else {}


def _tool(tool: Mapping[str, Any]) -> dict[str, Any]:
    if tool.get("type") != "function":
        raise CannotSay("tools", "Tools are functions.")
    function = tool["function"]
    said = {"name": function["name"], "input_schema": function.get("parameters") or {"type": "object"}}
    if function.get("description"):
        said["description"] = function["description"]
    return said | _cache_of(tool)


def _tool_choice(body: Mapping[str, Any]) -> dict[str, Any]:
    asked, is_serial = body.get("tool_choice"), body.get("parallel_tool_calls") is False
    if asked is None and not is_serial:
        return {}
    if isinstance(asked, Mapping):
        chosen: dict[str, Any] = {"type": "tool", "name": asked["function"]["name"]}
    else:
        chosen = {"type": TOOL_CHOICES[asked or "auto"]}
    if is_serial and chosen["type"] != "none":
        chosen["disable_parallel_tool_use"] = True
    return {"tool_choice": chosen}


def _sampling(body: Mapping[str, Any]) -> dict[str, Any]:
    said: dict[str, Any] = {name: body[name] for name in ("top_p", "top_k") if body.get(name) is not None}
    if body.get("temperature") is not None:
        said["temperature"] = min(body["temperature"], 1)
    if stop := body.get("stop"):
        said["stop_sequences"] = [stop] if isinstance(stop, str) else stop
    if isinstance(body.get("user"), str):
        said["metadata"] = {"user_id": body["user"]}
    return said


def _output_config(body: Mapping[str, Any]) -> dict[str, Any]:
    said: dict[str, Any] = {}
    response_format = body.get("response_format")
    if response_format and (schema := schema_of(response_format)) is not None:
        said["format"] = {"type": "json_schema", "schema": schema}
    if effort := EFFORTS.get(body.get("reasoning_effort") or ""):
        said["effort"] = effort
    return said


class _Usage(msgspec.Struct):
    """``input_tokens`` are those that were neither read from the cache nor written to it."""

    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_read_input_tokens: int | None = None
    cache_creation_input_tokens: int | None = None


class _Answer(msgspec.Struct):
    id: str
    model: str
    content: list[dict[str, Any]]
    stop_reason: str | None
    usage: _Usage | None = None


_answer_decoder = msgspec.json.Decoder(_Answer)


def usage_of(reported: _Usage | None) -> Usage | None:
    """Read a usage; None when it does not say what was read and written."""
    if reported is None or reported.input_tokens is None or reported.output_tokens is None:
        return None
    read, written = reported.cache_read_input_tokens or 0, reported.cache_creation_input_tokens or 0
    return Usage(
        input_tokens=reported.input_tokens + read + written,
        output_tokens=reported.output_tokens,
        cached_input_tokens=read,
        cache_write_tokens=written,
    )


def _choice(answer: _Answer) -> dict[str, Any]:
    of_kind = {
        kind: [b for b in answer.content if b.get("type") == kind]
        for kind in ("text", "thinking", "tool_use")
    }
    calls = [
        tool_call(block["id"], name=block["name"], arguments=msgspec.json.encode(block["input"]).decode())
        for block in of_kind["tool_use"]
    ]
    return choice(
        0,
        text=text_of(of_kind["text"]),
        reasoning="".join(block.get("thinking") or "" for block in of_kind["thinking"]),
        tool_calls=calls,
        finish_reason=FINISH_REASONS.get(answer.stop_reason or "", "stop"),
    )


class AnthropicEvents(EventTranslator):
    """Translates the events of one stream."""

    def __init__(self) -> None:
        super().__init__()
        self._usage = _Usage()
        self._calls: dict[int, int] = {}
        self._reason: str | None = None

    def event(self, fields: dict[str, Any]) -> bytes:
        match fields["type"]:
            case "message_start":
                return self._start(fields["message"])
            case "content_block_start":
                return self._block(fields["index"], fields["content_block"])
            case "content_block_delta":
                return self._delta(fields["index"], fields["delta"])
            case "message_delta":
                self._note(fields.get("usage"))
                reason = fields["delta"].get("stop_reason")
                return (
                    self.writer.delta({}, finish_reason=FINISH_REASONS.get(reason, "stop")) if reason else b""
                )
            case "message_stop":
                usage = usage_of(self._usage)
                return (self.writer.usage(usage) if usage else b"") + DONE
            case "error":
                return self.writer.error(fields["error"])
        return b""

    def _start(self, message: dict[str, Any]) -> bytes:
        self.writer.answer_id, self.writer.model = message["id"], message["model"]
        self._note(message.get("usage"))
        known = usage_of(self._usage)
        if known is not None:
            self.input_usage = known
        return self.writer.delta({"role": "assistant", "content": ""})

    def _note(self, reported: Any) -> None:
        """Take over what is said of the usage; later numbers are totals and replace earlier ones."""
        if reported is None:
            return
        later = msgspec.convert(reported, _Usage)
        for name in _Usage.__struct_fields__:
            value = getattr(later, name)
            if value is not None:
                setattr(self._usage, name, value)

    def _block(self, index: int, block: dict[str, Any]) -> bytes:
        if block["type"] == "tool_use":
            position = self._calls[index] = len(self._calls)
            call = tool_call(block["id"], name=block["name"], arguments="")
            return self.writer.delta({"tool_calls": [{"index": position, **call}]})
        text = block.get("text") if block["type"] == "text" else None
        return self.writer.delta({"content": text}) if text else b""

    def _delta(self, index: int, delta: dict[str, Any]) -> bytes:
        match delta["type"]:
            case "text_delta":
                return self.writer.delta({"content": delta["text"]})
            case "thinking_delta":
                return self.writer.delta({"reasoning_content": delta["thinking"]})
            case "input_json_delta":
                part = {"index": self._calls[index], "function": {"arguments": delta["partial_json"]}}
                return self.writer.delta({"tool_calls": [part]})
        return b""
