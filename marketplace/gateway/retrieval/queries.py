"""What makers see of their documents: which there are, how far they are indexed, what they saved, what a question finds."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from django.db.models import Sum

from marketplace.catalog import documents
from marketplace.catalog.documents import Attached
from marketplace.catalog.models import App, Version
from marketplace.core.errors import Unavailable
from marketplace.gateway import embedding
from marketplace.gateway.retrieval import choosing, finding, indexing
from marketplace.gateway.retrieval.choosing import Found
from marketplace.gateway.retrieval.embedders import OWN_MODEL
from marketplace.gateway.retrieval_models import DocumentIndex, RetrievalDay

DAYS = 30


@dataclass(frozen=True)
class Row:
    """A document of a version, and its index by the model of now; none until the routine has seen it."""

    attached: Attached
    index: DocumentIndex | None

    @property
    def state(self) -> str:
        return self.index.state if self.index else DocumentIndex.State.QUEUED

    @property
    def is_under_way(self) -> bool:
        return self.state in (DocumentIndex.State.QUEUED, DocumentIndex.State.RUNNING)


@dataclass(frozen=True)
class Saved:
    """What passages saved an app: calls, tokens sent of its documents, tokens that whole documents would have added."""

    calls: int
    tokens_sent: int
    tokens_saved: int

    @property
    def share(self) -> Decimal:
        """The part of the documents' tokens that was not sent."""
        whole = self.tokens_sent + self.tokens_saved
        return Decimal(self.tokens_saved) / whole if whole else Decimal(0)

    @property
    def saved_a_call(self) -> int:
        return round(self.tokens_saved / self.calls) if self.calls else 0


def rows_of(version: Version, *, model: str) -> list[Row]:
    """Return the documents of a version with their indexes (two queries)."""
    attached = documents.of_version(version)
    found = indexing.of_documents([one.document.pk for one in attached], model=model)
    indexes = {one.document_id: one for one in found}
    return [Row(one, indexes.get(one.document.pk)) for one in attached]


def saved_by(app: App, *, at: datetime) -> Saved:
    """Return what passages saved an app in the last thirty days (one query)."""
    since = (at - timedelta(days=DAYS)).date()
    sums = RetrievalDay.objects.filter(app=app, day__gt=since).aggregate(
        calls=Sum("calls"), sent=Sum("tokens_sent"), saved=Sum("tokens_saved")
    )
    return Saved(sums["calls"] or 0, sums["sent"] or 0, sums["saved"] or 0)


def can_be_asked(*, model: str) -> bool:
    """Tell whether questions cost nothing, so that they may be tried on a page."""
    return model == OWN_MODEL


def found_for(version: Version, question: str, *, model: str, at: datetime) -> Sequence[Found]:
    """Return the passages that a question would bring into a prompt. Raises StillIndexing, TooManyPassages."""
    if not can_be_asked(model=model):
        raise Unavailable("Questions are tried here with the marketplace's own embedding model only.")
    attached = [(one.document.pk, one.name) for one in documents.of_version(version)]
    if not attached:
        return ()
    ready = finding.ready(attached, model=model, at=at)
    near = finding.nearest(ready, embedding.embed([question])[0])
    chosen = choosing.choose(
        choosing.ranked(near, question), budget_tokens=version.passage_tokens, whole_tokens=ready.tokens
    )
    return chosen.sources
