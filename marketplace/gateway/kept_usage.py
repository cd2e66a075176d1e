"""Counting kept usage once a rule says whose it is: read again as it was sent, recorded like any other report."""

from collections.abc import Iterator, Sequence
from datetime import date, datetime
from itertools import groupby
from uuid import UUID

import msgspec

from marketplace.core import jobs
from marketplace.core.epochs import DIRECTORY, read_epochs
from marketplace.core.models import Job
from marketplace.gateway import books
from marketplace.gateway.directory import Directory, reporter_of
from metering import attribution_rules, ingest, keeping, reports
from metering.inbox_models import AttributionRule, KeptEvent
from metering.ingest import Usage
from metering.keeping import KeptEvents
from metering.models import ArchivedPeriod
from metering.periods import month
from metering.ratecards import PriceBook, price_book
from metering.reported import Event
from metering.reports import Reading
from quotas import admission

CHUNK = 500
ARCHIVED = "The events of its month are archived."
_events = msgspec.json.Decoder(Event)


def count(*, job: Job, rule_id: str) -> dict[str, int]:
    """Count what is kept of a rule's name; safe to run twice and beside a sender that sends again.

    Every event keeps its id and its time, so it counts once whoever is faster. What still cannot be counted stays and
    says why.
    """
    rule = AttributionRule.objects.get(pk=rule_id)
    waiting = KeptEvent.objects.filter(
        group__in=attribution_rules.groups_of(rule), state=KeptEvent.State.OPEN
    )
    total, done, counted = waiting.count(), 0, 0
    for kept in _chunks(waiting):
        counted += _count_some(kept, at=books.now())
        done += len(kept)
        jobs.progress(job, done=done, total=max(total, done))
    return {"counted": counted, "left": done - counted}


def _chunks(waiting: KeptEvents) -> Iterator[list[KeptEvent]]:
    last = 0
    while kept := list(waiting.filter(pk__gt=last).select_related("app", "group").order_by("pk")[:CHUNK]):
        yield kept
        last = kept[-1].pk


def _count_some(kept: Sequence[KeptEvent], *, at: datetime) -> int:
    """Record a few kept events in one transaction; returns how many are counted now."""
    epochs = read_epochs()
    book = price_book.at(epochs)
    usages: list[Usage] = []
    archived = frozenset(ArchivedPeriod.objects.archived().values_list("period", flat=True))
    directory = Directory()
    for (_, key_id, environment), of_key in groupby(
        kept, key=lambda one: (one.app_id, one.key_id, one.environment)
    ):
        usages += _read_some(
            list(of_key),
            directory,
            key_id=key_id,
            environment=environment,
            book=book,
            archived=archived,
            at=at,
        )
    draft = ingest.draft(usages, book=book, epoch=epochs.get(DIRECTORY, 0))
    admission.commit(reports=[draft], keeping_apps={one.app_id for one in kept}, at=at)
    return len(usages)


def _read_some(
    kept: Sequence[KeptEvent],
    directory: Directory,
    *,
    key_id: UUID | None,
    environment: str,
    book: PriceBook,
    archived: frozenset[date],
    at: datetime,
) -> list[Usage]:
    """Read kept events of one app and key with the rules of now; what is still wrong with one is noted on it."""
    reporter = reporter_of(kept[0].app, key_id=key_id, environment=environment, epoch=0)
    events = [_as_sent(one) for one in kept]
    directory.load_payers(reporter.app_id, {event.subscription for event in events if event.subscription})
    payers = [directory.payer(reporter.app_id, event.subscription or "") for event in events]
    directory.load_cost_centers(
        {reporter.organization_id, *(payer.organization_id for payer in payers if payer)},
        {event.cost_center for event in events if event.cost_center and "\x00" not in event.cost_center},
    )
    usages = []
    for one, event in zip(kept, events, strict=True):
        reading = reports.check(
            [event],
            reporter=reporter,
            book=book,
            # As old as it was when it came: that it waited here makes it no older.
            at=one.received_at,
            find_payer=lambda text: directory.payer(reporter.app_id, text),
            find_cost_center=directory.cost_center,
        )
        usage = reading.usages[0]
        if usage is not None and month(usage.occurred_at) not in archived:
            usages.append(usage)
        else:
            _note(one, reading, at=at)
    return usages


def _as_sent(kept: KeptEvent) -> Event:
    """Return the event with the id and the time that it had when it came."""
    event = _events.decode(kept.body)
    return msgspec.structs.replace(event, id=kept.event_id, timestamp=event.timestamp or kept.occurred_at)


def _note(kept: KeptEvent, reading: Reading, *, at: datetime) -> None:
    """Move an event to the group of what else it names that is unknown, or say why it cannot be counted."""
    if not reading.rejections:
        keeping.note_trouble(kept, ARCHIVED)
    elif reading.unplaced and reading.unplaced[0].field != kept.group.field:
        keeping.move(kept, reading.unplaced[0], at=at)
    else:
        keeping.note_trouble(kept, reading.rejections[0].message)
