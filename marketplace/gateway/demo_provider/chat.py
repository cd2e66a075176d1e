"""Chat completions: read the request, compose the answer, write it whole or as events."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from typing import Annotated, Any

import msgspec

from marketplace.gateway import tokens
from marketplace.gateway.demo_provider import answers, packs, schemas
from marketplace.gateway.demo_provider.reading import Prompt, content_words, keywords, read_prompt, text_of

FINGERPRINT = "halfpenny-demo-provider"
MAX_CACHED_BODY_BYTES = 16 * 1024
REASONING_TOKENS = {"minimal": 4, "low": 16, "medium": 64, "high": 256}
_RETELLINGS = ("", "Put differently: ", "In other words: ", "Again: ", "Said once more: ")

Positive = Annotated[int, msgspec.Meta(ge=1)]


class StreamOptions(msgspec.Struct):
    include_usage: bool | None = None


class ChatRequest(msgspec.Struct):
    """The fields that are obeyed; all others are accepted and change nothing."""

    model: str
    messages: Annotated[list[dict[str, Any]], msgspec.Meta(min_length=1)]
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_tokens: Positive | None = None
    max_completion_tokens: Positive | None = None
    n: Annotated[int, msgspec.Meta(ge=1, le=16)] | None = None
    stop: str | list[str] | None = None
    tools: list[dict[str, Any]] | None = None
    functions: list[dict[str, Any]] | None = None
    tool_choice: Any = None
    response_format: dict[str, Any] | None = None
    reasoning_effort: str | None = None


@dataclass(frozen=True, slots=True)
class ToolCall:
    name: str
    arguments: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Choice:
    """One answer, cut into tokens."""

    reasoning: tuple[str, ...]
    content: tuple[str, ...]
    tool_call: ToolCall | None
    finish_reason: str

    @property
    def output_tokens(self) -> int:
        called = 0
        if self.tool_call is not None:
            called = tokens.count(self.tool_call.name) + len(self.tool_call.arguments)
        return len(self.reasoning) + len(self.content) + called


@dataclass(frozen=True, slots=True)
class Answer:
    digest: str
    prompt_tokens: int
    choices: tuple[Choice, ...]

    @property
    def output_tokens(self) -> int:
        return sum(choice.output_tokens for choice in self.choices)

    @property
    def reasoning_tokens(self) -> int:
        return sum(len(choice.reasoning) for choice in self.choices)


_decoder = msgspec.json.Decoder(ChatRequest)


def read_request(body: bytes) -> ChatRequest:
    """Read a request body. Raises msgspec.DecodeError with a message for the caller."""
    return _decoder.decode(body)


def compose(request: ChatRequest, *, body: bytes) -> Answer:
    """Compose the answer to a request; the same body gets the same answer."""
    if len(body) > MAX_CACHED_BODY_BYTES:
        return _compose(request, body=body)
    return _composed_before(body)


@lru_cache(maxsize=4096)
def _composed_before(body: bytes) -> Answer:
    return _compose(_decoder.decode(body), body=body)


def _compose(request: ChatRequest, *, body: bytes) -> Answer:
    prompt = read_prompt(request.messages)
    return Answer(
        digest=blake2b(body, digest_size=12).hexdigest(),
        prompt_tokens=tokens.count_prompt(
            {
                "messages": request.messages,
                "tools": request.tools,
                "functions": request.functions,
                "response_format": request.response_format,
            }
        ),
        choices=tuple(_choice(request, prompt, variant=variant) for variant in range(request.n or 1)),
    )


def _choice(request: ChatRequest, prompt: Prompt, *, variant: int) -> Choice:
    limit = request.max_completion_tokens or request.max_tokens
    reasoning = _reasoning(request, prompt)[:limit]
    left = None if limit is None else limit - len(reasoning)
    tool = _tool_to_call(request, prompt)
    if tool is not None:
        return _tool_choice(tool, prompt, reasoning=reasoning, left=left)
    text = _cut_at_stop(_text(request, prompt, variant=variant), request.stop)
    content = tokens.split(text)
    is_cut = left is not None and len(content) > left
    return Choice(
        reasoning=reasoning,
        content=tuple(content[:left]),
        tool_call=None,
        finish_reason="length" if is_cut else "stop",
    )


def _tool_choice(
    tool: Mapping[str, Any], prompt: Prompt, *, reasoning: tuple[str, ...], left: int | None
) -> Choice:
    name = str(tool.get("name", ""))
    filled = schemas.instance(tool.get("parameters") or {"type": "object"}, prompt=prompt)
    arguments = tokens.split(msgspec.json.encode(filled).decode())
    left = None if left is None else max(0, left - tokens.count(name))
    is_cut = left is not None and len(arguments) > left
    return Choice(
        reasoning=reasoning,
        content=(),
        tool_call=ToolCall(name=name, arguments=tuple(arguments[:left])),
        finish_reason="length" if is_cut else "tool_calls",
    )


def _text(request: ChatRequest, prompt: Prompt, *, variant: int) -> str:
    wanted = (request.response_format or {}).get("type")
    if wanted == "json_schema":
        schema = (request.response_format or {}).get("json_schema", {}).get("schema", {})
        packed = packs.answer(text_of(request.messages[-1]), lambda text: _one(request, schema, text))
        if packed is not None:
            return packed
        return msgspec.json.encode(schemas.instance(schema, prompt=prompt)).decode()
    said = _reported_by_tool(request) or answers.answer(prompt)
    if wanted == "json_object":
        return said if said.startswith("{") else msgspec.json.encode({"answer": said}).decode()
    return _RETELLINGS[variant % len(_RETELLINGS)] + said


def _one(request: ChatRequest, schema: Mapping[str, Any], text: str) -> str:
    """Answer one prompt of a pack as if it had been sent by itself."""
    prompt = read_prompt([*request.messages[:-1], {"role": "user", "content": text}])
    answer = (
        schema.get("properties", {}).get("answers", {}).get("items", {}).get("properties", {}).get("answer")
    )
    if not answer or answer.get("type") == "string":
        return answers.answer(prompt)
    return msgspec.json.encode(schemas.instance(answer, prompt=prompt)).decode()


def _reported_by_tool(request: ChatRequest) -> str:
    last = request.messages[-1]
    return f"The tool says: {text_of(last)}" if last.get("role") == "tool" else ""


def _tool_to_call(request: ChatRequest, prompt: Prompt) -> Mapping[str, Any] | None:
    """Choose a tool: the one that must be called, else the first whose words the last message shares."""
    known = [tool["function"] for tool in request.tools or () if isinstance(tool.get("function"), dict)]
    choice = request.tool_choice
    if not known or choice == "none" or request.messages[-1].get("role") == "tool":
        return None
    if isinstance(choice, dict):
        wanted = (choice.get("function") or {}).get("name")
        return next((tool for tool in known if tool.get("name") == wanted), None)
    said = set(content_words(f"{prompt.subject} {prompt.question}"))
    ranked = sorted(known, key=lambda tool: -len(said & _words_of(tool)))
    return ranked[0] if choice == "required" or said & _words_of(ranked[0]) else None


def _words_of(tool: Mapping[str, Any]) -> set[str]:
    name = str(tool.get("name", "")).replace("_", " ").replace("-", " ")
    return set(content_words(f"{name} {tool.get('description') or ''}"))


def _reasoning(request: ChatRequest, prompt: Prompt) -> tuple[str, ...]:
    """Think aloud as long as the effort asked for allows; without an effort not at all."""
    budget = REASONING_TOKENS.get(request.reasoning_effort or "", 0)
    if not budget:
        return ()
    topics = ", ".join(keywords(f"{prompt.instruction} {prompt.subject}", limit=200))
    return tuple(tokens.split(f"Asked for: {prompt.instruction}. The text speaks of: {topics}.")[:budget])


def _cut_at_stop(text: str, stop: str | list[str] | None) -> str:
    stops = [stop] if isinstance(stop, str) else stop or []
    ends = [text.find(one) for one in stops if one and one in text]
    return text[: min(ends)] if ends else text


def usage_of(answer: Answer, *, cached: int = 0, output_factor: int = 1) -> dict[str, Any]:
    """Give the usage object of an answer."""
    output_tokens = answer.output_tokens * output_factor
    return {
        "prompt_tokens": answer.prompt_tokens,
        "completion_tokens": output_tokens,
        "total_tokens": answer.prompt_tokens + output_tokens,
        "prompt_tokens_details": {"cached_tokens": min(cached, answer.prompt_tokens)},
        "completion_tokens_details": {"reasoning_tokens": answer.reasoning_tokens},
    }


def whole(
    answer: Answer, *, request: ChatRequest, number: int, created: int, usage: Mapping[str, Any] | None
) -> dict[str, Any]:
    """Give the body of a whole answer."""
    body: dict[str, Any] = {
        "id": f"chatcmpl-{answer.digest}{number:x}",
        "object": "chat.completion",
        "created": created,
        "model": request.model,
        "choices": [_whole_choice(choice, index=i, answer=answer) for i, choice in enumerate(answer.choices)],
        "system_fingerprint": FINGERPRINT,
    }
    if usage is not None:
        body["usage"] = usage
    return body


def _whole_choice(choice: Choice, *, index: int, answer: Answer) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": "".join(choice.content), "refusal": None}
    if choice.reasoning:
        message["reasoning_content"] = "".join(choice.reasoning)
    if choice.tool_call is not None:
        message["content"] = None
        function = {"name": choice.tool_call.name, "arguments": "".join(choice.tool_call.arguments)}
        message["tool_calls"] = [
            {"id": f"call_{answer.digest}{index}", "type": "function", "function": function}
        ]
    return {"index": index, "message": message, "logprobs": None, "finish_reason": choice.finish_reason}


def events(
    answer: Answer, *, request: ChatRequest, number: int, created: int, usage: Mapping[str, Any] | None
) -> Iterator[bytes]:
    """Give the events of a stream: one a token, then the end, the usage when asked for, and [DONE]."""
    asked = bool(request.stream_options and request.stream_options.include_usage)
    head, tail = _frame(answer, request=request, number=number, created=created, has_usage=asked)
    for index, choice in enumerate(answer.choices):
        for delta in _deltas(choice, index=index, answer=answer):
            yield b'%b[{"index":%d,"delta":%b,"finish_reason":null}]%b' % (head, index, delta, tail)
        reason = choice.finish_reason.encode()
        yield b'%b[{"index":%d,"delta":{},"finish_reason":"%b"}]%b' % (head, index, reason, tail)
    if asked and usage is not None:
        yield b'%b[],"usage":%b}\n\n' % (head, msgspec.json.encode(usage))
    yield b"data: [DONE]\n\n"


def _frame(
    answer: Answer, *, request: ChatRequest, number: int, created: int, has_usage: bool
) -> tuple[bytes, bytes]:
    """Give what stands before and behind the choices of every event; encoded once, not once a token."""
    fields = msgspec.json.encode(
        {
            "id": f"chatcmpl-{answer.digest}{number:x}",
            "object": "chat.completion.chunk",
            "created": created,
            "model": request.model,
            "system_fingerprint": FINGERPRINT,
        }
    )
    tail = b',"usage":null}\n\n' if has_usage else b"}\n\n"
    return b"data: " + fields[:-1] + b',"choices":', tail


def _deltas(choice: Choice, *, index: int, answer: Answer) -> Iterator[bytes]:
    yield b'{"role":"assistant","content":""}'
    for piece in choice.reasoning:
        yield b'{"reasoning_content":%b}' % msgspec.json.encode(piece)
    for piece in choice.content:
        yield b'{"content":%b}' % msgspec.json.encode(piece)
    if choice.tool_call is None:
        return
    opening = {"name": choice.tool_call.name, "arguments": ""}
    call_id = f"call_{answer.digest}{index}"
    yield msgspec.json.encode(
        {"tool_calls": [{"index": 0, "id": call_id, "type": "function", "function": opening}]}
    )
    for piece in choice.tool_call.arguments:
        yield msgspec.json.encode({"tool_calls": [{"index": 0, "function": {"arguments": piece}}]})
