"""A request of the Messages API, said as a chat completion. Everything after this knows one protocol."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from marketplace.gateway.requests import InvalidRequest

Block = Mapping[str, Any]
Fields = dict[str, Any]

TOOL_CHOICES = {"auto": "auto", "any": "required", "none": "none"}
# What is done where the model lives, which the gateway cannot bound or price.
NOT_OFFERED = ("container", "mcp_servers", "context_management")
LOW_THINKING, MEDIUM_THINKING = 4_096, 16_384


def chat_fields(fields: Fields, *, needs_length: bool = True) -> Fields:
    """Say a request in OpenAI's words. Raises InvalidRequest, with the field by the name that the caller used.

    Thinking of earlier turns is left out: it is signed for the model that thought it. A budget of thinking becomes an
    effort, and a result of a tool that failed says so in its text, as OpenAI's protocol has no words for either.
    """
    for name in NOT_OFFERED:
        if fields.get(name):
            raise InvalidRequest(name, "This is not offered here.")
    said: Fields = {"model": fields.get("model"), "messages": _messages(fields)}
    if needs_length or fields.get("max_tokens") is not None:
        said["max_tokens"] = _length(fields)
    if fields.get("tools"):
        said["tools"] = [_tool(tool, f"tools.{i}") for i, tool in enumerate(_list(fields, "tools"))]
    said |= _tool_choice(fields) | _sampling(fields) | _effort(fields) | _format(fields)
    if "stream" in fields:
        said["stream"] = fields["stream"]
    return said


def wants_thinking(fields: Fields) -> bool:
    """Tell whether the answer shows what the model thought."""
    thinking = fields.get("thinking")
    return isinstance(thinking, dict) and thinking.get("type") in ("enabled", "adaptive")


def _length(fields: Fields) -> int:
    length = fields.get("max_tokens")
    if isinstance(length, bool) or not isinstance(length, int) or length < 1:
        raise InvalidRequest("max_tokens", "A whole number of at least 1 is required.")
    return length


def _messages(fields: Fields) -> list[Fields]:
    turns = fields.get("messages")
    if not isinstance(turns, list) or not turns:
        raise InvalidRequest("messages", "A list of at least one message is required.")
    said = _system(fields.get("system"))
    for number, turn in enumerate(turns):
        said += _turn(turn, f"messages.{number}")
    return said


def _system(system: Any) -> list[Fields]:
    if not system:
        return []
    return [{"role": "system", "content": _plain_or_parts(_blocks(system, "system"), "system")}]


def _turn(turn: Any, where: str) -> list[Fields]:
    role = turn.get("role") if isinstance(turn, dict) else None
    if role not in ("user", "assistant"):
        raise InvalidRequest(f"{where}.role", "A message is said by `user` or `assistant`.")
    blocks = _blocks(turn.get("content"), f"{where}.content")
    return [_said(blocks, where)] if role == "assistant" else list(_heard(blocks, where))


def _said(blocks: Sequence[Block], where: str) -> Fields:
    """Say a turn of the model: its text, and the tools it called."""
    spoken = [one for one in blocks if one["type"] not in ("tool_use", "thinking", "redacted_thinking")]
    message: Fields = {"role": "assistant", "content": _plain_or_parts(spoken, where) if spoken else None}
    calls = [_call(one, where) for one in blocks if one["type"] == "tool_use"]
    return message | {"tool_calls": calls} if calls else message


def _heard(blocks: Sequence[Block], where: str) -> Iterator[Fields]:
    """Say a turn of the user: results of tools are messages of their own, and come first."""
    for block in blocks:
        if block["type"] == "tool_result":
            yield _result(block, where)
    rest = [one for one in blocks if one["type"] != "tool_result"]
    if rest:
        yield {"role": "user", "content": _plain_or_parts(rest, where)}


def _call(block: Block, where: str) -> Fields:
    name, arguments = block.get("name"), block.get("input")
    if not isinstance(name, str) or not isinstance(block.get("id"), str) or not isinstance(arguments, dict):
        raise InvalidRequest(f"{where}.content", "A call of a tool has an id, a name and an object as input.")
    function = {"name": name, "arguments": msgspec.json.encode(arguments).decode()}
    return {"id": block["id"], "type": "function", "function": function}


def _result(block: Block, where: str) -> Fields:
    if not isinstance(block.get("tool_use_id"), str):
        raise InvalidRequest(f"{where}.content", "A result of a tool has a tool_use_id.")
    parts = _blocks(block.get("content") or "", f"{where}.content")
    if block.get("is_error"):
        parts = [{"type": "text", "text": "The tool failed: "}, *parts]
    content = _plain_or_parts(parts, where)
    return {"role": "tool", "tool_call_id": block["tool_use_id"], "content": content}


def _blocks(content: Any, where: str) -> Sequence[Block]:
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    if isinstance(content, list) and all(
        isinstance(one, dict) and isinstance(one.get("type"), str) for one in content
    ):
        return content
    raise InvalidRequest(where, "This is a text, or a list of blocks with a type.")


def _plain_or_parts(blocks: Sequence[Block], where: str) -> str | list[Fields]:
    """Say blocks as one text where nothing is lost by it."""
    parts = [_part(block, where) for block in blocks]
    if all(set(part) == {"type", "text"} for part in parts):
        return "".join(part["text"] for part in parts)
    return parts


def _part(block: Block, where: str) -> Fields:
    marked = {"cache_control": block["cache_control"]} if block.get("cache_control") else {}
    kind = block["type"]
    if kind == "text" and isinstance(block.get("text"), str):
        return {"type": "text", "text": block["text"], **marked}
    if kind == "image":
        return {"type": "image_url", "image_url": {"url": _image_address(block, where)}, **marked}
    if kind == "document":
        return _document(block, where) | marked
    raise InvalidRequest(f"{where}.content", f"Content of the type {kind!r} is not taken here.")


def _image_address(block: Block, where: str) -> str:
    match block.get("source"):
        case {"type": "base64", "media_type": str(media_type), "data": str(data)}:
            return f"data:{media_type};base64,{data}"
        case {"type": "url", "url": str(address)}:
            return address
    raise InvalidRequest(f"{where}.content", "An image has a source of the type `base64` or `url`.")


def _document(block: Block, where: str) -> Fields:
    match block.get("source"):
        case {"type": "text", "data": str(text)}:
            return {"type": "text", "text": text}
        case {"type": "base64", "media_type": str(media_type), "data": str(data)}:
            title = block.get("title") or "document"
            return {
                "type": "file",
                "file": {"filename": title, "file_data": f"data:{media_type};base64,{data}"},
            }
    raise InvalidRequest(f"{where}.content", "A document has a source of the type `base64` or `text`.")


def _list(fields: Fields, name: str) -> list[Any]:
    value = fields[name]
    if not isinstance(value, list):
        raise InvalidRequest(name, "This is a list.")
    return value


def _tool(tool: Any, where: str) -> Fields:
    if not isinstance(tool, dict) or tool.get("type") not in (None, "custom"):
        raise InvalidRequest(where, "Tools are described by name and input_schema; none runs at the model's.")
    if not isinstance(tool.get("name"), str) or not isinstance(tool.get("input_schema"), dict):
        raise InvalidRequest(where, "A tool has a name and an input_schema.")
    function = {"name": tool["name"], "parameters": tool["input_schema"]}
    if isinstance(tool.get("description"), str):
        function["description"] = tool["description"]
    marked = {"cache_control": tool["cache_control"]} if tool.get("cache_control") else {}
    return {"type": "function", "function": function, **marked}


def _tool_choice(fields: Fields) -> Fields:
    asked = fields.get("tool_choice")
    if asked is None:
        return {}
    said: Fields = {}
    match asked:
        case {"type": "tool", "name": str(name)}:
            said["tool_choice"] = {"type": "function", "function": {"name": name}}
        case {"type": ("auto" | "any" | "none") as kind}:
            said["tool_choice"] = TOOL_CHOICES[kind]
        case _:
            raise InvalidRequest("tool_choice", "This is `auto`, `any`, `none`, or a `tool` with a name.")
    if asked.get("disable_parallel_tool_use") is True:
        said["parallel_tool_calls"] = False
    return said


def _sampling(fields: Fields) -> Fields:
    said = {name: fields[name] for name in ("temperature", "top_p", "top_k") if fields.get(name) is not None}
    if fields.get("stop_sequences"):
        said["stop"] = fields["stop_sequences"]
    metadata = fields.get("metadata")
    if isinstance(metadata, dict) and isinstance(metadata.get("user_id"), str):
        said["user"] = metadata["user_id"]
    return said


def _effort(fields: Fields) -> Fields:
    config = fields.get("output_config")
    if isinstance(config, dict) and isinstance(config.get("effort"), str):
        return {"reasoning_effort": config["effort"]}
    thinking = fields.get("thinking")
    if not isinstance(thinking, dict) or thinking.get("type") != "enabled":
        return {}
    budget = thinking.get("budget_tokens")
    if isinstance(budget, bool) or not isinstance(budget, int) or budget < 1:
        raise InvalidRequest("thinking.budget_tokens", "A whole number of at least 1 is required.")
    effort = "low" if budget < LOW_THINKING else "medium" if budget < MEDIUM_THINKING else "high"
    return {"reasoning_effort": effort}


def _format(fields: Fields) -> Fields:
    config = fields.get("output_config")
    wanted = config.get("format") if isinstance(config, dict) else None
    if wanted is None:
        return {}
    match wanted:
        case {"type": "json_schema", "schema": dict(schema)}:
            named = {"name": "answer", "schema": schema, "strict": True}
            return {"response_format": {"type": "json_schema", "json_schema": named}}
    raise InvalidRequest("output_config.format", "The format of an answer is a `json_schema` with a schema.")
