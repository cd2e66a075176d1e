"""The passages of a version's documents that are nearest to what is asked, out of PostgreSQL.

All of them are compared, so the nearest is always found: by the extension ``vector``, or, as long as they are few, number by
number.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import connection

from marketplace.core.errors import Unavailable
from marketplace.gateway.retrieval import chunking, indexing
from marketplace.gateway.retrieval.choosing import Found
from marketplace.gateway.retrieval_models import DocumentIndex

CANDIDATES = 32
MOST_WITHOUT_EXTENSION = 5_000

_HAS_VECTOR = "SELECT EXISTS (SELECT FROM pg_extension WHERE extname = 'vector')"
# All vectors have length one, so their product is their cosine. The texts are read of the nearest alone.
_NEAREST = """
SELECT i.document_id, p.number, p.heading, p.text, p.tokens, near.similarity FROM (
    SELECT p.id, SIMILARITY AS similarity FROM gateway_passage p
    WHERE p.index_id = ANY(%(indexes)s) ORDER BY similarity DESC, p.id LIMIT %(most)s
) near JOIN gateway_passage p ON p.id = near.id JOIN gateway_documentindex i ON i.id = p.index_id
ORDER BY near.similarity DESC, p.id
"""
_BY_EXTENSION = _NEAREST.replace("SIMILARITY", "-(p.embedding::vector <#> %(vector)s::real[]::vector)")
_BY_HAND = _NEAREST.replace(
    "SIMILARITY", "(SELECT sum(a * b) FROM unnest(p.embedding, %(vector)s::real[]) AS pairs(a, b))"
)


class StillIndexing(Unavailable):
    """The documents of the app are not ready to be searched; nothing was called and nothing is charged."""

    code = "documents_not_ready"

    def __init__(self, why: str = "") -> None:
        super().__init__(f"The documents of this app are being indexed{why}; try again.", retry_after_s=3)


class TooManyPassages(Unavailable):
    """The database has no extension for vectors, and there are too many to be compared without it."""

    code = "no_vectors"

    def __init__(self, passages: int) -> None:
        super().__init__(
            f"{passages:,} passages cannot be searched: the database has no extension named vector. Whoever runs it can "
            f"add it with CREATE EXTENSION vector; without it, {MOST_WITHOUT_EXTENSION:,} can."
        )


@dataclass(frozen=True, slots=True)
class Ready:
    """The indexes that a version is searched by, their model, and the tokens of its documents whole."""

    model: str
    index_ids: tuple[UUID, ...]
    names: Mapping[UUID, str]
    tokens: int
    passages: int


def ready(documents: Sequence[tuple[UUID, str]], *, model: str, at: datetime) -> Ready:
    """Return what to search the given documents (id, name) by: the wanted model, or an older one while that is made.

    Queues what is missing. Raises StillIndexing.
    """
    names = dict(documents)
    found = DocumentIndex.objects.filter(document__in=list(names), state=DocumentIndex.State.READY)
    by_kind: dict[tuple[str, int], dict[UUID, DocumentIndex]] = {}
    for one in found.order_by("-created_at"):
        by_kind.setdefault((one.embedding_model, one.rules), {})[one.document_id] = one
    wanted = (model, chunking.RULES)
    whole = [kind for kind, indexes in by_kind.items() if len(indexes) == len(names)]
    if wanted not in whole:
        made = indexing.ensure(names, model=model, at=at)
        if not whole:
            failed = [one for one in made if one.state == DocumentIndex.State.FAILED]
            raise StillIndexing(f" ({failed[0].error})" if failed else "")
    kind = wanted if wanted in whole else whole[0]
    indexes = by_kind[kind].values()
    return Ready(
        model=kind[0],
        index_ids=tuple(one.pk for one in indexes),
        names=names,
        tokens=sum(one.tokens for one in indexes),
        passages=sum(one.passages_total for one in indexes),
    )


def nearest(of: Ready, vector: Sequence[float], *, most: int = CANDIDATES) -> list[Found]:
    """Return the passages that are nearest to a vector, the nearest first. Raises TooManyPassages."""
    values: dict[str, Any] = {"vector": list(vector), "indexes": list(of.index_ids), "most": most}
    with connection.cursor() as cursor:
        cursor.execute(_HAS_VECTOR)
        has_extension = cursor.fetchone()[0]
        if not has_extension and of.passages > MOST_WITHOUT_EXTENSION:
            raise TooManyPassages(of.passages)
        cursor.execute(_BY_EXTENSION if has_extension else _BY_HAND, values)
        return [_found(of, *row) for row in cursor.fetchall()]


def _found(
    of: Ready, document_id: UUID, number: int, heading: str, text: str, size: int, similarity: float
) -> Found:
    return Found(document_id, of.names[document_id], number, heading, text, size, float(similarity))
