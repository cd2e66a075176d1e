"""Gemini's generateContent and batchEmbedContents over the same made-up answers."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any

import msgspec

from marketplace.gateway.demo_provider.chat import Answer, ChatRequest, Choice
from marketplace.gateway.demo_provider.embeddings import EmbeddingRequest

PREFIX = "/v1beta/models"
VERBS = ("generateContent", "streamGenerateContent", "batchEmbedContents")
FINISH_REASONS = {"stop": "STOP", "length": "MAX_TOKENS", "tool_calls": "STOP"}
TOOL_MODES = {"AUTO": "auto", "ANY": "required", "NONE": "none"}
EFFORTS = {"minimal": "minimal", "low": "low", "medium": "medium", "high": "high"}
STATUSES = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    503: "UNAVAILABLE",
}


class ContentRequest(msgspec.Struct):
    """The fields that are obeyed; a field that is not theirs is refused, as they do."""

    contents: Annotated[list[dict[str, Any]], msgspec.Meta(min_length=1)]
    systemInstruction: dict[str, Any] | None = None
    generationConfig: dict[str, Any] = {}
    tools: list[dict[str, Any]] | None = None
    toolConfig: dict[str, Any] | None = None


class EmbedRequest(msgspec.Struct):
    requests: list[dict[str, Any]]


decoder = msgspec.json.Decoder(ContentRequest)
embed_decoder = msgspec.json.Decoder(EmbedRequest)


def verb_of(path: str) -> tuple[str, str] | None:
    """Read ``/v1beta/models/<model>:<verb>``; None when it is no such path."""
    model, colon, verb = path.removeprefix(f"{PREFIX}/").rpartition(":")
    if not path.startswith(f"{PREFIX}/") or not colon or verb not in VERBS:
        return None
    return model, verb


def chat_request(request: ContentRequest, *, model: str) -> ChatRequest:
    """Return the same request as the composer of answers reads it. Raises ValueError for what they refuse."""
    config = request.generationConfig
    system = (request.systemInstruction or {}).get("parts") or []
    messages: list[dict[str, Any]] = [{"role": "system", "content": part["text"]} for part in system]
    for content in request.contents:
        messages += _messages(content)
    functions = [one for tool in request.tools or () for one in tool["functionDeclarations"]]
    return ChatRequest(
        model=model,
        messages=messages,
        max_tokens=config.get("maxOutputTokens"),
        n=config.get("candidateCount"),
        stop=config.get("stopSequences"),
        tools=[_tool(function) for function in functions] or None,
        tool_choice=_tool_choice((request.toolConfig or {}).get("functionCallingConfig")),
        response_format=_response_format(config),
        reasoning_effort=EFFORTS.get((config.get("thinkingConfig") or {}).get("thinkingLevel", "")),
    )


def embedding_request(request: EmbedRequest, *, model: str) -> EmbeddingRequest:
    """Return the same request as embeddings are made of."""
    texts = ["".join(part["text"] for part in one["content"]["parts"]) for one in request.requests]
    return EmbeddingRequest(model, texts, dimensions=request.requests[0].get("outputDimensionality"))


def embedded(body: Mapping[str, Any]) -> dict[str, Any]:
    """Give embeddings in their shape; they come without a usage."""
    return {"embeddings": [{"values": one["embedding"]} for one in body["data"]]}


def usage_of(answer: Answer, *, output_factor: int, cached: int) -> dict[str, Any]:
    """Give the usage: what is said apart from what is thought."""
    said = (answer.output_tokens - answer.reasoning_tokens) * output_factor
    usage = {
        "promptTokenCount": answer.prompt_tokens,
        "candidatesTokenCount": said,
        "totalTokenCount": answer.prompt_tokens + said + answer.reasoning_tokens,
    }
    if answer.reasoning_tokens:
        usage["thoughtsTokenCount"] = answer.reasoning_tokens
    if cached:
        usage["cachedContentTokenCount"] = min(cached, answer.prompt_tokens)
    return usage


def error(status: int, message: str) -> dict[str, Any]:
    """Give the body of an error."""
    return {"error": {"code": status, "message": message, "status": STATUSES.get(status, "UNKNOWN")}}


def whole(answer: Answer, *, model: str, usage: Mapping[str, Any] | None) -> dict[str, Any]:
    """Give the body of a whole answer."""
    candidates = [
        {
            "content": {"role": "model", "parts": _parts(choice)},
            "finishReason": FINISH_REASONS[choice.finish_reason],
            "index": index,
        }
        for index, choice in enumerate(answer.choices)
    ]
    return _body(answer, candidates, model=model, usage=usage)


def events(answer: Answer, *, model: str, usage: Mapping[str, Any] | None) -> Iterator[bytes]:
    """Give the events of a stream: one a token, the usage of the prompt in each, all of it in the last."""
    begun = {"promptTokenCount": usage["promptTokenCount"]} if usage is not None else None
    for index, choice in enumerate(answer.choices):
        for part in _pieces(choice):
            candidate = {"content": {"role": "model", "parts": [part]}, "index": index}
            yield _event(_body(answer, [candidate], model=model, usage=begun))
        last = {"content": {"role": "model", "parts": [{"text": ""}]}, "index": index}
        last["finishReason"] = FINISH_REASONS[choice.finish_reason]
        is_last = index == len(answer.choices) - 1
        yield _event(_body(answer, [last], model=model, usage=usage if is_last else begun))


def _event(body: Mapping[str, Any]) -> bytes:
    # They end their lines with CR LF.
    return b"data: " + msgspec.json.encode(body) + b"\r\n\r\n"


def _body(
    answer: Answer, candidates: list[dict[str, Any]], *, model: str, usage: Mapping[str, Any] | None
) -> dict[str, Any]:
    body: dict[str, Any] = {"candidates": candidates, "modelVersion": model, "responseId": answer.digest}
    return body if usage is None else body | {"usageMetadata": usage}


def _parts(choice: Choice) -> list[dict[str, Any]]:
    parts: list[dict[str, Any]] = []
    if choice.reasoning:
        parts.append({"text": "".join(choice.reasoning), "thought": True})
    if choice.content:
        parts.append({"text": "".join(choice.content)})
    return parts + _calls(choice)


def _pieces(choice: Choice) -> Iterator[dict[str, Any]]:
    yield from ({"text": piece, "thought": True} for piece in choice.reasoning)
    yield from ({"text": piece} for piece in choice.content)
    yield from _calls(choice)


def _calls(choice: Choice) -> list[dict[str, Any]]:
    if choice.tool_call is None:
        return []
    try:
        given = msgspec.json.decode("".join(choice.tool_call.arguments))
    except msgspec.DecodeError:  # cut by maxOutputTokens
        given = {}
    return [{"functionCall": {"name": choice.tool_call.name, "args": given}, "thoughtSignature": "c2lnbmVk"}]


def _messages(content: Mapping[str, Any]) -> list[dict[str, Any]]:
    roles = {"user": "user", "model": "assistant"}
    if content.get("role") not in roles:
        raise ValueError("Please use a valid role: user, model.")
    said: list[dict[str, Any]] = []
    parts: list[dict[str, Any]] = []
    calls: list[dict[str, Any]] = []
    for part in content["parts"]:
        if "functionResponse" in part:
            response = part["functionResponse"]
            result = msgspec.json.encode(response["response"]).decode()
            said.append({"role": "tool", "tool_call_id": response["name"], "content": result})
        elif "functionCall" in part:
            if not part.get("thoughtSignature"):
                raise ValueError("Function call is missing a thought_signature in functionCall parts.")
            calls.append(_call(part["functionCall"]))
        else:
            parts.append(_part(part))
    if parts or calls:
        tool_calls = {"tool_calls": calls} if calls else {}
        said.append({"role": roles[content["role"]], "content": parts, **tool_calls})
    return said


def _call(call: Mapping[str, Any]) -> dict[str, Any]:
    arguments = msgspec.json.encode(call["args"]).decode()
    return {
        "id": call["name"],
        "type": "function",
        "function": {"name": call["name"], "arguments": arguments},
    }


def _part(part: Mapping[str, Any]) -> dict[str, Any]:
    if "text" in part:
        return {"type": "text", "text": part["text"]}
    if "inlineData" in part:
        inline = part["inlineData"]
        return {
            "type": "image_url",
            "image_url": {"url": f"data:{inline['mimeType']};base64,{inline['data']}"},
        }
    if "fileData" in part:
        return {"type": "image_url", "image_url": {"url": part["fileData"]["fileUri"]}}
    raise ValueError("contents.parts must not be empty.")


def _tool(function: Mapping[str, Any]) -> dict[str, Any]:
    parameters = function.get("parametersJsonSchema") or {"type": "object"}
    described = {"description": function["description"]} if function.get("description") else {}
    return {"type": "function", "function": {"name": function["name"], "parameters": parameters, **described}}


def _tool_choice(asked: Mapping[str, Any] | None) -> Any:
    if asked is None:
        return None
    if asked.get("allowedFunctionNames"):
        return {"type": "function", "function": {"name": asked["allowedFunctionNames"][0]}}
    return TOOL_MODES[asked["mode"]]


def _response_format(config: Mapping[str, Any]) -> dict[str, Any] | None:
    if config.get("responseMimeType") != "application/json":
        return None
    if "responseJsonSchema" not in config:
        return {"type": "json_object"}
    return {"type": "json_schema", "json_schema": {"name": "answer", "schema": config["responseJsonSchema"]}}
