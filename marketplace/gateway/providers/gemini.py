"""Gemini's generateContent: requests into its words, its answers and events into OpenAI's."""

import base64
import mimetypes
import struct
from collections.abc import Mapping
from typing import Any

import msgspec
from yarl import URL

from marketplace.gateway.providers import bodies
from marketplace.gateway.providers.base import Body, Path, ProviderEndpoint, Usage
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

ANY_SIGNATURE = "skip_thought_signature_validator"
"""What Gemini takes for a tool call that came from elsewhere and so has no signature of its thoughts."""
FINISH_REASONS = {"STOP": "stop", "MAX_TOKENS": "length", "MALFORMED_FUNCTION_CALL": "stop", "OTHER": "stop"}
"""All others say that something was withheld."""
CONFIG = {
    "temperature": "temperature",
    "top_p": "topP",
    "top_k": "topK",
    "n": "candidateCount",
    "seed": "seed",
    "presence_penalty": "presencePenalty",
    "frequency_penalty": "frequencyPenalty",
}
TOOL_MODES = {"auto": "AUTO", "none": "NONE", "required": "ANY"}
BUDGETS = {"none": 0, "minimal": 1_024, "low": 1_024, "medium": 8_192, "high": 24_576}
LEVELS = {"none": "minimal", "minimal": "minimal", "low": "low", "medium": "medium", "high": "high"}


class GeminiWire:
    """The protocol at one endpoint; ``base_url`` usually is https://generativelanguage.googleapis.com/v1beta."""

    def __init__(self, endpoint: ProviderEndpoint) -> None:
        self._name = endpoint.name
        self._base = endpoint.base_url.rstrip("/")
        self.headers: Mapping[str, str] = {"x-goog-api-key": endpoint.api_key}
        self.models_url = URL(f"{self._base}/models?pageSize=1000")

    def request(self, body: Body, *, path: Path) -> Sent:
        fields = bodies.decode(body)
        with refused_here(self._name):
            if path == "embeddings":
                return Sent(
                    msgspec.json.encode(embed_request(fields)), self._url(fields, "batchEmbedContents")
                )
            return Sent(msgspec.json.encode(content_request(fields)), self._url(fields, "generateContent"))

    def stream_request(self, body: Body) -> Sent:
        fields = bodies.decode(body)
        with refused_here(self._name):
            asked = (fields.get("stream_options") or {}).get("include_usage") is True
            url = self._url(fields, "streamGenerateContent").with_query(alt="sse")
            return Sent(msgspec.json.encode(content_request(fields)), url, asked)

    def answer(self, answer: bytes, *, path: Path, request: Body) -> bytes:
        if path == "embeddings":
            return _embeddings(answer, bodies.decode(request))
        fields = _answer_decoder.decode(answer)
        choices = [_choice(position, one) for position, one in enumerate(fields.candidates)]
        if not choices and fields.promptFeedback is not None:
            choices = [choice(0, text="", reasoning="", tool_calls=[], finish_reason="content_filter")]
        if not choices:
            raise msgspec.ValidationError("no candidates")
        model = fields.modelVersion or bodies.decode(request)["model"]
        return completion(
            fields.responseId, model=model, choices=choices, usage=usage_of(fields.usageMetadata)
        )

    def translator(self, body: Body) -> "GeminiEvents":
        fields = bodies.decode(body)
        return GeminiEvents(fields["model"], choices=fields.get("n") or 1)

    def model_names(self, answer: bytes) -> list[str]:
        listed = msgspec.json.decode(answer, type=dict[str, Any])["models"]
        return [model["name"].removeprefix("models/") for model in listed]

    def _url(self, fields: Mapping[str, Any], verb: str) -> URL:
        return URL(f"{self._base}/models/{fields['model'].removeprefix('models/')}:{verb}")


def content_request(body: Mapping[str, Any]) -> dict[str, Any]:
    """Say a chat completion in Gemini's words. Raises CannotSay."""
    if body.get("functions"):
        raise CannotSay("functions", "Describe functions as `tools`.")
    said: dict[str, Any] = {"contents": _contents(body["messages"]), "generationConfig": _config(body)}
    system = [
        {"text": part["text"]}
        for message in body["messages"]
        if message["role"] in ("system", "developer")
        for part in parts_of(message.get("content"))
    ]
    if system:
        said["systemInstruction"] = {"parts": system}
    if body.get("tools"):
        said["tools"] = [{"functionDeclarations": [_function(tool) for tool in body["tools"]]}]
        if body.get("tool_choice") is not None:
            said["toolConfig"] = {"functionCallingConfig": _tool_choice(body["tool_choice"])}
    return said


def embed_request(body: Mapping[str, Any]) -> dict[str, Any]:
    """Say an embeddings request in Gemini's words. Raises CannotSay."""
    texts = [body["input"]] if isinstance(body["input"], str) else body["input"]
    if not all(isinstance(text, str) for text in texts):
        raise CannotSay("input", "This model embeds texts, not tokens.")
    size = {"outputDimensionality": body["dimensions"]} if body.get("dimensions") else {}
    model = f"models/{body['model'].removeprefix('models/')}"
    return {"requests": [{"model": model, "content": {"parts": [{"text": text}]}, **size} for text in texts]}


def _contents(messages: list[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Say the turns; what follows each other from one side is one turn, as results of tools are of the user's."""
    names: dict[str, str] = {}
    turns: list[dict[str, Any]] = []
    for message in messages:
        if message["role"] in ("system", "developer"):
            continue
        for call in message.get("tool_calls") or ():
            names[call["id"]] = call["function"]["name"]
        said_by = "model" if message["role"] == "assistant" else "user"
        parts = _parts(message, names)
        if turns and turns[-1]["role"] == said_by:
            turns[-1]["parts"] += parts
        elif parts:
            turns.append({"role": said_by, "parts": parts})
    return turns


def _parts(message: Mapping[str, Any], names: Mapping[str, str]) -> list[dict[str, Any]]:
    if message["role"] == "tool":
        call_id = message["tool_call_id"]
        if call_id not in names:
            raise CannotSay("messages", f"No call of a tool before has the id {call_id!r}.")
        return [{"functionResponse": {"name": names[call_id], "response": _result(message.get("content"))}}]
    parts = [_part(part) for part in parts_of(message.get("content"))]
    for call in message.get("tool_calls") or ():
        function = {"name": call["function"]["name"], "args": arguments_of(call)}
        parts.append({"functionCall": function, "thoughtSignature": _signature(call)})
    return parts


def _signature(call: Mapping[str, Any]) -> str:
    google = (call.get("extra_content") or {}).get("google") or {}
    return google.get("thought_signature") or ANY_SIGNATURE


def _result(content: Any) -> dict[str, Any]:
    """Give the result of a tool as an object, as it has to be."""
    text = text_of(content)
    try:
        found = msgspec.json.decode(text)
    except msgspec.DecodeError:
        found = text
    return found if isinstance(found, dict) else {"result": found}


def _part(part: Mapping[str, Any]) -> dict[str, Any]:
    kind = part["type"]
    if kind in ("text", "refusal"):
        return {"text": part[kind]}
    if kind == "image_url":
        return _media(image_url(part))
    if kind == "input_audio":
        sound = part["input_audio"]
        return {"inlineData": {"mimeType": f"audio/{sound['format']}", "data": sound["data"]}}
    if kind == "file":
        return _media(part["file"]["file_data"])
    raise CannotSay("messages", f"This model takes no content of the type {kind}.")


def _media(url: str) -> dict[str, Any]:
    inline = data_url(url)
    if inline is not None:
        return {"inlineData": {"mimeType": inline[0], "data": inline[1]}}
    return {"fileData": {"fileUri": url, "mimeType": mimetypes.guess_type(URL(url).path)[0] or "image/jpeg"}}


def _function(tool: Mapping[str, Any]) -> dict[str, Any]:
    if tool.get("type") != "function":
        raise CannotSay("tools", "Tools are functions.")
    function = tool["function"]
    said = {"name": function["name"], "description": function.get("description") or ""}
    if function.get("parameters"):
        said["parametersJsonSchema"] = function["parameters"]
    return said


def _tool_choice(asked: Any) -> dict[str, Any]:
    if isinstance(asked, Mapping):
        return {"mode": "ANY", "allowedFunctionNames": [asked["function"]["name"]]}
    return {"mode": TOOL_MODES[asked]}


def _config(body: Mapping[str, Any]) -> dict[str, Any]:
    said: dict[str, Any] = {
        theirs: body[ours] for ours, theirs in CONFIG.items() if body.get(ours) is not None
    }
    said["maxOutputTokens"] = body["max_tokens"]
    if stop := body.get("stop"):
        said["stopSequences"] = [stop] if isinstance(stop, str) else stop
    response_format = body.get("response_format") or {}
    if response_format.get("type") in ("json_schema", "json_object"):
        said["responseMimeType"] = "application/json"
        if (schema := schema_of(response_format)) is not None:
            said["responseJsonSchema"] = schema
    if effort := body.get("reasoning_effort"):
        said["thinkingConfig"] = _thinking(body["model"], effort)
    return said


def _thinking(model: str, effort: str) -> dict[str, Any]:
    """Say how much to think: the models of 2.5 take a number of tokens, later ones a level."""
    if "2.5" in model:
        return {"thinkingBudget": BUDGETS.get(effort, BUDGETS["high"])}
    return {"thinkingLevel": LEVELS.get(effort, "high")}


class _Usage(msgspec.Struct):
    """The prompt with its cached part; candidates without thoughts."""

    promptTokenCount: int | None = None
    candidatesTokenCount: int | None = None
    thoughtsTokenCount: int | None = None
    cachedContentTokenCount: int | None = None
    toolUsePromptTokenCount: int | None = None


class _Content(msgspec.Struct):
    parts: list[dict[str, Any]] = []


class _Candidate(msgspec.Struct):
    content: _Content | None = None
    finishReason: str | None = None
    index: int = 0


class _Answer(msgspec.Struct):
    candidates: list[_Candidate] = []
    promptFeedback: dict[str, Any] | None = None
    usageMetadata: _Usage | None = None
    modelVersion: str = ""
    responseId: str = ""


class _Embedding(msgspec.Struct):
    values: list[float]


class _Embeddings(msgspec.Struct):
    embeddings: list[_Embedding]


_answer_decoder = msgspec.json.Decoder(_Answer)
_embeddings_decoder = msgspec.json.Decoder(_Embeddings)


def usage_of(reported: _Usage | None) -> Usage | None:
    """Read a usage; None when the prompt is not counted."""
    if reported is None or reported.promptTokenCount is None:
        return None
    thoughts = reported.thoughtsTokenCount or 0
    return Usage(
        input_tokens=reported.promptTokenCount + (reported.toolUsePromptTokenCount or 0),
        output_tokens=(reported.candidatesTokenCount or 0) + thoughts,
        cached_input_tokens=reported.cachedContentTokenCount or 0,
        reasoning_tokens=thoughts,
    )


def _choice(position: int, candidate: _Candidate) -> dict[str, Any]:
    parts = candidate.content.parts if candidate.content else []
    calls = [_call(index, part) for index, part in enumerate(p for p in parts if "functionCall" in p)]
    return choice(
        candidate.index or position,
        text="".join(part["text"] for part in parts if "text" in part and not part.get("thought")),
        reasoning="".join(part["text"] for part in parts if "text" in part and part.get("thought")),
        tool_calls=calls,
        finish_reason=finish_reason_of(candidate.finishReason, has_calls=bool(calls)),
    )


def finish_reason_of(reason: str | None, *, has_calls: bool) -> str:
    """Say in OpenAI's words why an answer ended."""
    said = FINISH_REASONS.get(reason or "STOP", "content_filter")
    return "tool_calls" if has_calls and said == "stop" else said


def _call(index: int, part: Mapping[str, Any]) -> dict[str, Any]:
    function = part["functionCall"]
    arguments = msgspec.json.encode(function.get("args") or {}).decode()
    call = tool_call(function.get("id") or f"call_{index}", name=function["name"], arguments=arguments)
    if signature := part.get("thoughtSignature"):
        call["extra_content"] = {"google": {"thought_signature": signature}}
    return call


def _embeddings(answer: bytes, request: Mapping[str, Any]) -> bytes:
    is_packed = request.get("encoding_format") == "base64"
    data = [
        {"object": "embedding", "index": index, "embedding": _packed(one.values) if is_packed else one.values}
        for index, one in enumerate(_embeddings_decoder.decode(answer).embeddings)
    ]
    return msgspec.json.encode({"object": "list", "data": data, "model": request["model"]})


def _packed(values: list[float]) -> str:
    return base64.b64encode(struct.pack(f"<{len(values)}f", *values)).decode()


class GeminiEvents(EventTranslator):
    """Translates the events of one stream. Each tells the usage so far; nothing but the end of the stream says that it
    is over."""

    def __init__(self, model: str, *, choices: int) -> None:
        super().__init__()
        self.writer.model = model
        self._open = choices
        self._usage: Usage | None = None
        self._calls: dict[int, int] = {}
        self._begun: set[int] = set()
        self._has_ended = self._has_told_usage = False

    def event(self, fields: dict[str, Any]) -> bytes:
        if "error" in fields:
            return self.writer.error(fields["error"])
        answer = msgspec.convert(fields, _Answer)
        self.writer.answer_id = self.writer.answer_id or answer.responseId
        self.writer.model = answer.modelVersion or self.writer.model
        usage = usage_of(answer.usageMetadata)
        if usage is not None:
            self._usage = self.input_usage = usage
        if answer.promptFeedback is not None and not answer.candidates:
            self._has_ended = True
            return self.writer.delta({"role": "assistant", "content": ""}, finish_reason="content_filter")
        said = b"".join(self._candidate(candidate) for candidate in answer.candidates)
        # At once: what is cut off after this was whole, and is paid by the provider's own count.
        return said + self._told_usage() if self._open <= 0 else said

    def end(self) -> bytes:
        return self._told_usage() + DONE if self._has_ended else b""

    def _told_usage(self) -> bytes:
        if self._usage is None or self._has_told_usage:
            return b""
        self._has_told_usage = True
        return self.writer.usage(self._usage)

    def _candidate(self, candidate: _Candidate) -> bytes:
        index = candidate.index
        said = b""
        if index not in self._begun:
            self._begun.add(index)
            said = self.writer.delta({"role": "assistant", "content": ""}, index=index)
        for part in candidate.content.parts if candidate.content else ():
            said += self._part(index, part)
        if candidate.finishReason is not None:
            self._has_ended = True
            self._open -= 1
            reason = finish_reason_of(candidate.finishReason, has_calls=index in self._calls)
            said += self.writer.delta({}, index=index, finish_reason=reason)
        return said

    def _part(self, index: int, part: dict[str, Any]) -> bytes:
        if "functionCall" in part:
            position = self._calls.get(index, 0)
            self._calls[index] = position + 1
            return self.writer.delta(
                {"tool_calls": [{"index": position, **_call(position, part)}]}, index=index
            )
        if not part.get("text"):
            return b""
        name = "reasoning_content" if part.get("thought") else "content"
        return self.writer.delta({name: part["text"]}, index=index)
