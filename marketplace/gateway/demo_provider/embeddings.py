"""Embeddings: hashed bags of words, so that texts with words in common point the same way."""

import base64
import struct
from functools import lru_cache
from hashlib import blake2b
from typing import Annotated, Any

import msgspec

from marketplace.gateway import tokens
from marketplace.gateway.demo_provider.faults import without_marker
from marketplace.gateway.demo_provider.reading import content_words

DIMENSIONS = 256


class EmbeddingRequest(msgspec.Struct):
    model: str
    input: str | list[Any]
    dimensions: Annotated[int, msgspec.Meta(ge=1, le=4096)] | None = None
    encoding_format: str | None = None


decoder = msgspec.json.Decoder(EmbeddingRequest)


def answer(request: EmbeddingRequest, *, has_usage: bool = True) -> tuple[dict[str, Any], int]:
    """Embed every input; give the body of the answer and its input tokens."""
    input_tokens = tokens.count_prompt({"input": request.input})
    dimensions = request.dimensions or DIMENSIONS
    is_packed = request.encoding_format == "base64"
    data = []
    for index, text in enumerate(_texts(request.input)):
        vector = embed(text, dimensions=dimensions)
        packed = base64.b64encode(struct.pack(f"<{dimensions}f", *vector)).decode() if is_packed else vector
        data.append({"object": "embedding", "index": index, "embedding": packed})
    body: dict[str, Any] = {"object": "list", "data": data, "model": request.model}
    if has_usage:
        body["usage"] = {"prompt_tokens": input_tokens, "total_tokens": input_tokens}
    return body, input_tokens


def embed(text: str, *, dimensions: int) -> list[float]:
    """Give a vector of length 1; every word adds to four coordinates of its own."""
    vector = [0.0] * dimensions
    for word in content_words(without_marker(text)) or [text]:
        for position, sign in _coordinates(word):
            vector[position % dimensions] += sign
    length = sum(value * value for value in vector) ** 0.5 or 1.0
    return [value / length for value in vector]


@lru_cache(maxsize=16_384)
def _coordinates(word: str) -> tuple[tuple[int, float], ...]:
    digest = blake2b(word.encode(), digest_size=12).digest()
    return tuple(
        (int.from_bytes(digest[i : i + 2], "big"), 1.0 if digest[i + 2] % 2 else -1.0)
        for i in range(0, 12, 3)
    )


def _texts(given: str | list[Any]) -> list[str]:
    if isinstance(given, str):
        return [given]
    if given and isinstance(given[0], int):
        return [" ".join(map(str, given))]
    return [item if isinstance(item, str) else " ".join(map(str, item)) for item in given]
