"""Events as JSON and CSV: the story of one, and rows of a list, which are the same in every form."""

from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from urllib.parse import quote

from marketplace.core.csv import Cell, to_csv
from marketplace.core.json import encode
from marketplace.core.money import to_text
from metering.attributed import Attributed
from metering.conflicts import Conflict
from metering.dimensions import DIMENSIONS
from metering.event_lists import ListedEvent
from metering.event_stories import ArchivedEvent, Correction, EventStory, PriceRow
from metering.rating import Quantities, RatedPart

COUNTS = Quantities.__struct_fields__
COLUMNS = (
    "id", "app", "occurred_at", "received_at", "period", "is_late", "owner_team", *list(DIMENSIONS)[1:], "model_asked",
    *COUNTS, "latency_ms", "cost", "currency", "provider_cost", "rate_card_id", "instance_rate_id", "is_estimated",
    "corrects", "is_corrected", "tags", "explanation",
)  # fmt: skip


def story_path(app_slug: str, event_id: str) -> str:
    """Return the address at which an event tells what became of it."""
    return f"/meter/{app_slug}/{quote(event_id, safe='')}"


def as_row(event: ListedEvent) -> dict[str, Any]:
    """Return an event of a list for the API; its keys are ``COLUMNS``."""
    belongs = event.belongs
    app = belongs.id_of("app")
    return {
        "id": event.event_id,
        "app": app,
        "occurred_at": instant(event.occurred_at),
        "received_at": instant(event.received_at),
        "period": month_name(event.period),
        "is_late": event.is_late,
        "owner_team": belongs.owner_team.id,
        **{name: part.id for name, part in belongs.parts.items() if name != "app"},
        "model_asked": belongs.model_asked or None,
        **_counts(event.quantities),
        "latency_ms": event.latency_ms,
        "cost": to_text(event.cost),
        "currency": event.currency,
        "provider_cost": amount_text(event.provider_cost),
        "rate_card_id": _id(event.rate_card_id),
        "instance_rate_id": _id(event.instance_rate_id),
        "is_estimated": event.is_estimated,
        "corrects": event.corrects,
        "is_corrected": event.is_corrected,
        "tags": dict(event.tags or {}),
        "explanation": story_path(app, event.event_id),
    }


def csv_lines(events: Iterable[ListedEvent]) -> Iterator[str]:
    """Write events as CSV, a line at a time."""
    return to_csv(COLUMNS, ([_cell(name, value) for name, value in as_row(one).items()] for one in events))


def json_lines(events: Iterable[ListedEvent]) -> Iterator[str]:
    """Write events as lines of JSON."""
    return (encode(as_row(one)) + "\n" for one in events)


def as_story(story: EventStory | ArchivedEvent) -> dict[str, Any]:
    """Return what became of an event, but for what it is billed by."""
    return _archived(story) if isinstance(story, ArchivedEvent) else _told(story)


def as_conflict(conflict: Conflict) -> dict[str, Any]:
    """Return a report that came under a known id; ``first`` is null where the event is in the archive."""
    return {
        "app": conflict.app_slug,
        "id": conflict.event_id,
        "received_at": instant(conflict.received_at),
        "first": conflict.first,
        "second": conflict.second,
        "is_of_other_subscription": conflict.is_of_other_subscription,
        "explanation": story_path(conflict.app_slug, conflict.event_id),
    }


def instant(at: datetime) -> str:
    """Write a time in UTC, with its microseconds where it has some."""
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")


def month_name(period: date) -> str:
    return f"{period:%Y-%m}"


def amount_text(amount: Decimal | None) -> str | None:
    """Write an unrounded amount, where there is one."""
    return None if amount is None else to_text(amount)


def _told(story: EventStory) -> dict[str, Any]:
    return {
        "app_id": story.app.slug,
        "id": story.event_id,
        "receipt": {
            "status": "accepted",
            "occurred_at": instant(story.occurred_at),
            "received_at": instant(story.received_at),
            "is_late": story.is_late,
            "is_estimated": story.is_estimated,
        },
        "is_archived": False,
        "quantities": _counts(story.quantities) | {"latency_ms": story.latency_ms},
        "amounts": {
            "cost": to_text(story.cost),
            "currency": story.currency,
            "rate_card_id": _price_id(story, "model"),
            "instance_rate_id": _price_id(story, "instance_type"),
            "lines": [_line(line, story) for line in story.lines],
            "unexplained": to_text(story.unexplained),
            "provider_cost": amount_text(story.provider_cost),
            "provider_difference": amount_text(story.provider_difference),
        },
        "prices": [_price(one) for one in story.prices],
        "dimensions": _dimensions(story.belongs),
        "tags": story.tags,
        "rollup_hour": instant(story.hour),
        "period": month_name(story.period),
        "corrects": story.corrects,
        "corrections": [_correction(one, story) for one in story.corrections],
        "effective": _counts(story.effective_quantities)
        | {"cost": to_text(story.effective_cost), "currency": story.currency},
        "conflicts": None if story.conflicts is None else [as_conflict(one) for one in story.conflicts],
    }


def _archived(story: ArchivedEvent) -> dict[str, Any]:
    return {
        "app_id": story.app.slug,
        "id": story.event_id,
        "receipt": {"status": "accepted", "occurred_at": instant(story.occurred_at)},
        "is_archived": True,
        "archive": {
            "period": month_name(story.period),
            "archived_at": instant(story.archived_at),
            "content_hash": story.content_hash,
            "manifest_sha256": story.manifest_sha256,
        },
        "rollup_hour": instant(story.hour),
    }


def _line(line: RatedPart, story: EventStory) -> dict[str, Any]:
    is_time = line.measure == "duration_ms"
    row_id = _price_id(story, "instance_type" if is_time else "model")
    return {
        "measure": line.measure,
        "quantity": line.quantity,
        "unit_price": to_text(line.unit_price),
        "per": line.per,
        "amount": to_text(line.amount),
        "instance_rate_id" if is_time else "rate_card_id": row_id,
    }


def _price(one: PriceRow) -> dict[str, Any]:
    return {
        "kind": one.kind,
        "id": str(one.id),
        "name": one.name,
        "is_ceiling": one.is_ceiling,
        "currency": one.currency,
        "starts_at": instant(one.starts_at),
        "ends_at": instant(one.ends_at) if one.ends_at else None,
        "source": one.source,
    }


def _dimensions(belongs: Attributed) -> dict[str, Any]:
    told = {name: part.id for name, part in belongs.parts.items()}
    return told | {"owner_team": belongs.owner_team.id, "model_asked": belongs.model_asked or None}


def _correction(one: Correction, story: EventStory) -> dict[str, Any]:
    return {
        "id": one.event_id,
        "received_at": instant(one.received_at),
        "period": month_name(one.period),
        **_counts(one.quantities),
        "cost": to_text(one.cost),
        "currency": story.currency,
        "reason": one.why.reason if one.why else None,
        "by": one.why.by if one.why else None,
        "explanation": story_path(story.app.slug, one.event_id),
    }


def _price_id(story: EventStory, kind: str) -> str | None:
    return next((str(one.id) for one in story.prices if one.kind == kind), None)


def _counts(quantities: Quantities) -> dict[str, int]:
    return {name: getattr(quantities, name) for name in COUNTS}


def _id(row_id: int | None) -> str | None:
    return None if row_id is None else str(row_id)


def _cell(name: str, value: Any) -> Cell:
    """Write a value of a row as a cell: amounts as numbers, which are not defused, yes and no as 1 and 0."""
    if name in ("cost", "provider_cost"):
        return None if value is None else Decimal(value)
    if isinstance(value, dict):
        return encode(value) if value else ""
    return int(value) if isinstance(value, bool) else value
