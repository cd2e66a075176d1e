"""The question of a request, apart from everything around it. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from marketplace.gateway import embedding
from marketplace.gateway.caching.entries import Entry
from marketplace.gateway.caching.keys import Scope, key_of
from marketplace.gateway.requests import ModelRequest

LONGEST = 4_000
"""Characters. Two long texts that differ in one word are as good as equal to an embedding, and may not be to a reader."""

_decoder = msgspec.json.Decoder(dict[str, Any])


@dataclass(frozen=True, slots=True)
class Question:
    """What was asked last, as a vector; questions of one neighborhood differ in nothing but that."""

    neighborhood: bytes
    vector: list[float]


def question_of(request: ModelRequest, scope: Scope) -> Question | None:
    """Return the question of a chat: its last message, when that is a text of somebody who asks."""
    messages = request.fields.get("messages")
    if not isinstance(messages, list) or not messages:
        return None
    *before, last = messages
    text = last.get("content") if isinstance(last, Mapping) else None
    if not isinstance(text, str) or last.get("role") != "user" or not 0 < len(text) <= LONGEST:
        return None
    without = replace(request, fields={**request.fields, "messages": [*before, {**last, "content": None}]})
    [vector] = embedding.embed([text])
    return Question(key_of(scope, without), vector) if any(vector) else None


def text_of(entry: Entry) -> str:
    """Return what an answer says: the text of its first choice."""
    choices = _decoder.decode(entry.body).get("choices") or [{}]
    return str((choices[0].get("message") or {}).get("content") or "")
