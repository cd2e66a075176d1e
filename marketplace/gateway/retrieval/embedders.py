"""Texts to vectors: by the small model of our own, or by one of the catalogue, which is then a call like any other.

Which one is said by ``HALFPENNY_EMBEDDING_MODEL``. A call of the catalogue's models is admitted, metered and charged to
whoever asks: a query to its subscription, an index to the sandbox of the app's team.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from math import hypot

import msgspec

from marketplace.core.errors import Unavailable
from marketplace.gateway import embedding, requests
from marketplace.gateway.directory import Caller
from marketplace.gateway.pipeline import FindCaller, Gateway

FEATURE = "passages"
OWN_MODEL = embedding.NAME


class BadVectors(Unavailable):
    """The embedding model's answer has not a vector for each text."""

    code = "bad_vectors"

    def __init__(self, model: str) -> None:
        super().__init__(f"The embedding model {model!r} sent no vector for a text.", retry_after_s=30)


@dataclass(frozen=True, slots=True)
class Embedded:
    """A vector for each text, and what they cost."""

    vectors: list[list[float]]
    cost: Decimal = Decimal(0)


class _Row(msgspec.Struct):
    index: int
    embedding: list[float]


class _Answer(msgspec.Struct):
    data: list[_Row]


_decoder = msgspec.json.Decoder(_Answer)


async def embed(gateway: Gateway, find: FindCaller, texts: Sequence[str], *, model: str) -> Embedded:
    """Return a vector for each text. Raises what admission and providers raise, and BadVectors."""
    if model == OWN_MODEL:
        work: Callable[[], list[list[float]]] = lambda: embedding.embed(texts)  # noqa: E731
        # A sentence takes some tens of microseconds; many texts are left to the thread for what takes longer.
        return Embedded(work() if len(texts) == 1 else await gateway.in_turn(work))
    fields = {"model": model, "input": list(texts), "encoding_format": "float"}
    request = requests.embeddings(fields, feature=FEATURE)
    served, completion = await gateway.complete(_allowing(find, model), lambda _: request)
    return Embedded(_vectors(completion.body, expected=len(texts), model=model), served.cost)


def _allowing(find: FindCaller, model: str) -> FindCaller:
    """Let a caller use the embedding model, which operators chose, whatever models its app names."""

    async def found() -> Caller:
        caller = await find()
        return replace(caller, app=replace(caller.app, allowed_models=(model,)))

    return found


def _vectors(body: bytes, *, expected: int, model: str) -> list[list[float]]:
    try:
        rows = sorted(_decoder.decode(body).data, key=lambda row: row.index)
    except msgspec.DecodeError as error:
        raise BadVectors(model) from error
    vectors = [row.embedding for row in rows]
    if len(vectors) != expected or not all(vectors) or len(set(map(len, vectors))) > 1:
        raise BadVectors(model)
    return [_of_length_one(vector) for vector in vectors]


def _of_length_one(vector: list[float]) -> list[float]:
    length = hypot(*vector) or 1.0
    return [value / length for value in vector]
