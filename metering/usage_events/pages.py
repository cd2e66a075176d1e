"""Events drawn for pages: rows with what is special about them, and the addresses that lead to and from them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.urls import reverse

from marketplace.catalog.models import App
from metering import usage_addresses
from metering.event_lists import ListedEvent
from metering.event_stories import EventStory
from metering.rating import Quantities, RatedPart

MEASURES = {
    "requests": "Requests",
    "input_tokens": "Input tokens",
    "cached_input_tokens": "of which cached",
    "cache_write_tokens": "of which cache write",
    "output_tokens": "Output tokens",
    "reasoning_tokens": "of which reasoning",
    "duration_ms": "Instance time, ms",
}
CLASSES = {
    "input_tokens": "Input tokens",
    "cached_input_tokens": "Cached input tokens",
    "cache_write_tokens": "Cache-write tokens",
    "output_tokens": "Output tokens",
    "reasoning_tokens": "Reasoning tokens",
    "duration_ms": "Instance time, ms",
}
PER = {1_000_000: "million", 3_600_000: "hour"}


@dataclass(frozen=True)
class Flag:
    """Something special about an event."""

    text: str
    tone: str


@dataclass(frozen=True)
class Row:
    """One line of a list."""

    event: ListedEvent
    url: str
    flags: tuple[Flag, ...]


@dataclass(frozen=True)
class QuantityRow:
    """One measure of an event; ``effective`` is with its corrections."""

    label: str
    told: int
    effective: int


@dataclass(frozen=True)
class AmountRow:
    """One line of how an amount came about."""

    label: str
    line: RatedPart
    per: str


def rows_of(events: Sequence[ListedEvent]) -> list[Row]:
    return [
        Row(event, story_url(event.belongs.id_of("app"), event.event_id), flags_of(event)) for event in events
    ]


def flags_of(event: ListedEvent | EventStory) -> tuple[Flag, ...]:
    """Say what is special: late, corrected, a correction, estimated, without cost."""
    is_corrected = bool(event.corrections) if isinstance(event, EventStory) else event.is_corrected
    found = (
        (event.is_late, Flag("Late", "warn")),
        (is_corrected, Flag("Corrected", "info")),
        (event.corrects is not None, Flag("Correction", "info")),
        (event.is_estimated, Flag("Estimated", "warn")),
        (not event.cost and event.corrects is None, Flag("No cost", "neutral")),
    )
    return tuple(flag for is_so, flag in found if is_so)


def quantity_rows(story: EventStory) -> list[QuantityRow]:
    """List what was used, also what is zero where it is the whole of something."""
    effective: Quantities = story.effective_quantities
    return [
        QuantityRow(label, getattr(story.quantities, name), getattr(effective, name))
        for name, label in MEASURES.items()
        if getattr(story.quantities, name) or getattr(effective, name) or name == "requests"
    ]


def amount_rows(story: EventStory) -> list[AmountRow]:
    return [
        AmountRow(CLASSES[line.measure], line, PER.get(line.per, f"{line.per:,}")) for line in story.lines
    ]


def story_url(app_slug: str, event_id: str) -> str:
    return reverse("metering:event", args=[app_slug, event_id])


def hour_url(app: App, hour: datetime) -> str:
    """Write the address of an app's events of an hour."""
    return usage_addresses.events(from_at=hour, to_at=hour + timedelta(hours=1), filters={"app": (app.slug,)})
