"""An app that answers from documents, for tests."""

from marketplace.catalog import about, documents
from marketplace.catalog.document_models import AppDocument
from marketplace.catalog.models import App, Listing, Version
from marketplace.core import jobs
from marketplace.core.models import Job
from marketplace.gateway import tasks  # noqa: F401  its work is registered there
from marketplace.gateway.embedding import NAME as MODEL
from marketplace.gateway.retrieval import indexing
from marketplace.gateway.retrieval_models import DocumentIndex
from tests import factories
from tests.conftest import Cast
from tests.factories import LONG_AGO, NOW

TRAVEL = """# Travel

## Trains

Trains come first. First class may be booked for journeys of more than three hours.

## Hotels

A hotel room may cost up to 180 dollars a night.
"""
LEAVE = "# Leave\n\n" + "Everybody has 28 days of vacation a year. " * 40
SCHEMA = {
    "type": "object",
    "properties": {"question": {"type": "string", "title": "Question", "maxLength": 400}},
    "required": ["question"],
    "additionalProperties": False,
}
QUESTION = "How much may a hotel room cost?"
ANSWER = "A hotel room may cost up to 180 dollars a night."


def make_answerer(cast: Cast, *, slug: str = "handbook", is_listed: bool = True, **fields: object) -> App:
    """An app with two documents that nobody has indexed yet."""
    app = factories.make_app(cast.creator_team, slug=slug)
    factories.make_plan(app, code="standard")
    values: dict[str, object] = {
        "about": about.of_app(app),
        "instructions": "Answer the question from the document.",
        "prompt_template": "Document: {{ passages }}\n\nQuestion: {{ question }}",
        "input_schema": SCHEMA,
        "example_input": {"question": QUESTION},
        "passage_tokens": 150,
    }
    version = factories.make_version(app, state="draft", **values | fields)
    for name, text in (("travel.md", TRAVEL), ("leave.txt", LEAVE)):
        documents.attach(version, text.encode(), file_name=name, by=cast.creator, at=NOW)
    if is_listed:
        Version.objects.filter(pk=version.pk).update(state="listed")
        version.refresh_from_db()
        Listing.objects.create(app=app, version=version, listed_at=LONG_AGO, updated_at=LONG_AGO)
    return app


def index_all(app: App, *, model: str = MODEL) -> list[DocumentIndex]:
    """Index all documents of an app, by the jobs that do it."""
    ids = AppDocument.objects.filter(app=app).values_list("pk", flat=True)
    made = indexing.ensure(ids, model=model, at=NOW)
    for job in Job.objects.filter(name=indexing.JOB, state="queued"):
        jobs.run(job.pk, at=NOW)
    for index in made:
        index.refresh_from_db()
    return made
