"""The events behind any number of usage, page by page or all of them.

Everything that a list shows is what ``queries.usage`` sums with the same arguments: its total is that of its rows, and of
archived months, which have none.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal

from django.db.models import Sum

from marketplace.core.errors import InvalidInput
from metering import attributed
from metering.attributed import Attributed
from metering.event_stories import is_late
from metering.event_walk import Place, Row, Selection, walk
from metering.models import UsageRollup
from metering.periods import bounds
from metering.rating import Quantities
from metering.scopes import UsageScope
from metering.usage_questions import Filters, ask

MOST_DAYS = 400
MOST_EXPORTED = 1_000_000
EXPORTED_AT_ONCE = 5_000


@dataclass(frozen=True)
class ArchivedPart:
    """What of a selection is in an archived month: it counts in the total, and has no rows."""

    period: date
    events: int
    cost: Decimal


@dataclass(frozen=True, slots=True)
class ListedEvent:
    """One event of a list, as somebody may see it."""

    place: Place
    received_at: datetime
    period: date
    belongs: Attributed
    quantities: Quantities
    latency_ms: int | None
    cost: Decimal
    currency: str
    rate_card_id: int | None
    instance_rate_id: int | None
    provider_cost: Decimal | None
    is_estimated: bool
    tags: Mapping[str, str] | None
    corrects: str | None
    is_corrected: bool

    @property
    def event_id(self) -> str:
        return self.place.event_id

    @property
    def occurred_at(self) -> datetime:
        return self.place.occurred_at

    @property
    def is_late(self) -> bool:
        return is_late(self.occurred_at, self.period)


@dataclass(frozen=True)
class Page:
    """Some events, the newest first; ``newer`` and ``older`` tell from which place on there are more."""

    events: tuple[ListedEvent, ...]
    newer: Place | None
    older: Place | None


def select(
    *, from_at: datetime, to_at: datetime, filters: Filters | None = None, visible: UsageScope
) -> Selection:
    """Select what ``queries.usage`` sums with the same arguments. Raises InvalidInput that names the parameter."""
    question = ask(from_at=from_at, to_at=to_at, filters=filters or {}, visible=visible)
    if question.to_at - question.from_at > timedelta(days=MOST_DAYS):
        message = f"is more than {MOST_DAYS} days after the start; ask for less time"
        raise InvalidInput("to", message, limit=MOST_DAYS, code="too_much")
    return Selection(question)


def page(selection: Selection, *, size: int, before: Place | None = None, after: Place | None = None) -> Page:
    """Return the newest events, those older than the place ``before``, or the next ones newer than ``after``.

    Events that come while somebody turns pages move none of the others: each is seen once (three queries and more
    only where archiving took what roll-ups told of).
    """
    is_newest_first = after is None
    beyond = before if is_newest_first else after
    rows: list[Row] = []
    for batch in walk(selection, beyond=beyond, is_newest_first=is_newest_first, size=size + 1):
        rows += batch
        if len(rows) > size:
            break
    has_more = len(rows) > size
    shown = rows[:size] if is_newest_first else rows[:size][::-1]
    events = _named(shown, selection.visible)
    if not events:
        return Page((), None, None)
    if is_newest_first:
        newer, older = beyond is not None, has_more
    else:
        newer, older = has_more, True
    return Page(events, events[0].place if newer else None, events[-1].place if older else None)


def every(selection: Selection) -> Iterator[ListedEvent]:
    """Give all events of a selection, the newest first, some thousand a statement, so that none is open for long.

    Raises InvalidInput before the first one when there are more than a file may hold.
    """
    count = UsageRollup.objects.filter(selection.live).aggregate(count=Sum("events", default=0))["count"]
    if count > MOST_EXPORTED:
        message = (
            f"is too far from the start: a file holds {MOST_EXPORTED:,} events, and these are {int(count):,}; "
            "ask for less time or a filter"
        )
        raise InvalidInput("to", message, limit=MOST_EXPORTED, code="too_much")
    return _every(selection)


def archived_parts(selection: Selection) -> list[ArchivedPart]:
    """Say what of a selection is in the archive (one query for each month of it)."""
    parts = []
    for period in selection.archived_months:
        starts_at, ends_at = bounds(period)
        rows = UsageRollup.objects.filter(selection.asked, hour__gte=starts_at, hour__lt=ends_at)
        sums = rows.aggregate(events=Sum("events", default=0), cost=Sum("cost", default=Decimal(0)))
        if sums["events"]:
            parts.append(ArchivedPart(period, int(sums["events"]), sums["cost"]))
    return parts


def _every(selection: Selection) -> Iterator[ListedEvent]:
    for batch in walk(selection, beyond=None, is_newest_first=True, size=EXPORTED_AT_ONCE):
        yield from _named(batch, selection.visible)


def _named(rows: Sequence[Row], visible: UsageScope) -> tuple[ListedEvent, ...]:
    if not rows:
        return ()
    belongs = attributed.named({row.values["attribution_id"] for row in rows}, visible=visible)
    return tuple(_listed(row, belongs[row.values["attribution_id"]]) for row in rows)


def _listed(row: Row, belongs: Attributed) -> ListedEvent:
    values = row.values
    return ListedEvent(
        place=row.place,
        received_at=values["received_at"],
        period=values["period"],
        belongs=belongs,
        quantities=Quantities(**{name: values[name] for name in Quantities.__struct_fields__}),
        latency_ms=values["latency_ms"],
        cost=values["cost"],
        currency=values["currency"],
        rate_card_id=values["rate_card_id"],
        instance_rate_id=values["instance_rate_id"],
        provider_cost=values["provider_cost"],
        is_estimated=values["is_estimated"],
        tags=values["tags"],
        corrects=values["corrects"],
        is_corrected=row.is_corrected,
    )
