"""Documents into passages with vectors: a job for each document, once for each embedding model and set of rules."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from functools import partial
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from marketplace.catalog import subscriptions
from marketplace.catalog.document_models import AppDocument
from marketplace.catalog.models import Version
from marketplace.core import jobs
from marketplace.core.errors import HalfpennyError, Unavailable
from marketplace.core.models import Job
from marketplace.core.transitions import IllegalTransition, move
from marketplace.gateway import background, embedding, tokens
from marketplace.gateway.directory import Caller, caller_of_id
from marketplace.gateway.retrieval import chunking, embedders
from marketplace.gateway.retrieval.chunking import Chunk
from marketplace.gateway.retrieval_models import DocumentIndex, Passage

JOB = "gateway.index_document"
AT_ONCE = 64
# What is not called any more needs no index.
OVER = (Version.State.WITHDRAWN, Version.State.DEPRECATED)


def ensure(document_ids: Iterable[UUID], *, model: str, at: datetime) -> list[DocumentIndex]:
    """Queue what is not indexed yet; a second call changes nothing. Returns the index of each document."""
    wanted = sorted(document_ids)
    known = {one.document_id: one for one in of_documents(wanted, model=model)}
    return [known.get(one) or _queue(one, model=model, at=at) for one in wanted]


def of_documents(document_ids: Sequence[UUID], *, model: str) -> list[DocumentIndex]:
    """Return the indexes of documents by a model under the rules of now (one query)."""
    found = DocumentIndex.objects.filter(
        document__in=document_ids, embedding_model=model, rules=chunking.RULES
    )
    return list(found)


def ensure_all(*, model: str, at: datetime) -> int:
    """Queue the documents of every version that may be called; returns how many were missing.

    This is what indexes them anew when the embedding model or the rules have changed, and finds what an import left.
    """
    versions = (
        Version.objects.exclude(documents=[]).exclude(state__in=OVER).values_list("documents", flat=True)
    )
    wanted = {UUID(row["id"]) for rows in versions for row in rows}
    indexed = DocumentIndex.objects.filter(
        document__in=wanted, embedding_model=model, rules=chunking.RULES
    ).values_list("document_id", flat=True)
    missing = wanted - set(indexed)
    ensure(missing, model=model, at=at)
    return len(missing)


def try_again(index: DocumentIndex, *, at: datetime) -> None:
    """Queue an index that failed. Raises Conflict when it did not."""
    with transaction.atomic():
        move(
            index,
            DocumentIndex.TRANSITIONS,
            to=DocumentIndex.State.QUEUED,
            action="gateway.document_index.queued",
            at=at,
            changes={"error": "", "passages_done": 0, "ended_at": None},
        )
        _enqueue(index, at=at)


def run(*, job: Job, index_id: str) -> dict[str, object]:
    """Cut a document and embed its passages, a batch at a time; safe to run again, and goes on where it was."""
    index = DocumentIndex.objects.select_related("document__app__owner_team", "document__uploaded_by").get(
        pk=index_id
    )
    now = timezone.now()
    try:
        _move(index, DocumentIndex.State.RUNNING, at=now)
    except IllegalTransition:
        return {"state": index.state}
    try:
        _fill(index, at=now, told=partial(jobs.progress, job))
    except HalfpennyError as error:
        if isinstance(error, Unavailable) and job.attempts < job.max_attempts:
            raise
        _move(index, DocumentIndex.State.FAILED, at=now, error=error.message, ended_at=now)
        return {"state": index.state, "error": error.message}
    return {"state": index.state, "passages": index.passages_total}


def _queue(document_id: UUID, *, model: str, at: datetime) -> DocumentIndex:
    with transaction.atomic():
        index, is_new = DocumentIndex.objects.get_or_create(
            document_id=document_id, embedding_model=model, rules=chunking.RULES, defaults={"created_at": at}
        )
        if is_new:
            _enqueue(index, at=at)
    return index


def _enqueue(index: DocumentIndex, *, at: datetime) -> None:
    key = f"index:{index.pk}:{at.isoformat()}"
    jobs.enqueue(JOB, idempotency_key=key, at=at, by=index.document.uploaded_by, index_id=str(index.pk))


def index_now(document_ids: Iterable[UUID], *, model: str, at: datetime) -> None:
    """Index documents at once and without a job: for few of them, by a model that costs nothing."""
    for one in sorted(document_ids):
        index, _ = DocumentIndex.objects.get_or_create(
            document_id=one, embedding_model=model, rules=chunking.RULES, defaults={"created_at": at}
        )
        _move(index, DocumentIndex.State.RUNNING, at=at)
        _fill(index, at=at)


def _fill(index: DocumentIndex, *, at: datetime, told: Callable[..., None] = lambda **_: None) -> None:
    """Cut a document and embed what is missing of it; ``told`` hears how many passages are done, and of how many."""
    text = index.document.text
    cut = chunking.chunks(text)
    done = set(index.passages.values_list("number", flat=True))
    for numbers in _in_batches([n for n in range(len(cut)) if n not in done]):
        vectors = _vectors(index, [_embedded_text(cut[n]) for n in numbers])
        Passage.objects.bulk_create(
            [_passage(index, n, cut[n], vector) for n, vector in zip(numbers, vectors, strict=True)],
            ignore_conflicts=True,
        )
        done |= set(numbers)
        DocumentIndex.objects.filter(pk=index.pk).update(passages_done=len(done), passages_total=len(cut))
        told(done=len(done), total=len(cut))
    _move(
        index,
        DocumentIndex.State.READY,
        at=at,
        passages_done=len(cut),
        passages_total=len(cut),
        tokens=tokens.count(text),
        ended_at=at,
    )


def _vectors(index: DocumentIndex, texts: list[str]) -> list[list[float]]:
    if index.embedding_model == embedders.OWN_MODEL:
        return embedding.embed(texts)
    find = _payer(index.document)
    return background.call(
        lambda gateway: embedders.embed(
            gateway, lambda: gateway.read(find), texts, model=index.embedding_model
        )
    ).vectors


def _payer(document: AppDocument) -> Callable[[], Caller]:
    """Return who pays for an index: the sandbox of the app's team, as for everything that is tried before it is listed."""
    app = document.app
    sandbox = subscriptions.sandbox_for(
        app, team=app.owner_team, by=document.uploaded_by, at=timezone.now(), credit=settings.SANDBOX_CREDIT
    )
    version = app.versions.order_by("-number").first()
    return partial(caller_of_id, sandbox.pk, version=version)


def _passage(index: DocumentIndex, number: int, chunk: Chunk, vector: list[float]) -> Passage:
    return Passage(
        index=index,
        number=number,
        heading=chunk.heading,
        text=chunk.text,
        tokens=chunk.tokens,
        embedding=vector,
    )


def _embedded_text(chunk: Chunk) -> str:
    """Return what is embedded of a passage: the headings above it say what it is about."""
    return f"{chunk.heading}\n{chunk.text}" if chunk.heading else chunk.text


def _in_batches(numbers: list[int]) -> Iterator[list[int]]:
    return (numbers[start : start + AT_ONCE] for start in range(0, len(numbers), AT_ONCE))


def _move(index: DocumentIndex, to: str, *, at: datetime, **changes: object) -> None:
    move(
        index, DocumentIndex.TRANSITIONS, to=to, action=f"gateway.document_index.{to}", at=at, changes=changes
    )  # fmt: skip
