"""The handbook that one app answers from: attached to its draft, indexed, and what its passages saved."""

from collections.abc import Mapping
from datetime import datetime, timedelta

from django.db.models import Sum

from marketplace.accounts.models import User
from marketplace.catalog import documents
from marketplace.catalog.models import App, Version
from marketplace.config.demo.handbook import DOCUMENTS
from marketplace.config.demo.timeline import Timeline
from marketplace.gateway import embedding
from marketplace.gateway.retrieval import choosing, finding, indexing
from marketplace.gateway.retrieval.choosing import Passages
from marketplace.gateway.retrieval_models import RetrievalDay
from metering.models import DailyRollup

SLUG = "policy-qa"
MODEL = "llm-8b"
DAYS = 30
PASSAGE_TOKENS = 450


def attach(version: Version, *, by: User, at: datetime) -> None:
    """Give a draft the handbook, page by page."""
    for path in DOCUMENTS:
        documents.attach(version, path.read_bytes(), file_name=path.name, by=by, at=at)
    documents.set_passages(version, tokens=PASSAGE_TOKENS, shows_sources=True, by=by, at=at)


def tell(apps: Mapping[str, App], timeline: Timeline) -> None:
    """Index the handbook as the routine would, and count what it saved with each call of the last thirty days."""
    app = apps[SLUG]
    version = app.listing.version
    attached = [one.document.pk for one in documents.of_version(version)]
    indexing.index_now(attached, model=embedding.NAME, at=timeline.at)
    passages = _of_example(version, at=timeline.at)
    since = (timeline.at - timedelta(days=DAYS)).date()
    rollups = DailyRollup.objects.filter(attribution__app=app, attribution__model__name=MODEL, day__gt=since)
    days = rollups.values("day").annotate(calls=Sum("requests")).order_by("day")
    RetrievalDay.objects.bulk_create(
        RetrievalDay(
            app=app,
            day=row["day"],
            calls=row["calls"],
            tokens_sent=row["calls"] * passages.tokens_sent,
            tokens_saved=row["calls"] * passages.tokens_saved,
        )
        for row in days
    )


def _of_example(version: Version, *, at: datetime) -> Passages:
    """Find what the app's own example brings into a prompt: as much as its other questions do."""
    question = choosing.query_of(version.example_input)
    attached = [(one.document.pk, one.name) for one in documents.of_version(version)]
    ready = finding.ready(attached, model=embedding.NAME, at=at)
    near = finding.nearest(ready, embedding.embed([question])[0])
    return choosing.choose(
        choosing.ranked(near, question), budget_tokens=version.passage_tokens, whole_tokens=ready.tokens
    )
