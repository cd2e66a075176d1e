"""Anthropic's Messages API over the same made-up answers, as strict as theirs where it refuses.

Beginnings marked with ``cache_control`` are remembered: written the first time, read afterwards, as their usage says.
"""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any

import msgspec

from marketplace.gateway import tokens
from marketplace.gateway.demo_provider.chat import Answer, ChatRequest, Choice

PATH = "/v1/messages"
STOP_REASONS = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use"}
ERROR_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    404: "not_found_error",
    429: "rate_limit_error",
    500: "api_error",
    503: "overloaded_error",
}
TOOL_CHOICES = {"auto": "auto", "any": "required", "none": "none"}


class MessagesRequest(msgspec.Struct):
    """What must be there, and what is obeyed."""

    model: str
    max_tokens: Annotated[int, msgspec.Meta(ge=1)]
    messages: Annotated[list[dict[str, Any]], msgspec.Meta(min_length=1)]
    system: str | list[dict[str, Any]] | None = None
    stream: bool | None = None
    stop_sequences: list[str] | None = None
    tools: list[dict[str, Any]] | None = None
    tool_choice: dict[str, Any] | None = None
    output_config: dict[str, Any] | None = None
    temperature: Annotated[float, msgspec.Meta(ge=0, le=1)] | None = None


decoder = msgspec.json.Decoder(MessagesRequest)


def chat_request(request: MessagesRequest) -> ChatRequest:
    """Return the same request as the composer of answers reads it. Raises ValueError for what they refuse."""
    if request.messages[0].get("role") != "user":
        raise ValueError('messages: first message must use the "user" role')
    messages = [{"role": "system", "content": block["text"]} for block in _blocks(request.system)]
    for message in request.messages:
        messages += _messages(message)
    output = request.output_config or {}
    return ChatRequest(
        model=request.model,
        messages=messages,
        stream=request.stream,
        max_tokens=request.max_tokens,
        stop=request.stop_sequences,
        tools=[_tool(tool) for tool in request.tools] if request.tools else None,
        tool_choice=_tool_choice(request.tool_choice),
        response_format=_response_format(output.get("format")),
        reasoning_effort=output.get("effort"),
    )


def cached_prefix(request: MessagesRequest) -> tuple[bytes, int]:
    """Return what is marked to be cached, and its tokens; empty when nothing is."""
    blocks = _blocks(request.system)
    if not any(block.get("cache_control") for block in blocks):
        return b"", 0
    prefix = {"tools": request.tools, "messages": [{"role": "system", "content": blocks}]}
    return msgspec.json.encode(prefix), tokens.count_prompt(prefix)


def usage_of(answer: Answer, *, output_factor: int, read: int, written: int) -> dict[str, Any]:
    """Give the usage: plain input apart from what was read from the cache and written to it."""
    return {
        "input_tokens": answer.prompt_tokens - read - written,
        "cache_creation_input_tokens": written,
        "cache_read_input_tokens": read,
        "output_tokens": answer.output_tokens * output_factor,
    }


def error(status: int, message: str) -> dict[str, Any]:
    """Give the body of an error."""
    return {"type": "error", "error": {"type": ERROR_TYPES.get(status, "api_error"), "message": message}}


def whole(answer: Answer, *, model: str, usage: Mapping[str, Any] | None) -> dict[str, Any]:
    """Give the body of a whole answer."""
    choice = answer.choices[0]
    content: list[dict[str, Any]] = []
    if choice.reasoning:
        content.append({"type": "thinking", "thinking": "".join(choice.reasoning), "signature": "c2lnbmVk"})
    if choice.content:
        content.append({"type": "text", "text": "".join(choice.content)})
    if choice.tool_call is not None:
        given = _read_arguments(choice.tool_call.arguments)
        content.append({**_tool_use(answer, choice), "input": given})
    body = _message(answer, model=model)
    body |= {"content": content, "stop_reason": STOP_REASONS[choice.finish_reason]}
    return body | ({"usage": usage} if usage is not None else {})


def events(answer: Answer, *, model: str, usage: Mapping[str, Any] | None) -> Iterator[bytes]:
    """Give the events of a stream, one a token, in blocks."""
    choice = answer.choices[0]
    begun = {"usage": {**usage, "output_tokens": 1}} if usage is not None else {}
    yield _event("message_start", message=_message(answer, model=model) | begun)
    for index, (block, deltas) in enumerate(_block_deltas(answer, choice)):
        yield _event("content_block_start", index=index, content_block=block)
        if index == 0:
            yield _event("ping")
        for delta in deltas:
            yield _event("content_block_delta", index=index, delta=delta)
        yield _event("content_block_stop", index=index)
    ended = {"usage": {"output_tokens": usage["output_tokens"]}} if usage is not None else {}
    reason = {"stop_reason": STOP_REASONS[choice.finish_reason], "stop_sequence": None}
    yield _event("message_delta", delta=reason, **ended)
    yield _event("message_stop")


def _block_deltas(answer: Answer, choice: Choice) -> Iterator[tuple[dict[str, Any], list[dict[str, Any]]]]:
    if choice.reasoning:
        thoughts = [{"type": "thinking_delta", "thinking": piece} for piece in choice.reasoning]
        signed = {"type": "signature_delta", "signature": "c2lnbmVk"}
        yield {"type": "thinking", "thinking": "", "signature": ""}, [*thoughts, signed]
    if choice.content:
        yield (
            {"type": "text", "text": ""},
            [{"type": "text_delta", "text": piece} for piece in choice.content],
        )
    if choice.tool_call is not None:
        pieces = ["", *choice.tool_call.arguments]
        deltas = [{"type": "input_json_delta", "partial_json": piece} for piece in pieces]
        yield {**_tool_use(answer, choice), "input": {}}, deltas


def _event(kind: str, **fields: Any) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (kind.encode(), msgspec.json.encode({"type": kind, **fields}))


def _message(answer: Answer, *, model: str) -> dict[str, Any]:
    return {
        "id": f"msg_{answer.digest}",
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
    }


def _tool_use(answer: Answer, choice: Choice) -> dict[str, Any]:
    assert choice.tool_call is not None
    return {"type": "tool_use", "id": f"toolu_{answer.digest}", "name": choice.tool_call.name}


def _read_arguments(pieces: tuple[str, ...]) -> Any:
    try:
        return msgspec.json.decode("".join(pieces))
    except msgspec.DecodeError:  # cut by max_tokens
        return {}


def _blocks(content: str | list[dict[str, Any]] | None) -> list[dict[str, Any]]:
    blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content or []
    for block in blocks:
        if block["type"] == "text" and not block["text"]:
            raise ValueError("text content blocks must be non-empty")
    return blocks


def _messages(message: dict[str, Any]) -> list[dict[str, Any]]:
    role = message["role"]
    if role not in ("user", "assistant"):
        raise ValueError(f'messages: Unexpected role "{role}"')
    blocks = _blocks(message["content"])
    results = [
        {"role": "tool", "tool_call_id": block["tool_use_id"], "content": _texts(block.get("content"))}
        for block in blocks
        if block["type"] == "tool_result"
    ]
    parts = [part for part in map(_part, blocks) if part is not None]
    calls = [_call(block) for block in blocks if block["type"] == "tool_use"]
    said: list[dict[str, Any]] = []
    if parts or calls:
        said = [{"role": role, "content": parts, **({"tool_calls": calls} if calls else {})}]
    return results + said


def _texts(content: Any) -> str:
    return "".join(block.get("text", "") for block in _blocks(content))


def _part(block: Mapping[str, Any]) -> dict[str, Any] | None:
    if block["type"] == "text":
        return {"type": "text", "text": block["text"]}
    if block["type"] == "image":
        source = block["source"]
        url = (
            source["url"]
            if source["type"] == "url"
            else f"data:{source['media_type']};base64,{source['data']}"
        )
        return {"type": "image_url", "image_url": {"url": url}}
    if block["type"] in ("tool_use", "tool_result", "thinking", "document"):
        return None
    raise ValueError(f"messages: Input tag '{block['type']}' found")


def _call(block: Mapping[str, Any]) -> dict[str, Any]:
    arguments = msgspec.json.encode(block["input"]).decode()
    return {
        "id": block["id"],
        "type": "function",
        "function": {"name": block["name"], "arguments": arguments},
    }


def _tool(tool: Mapping[str, Any]) -> dict[str, Any]:
    function = {"name": tool["name"], "parameters": tool["input_schema"]}
    if tool.get("description"):
        function["description"] = tool["description"]
    return {"type": "function", "function": function}


def _tool_choice(asked: Mapping[str, Any] | None) -> Any:
    if asked is None:
        return None
    if asked["type"] == "tool":
        return {"type": "function", "function": {"name": asked["name"]}}
    return TOOL_CHOICES[asked["type"]]


def _response_format(asked: Mapping[str, Any] | None) -> dict[str, Any] | None:
    if asked is None:
        return None
    return {"type": "json_schema", "json_schema": {"name": "answer", "schema": asked["schema"]}}
