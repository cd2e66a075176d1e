"""Reports as /meter takes them, without HTTP: read with the directory of now, recorded and kept in one transaction."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from unittest import mock

from marketplace.catalog.models import App
from marketplace.gateway.directory import Directory, reporter_of
from metering import ingest, reports
from metering.ratecards import load_price_book
from metering.reported import Event
from metering.reports import Reading
from quotas import admission
from quotas.admission import Outcome


def report(app: App, *events: dict[str, Any], at: datetime) -> tuple[Reading, Outcome]:
    """Report events of a million input tokens of llm-8b each, unless they say otherwise."""
    with mock.patch("marketplace.gateway.books.now", return_value=at):
        reporter = reporter_of(app, key_id=None, environment="production", epoch=0)
    made: Sequence[Event] = [
        Event(**{"app_id": app.slug, "model": "llm-8b", "tokens": 1_000_000, "timestamp": at, **event})
        for event in events
    ]
    directory = Directory()
    directory.load_payers(app.pk, {event.subscription for event in made if event.subscription})
    payers = [directory.payer(app.pk, event.subscription or "") for event in made]
    directory.load_cost_centers(
        {reporter.organization_id, *(payer.organization_id for payer in payers if payer)},
        {event.cost_center for event in made if event.cost_center},
    )
    book = load_price_book()
    reading = reports.check(
        made,
        reporter=reporter,
        book=book,
        at=at,
        find_payer=lambda text: directory.payer(app.pk, text),
        find_cost_center=directory.cost_center,
    )
    usages = [usage for usage in reading.usages if usage is not None]
    outcome = admission.commit(
        reports=[ingest.draft(usages, book=book, epoch=-1)],
        unplaced=list(reading.unplaced.values()),
        keeping_apps={app.pk} if reporter.keeps else set(),
        at=at,
    )
    return reading, outcome
