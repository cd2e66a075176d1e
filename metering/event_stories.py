"""What became of one event: when it came, what it cost and why, where it counts, what was corrected about it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import cached_property

from marketplace.accounts import access
from marketplace.catalog.models import App
from marketplace.core.errors import NotFound
from marketplace.core.money import exact
from metering import attributed, conflicts
from metering.attributed import Attributed
from metering.conflicts import Conflict
from metering.corrected import corrections_of, quantities_of
from metering.models import ArchivedPeriod, Attribution, EventKey, InstanceRate, RateCard, UsageEvent
from metering.periods import month
from metering.ratecards import instance_price, token_prices
from metering.rating import Quantities, RatedPart, explain
from metering.scopes import UsageScope
from metering.usage_questions import on_rollups

MOST_CONFLICTS = 20


@dataclass(frozen=True)
class PriceRow:
    """The row of prices that an event was rated with: a rate card of a model, or a rate of an instance type."""

    kind: str
    id: int
    name: str
    title: str
    is_ceiling: bool
    currency: str
    starts_at: datetime
    ends_at: datetime | None
    source: str


@dataclass(frozen=True)
class Why:
    """Who corrected something, and the reason they gave."""

    reason: str
    by: str


@dataclass(frozen=True)
class Correction:
    """An event that corrects another one: quantities and cost are what it adds, so they may be negative."""

    event_id: str
    occurred_at: datetime
    received_at: datetime
    period: date
    quantities: Quantities
    cost: Decimal
    why: Why | None


@dataclass(frozen=True)
class EventStory:
    """Everything that is known of one event, as somebody may see it.

    ``unexplained`` is what the lines leave of the cost: the rounding of each to 18 decimals, or all of a difference
    that a correction books without quantities. ``conflicts`` are for those who answer for the app; None for others.
    """

    app: App
    event_id: str
    occurred_at: datetime
    received_at: datetime
    period: date
    attribution: Attribution
    belongs: Attributed
    quantities: Quantities
    latency_ms: int | None
    cost: Decimal
    currency: str
    provider_cost: Decimal | None
    is_estimated: bool
    tags: dict[str, str]
    prices: tuple[PriceRow, ...]
    lines: tuple[RatedPart, ...]
    corrects: str | None
    corrections: tuple[Correction, ...]
    conflicts: tuple[Conflict, ...] | None

    @property
    def is_late(self) -> bool:
        """Whether its own month had been closed when it came, so that a later one bills it."""
        return is_late(self.occurred_at, self.period)

    @property
    def hour(self) -> datetime:
        """The hour whose roll-up it counts in."""
        return self.occurred_at.astimezone(UTC).replace(minute=0, second=0, microsecond=0)

    @property
    def unexplained(self) -> Decimal:
        with exact():
            return self.cost - sum((line.amount for line in self.lines), Decimal(0))

    @property
    def provider_difference(self) -> Decimal | None:
        """What the provider says it charged more than we rated."""
        return None if self.provider_cost is None else self.provider_cost - self.cost

    @cached_property
    def effective_quantities(self) -> Quantities:
        """What was used by the event and its corrections together."""
        every = [self.quantities, *(one.quantities for one in self.corrections)]
        return Quantities(
            **{name: sum(getattr(one, name) for one in every) for name in Quantities.__struct_fields__}
        )

    @cached_property
    def effective_cost(self) -> Decimal:
        with exact():
            return self.cost + sum((one.cost for one in self.corrections), Decimal(0))


@dataclass(frozen=True)
class ArchivedEvent:
    """What the database still knows of an event whose month is in the archive."""

    app: App
    event_id: str
    occurred_at: datetime
    content_hash: str
    period: date
    archived_at: datetime
    manifest_sha256: str

    @property
    def hour(self) -> datetime:
        return self.occurred_at.astimezone(UTC).replace(minute=0, second=0, microsecond=0)


def is_late(occurred_at: datetime, period: date) -> bool:
    """Tell whether usage is billed in a later month than it occurred in."""
    return period > month(occurred_at)


def get(app_slug: str, event_id: str, *, visible: UsageScope) -> EventStory | ArchivedEvent:
    """Tell the story of an event; raises NotFound, also for one that is not visible.

    By the ids of events to its partition, and there by the primary key: it takes as long among fifty million events
    as among five.
    """
    app, key = _find(app_slug, event_id)
    shown = UsageEvent.objects.filter(on_rollups(visible.visible())).select_related(
        *(f"attribution__{name}" for name in attributed.RELATED)
    )
    event = shown.filter(app=app, occurred_at=key.occurred_at, event_id=event_id).first()
    return _story(event, app, visible=visible) if event else _archived(key, app, visible=visible)


def _find(app_slug: str, event_id: str) -> tuple[App, EventKey]:
    """Find an event among all; of what is missing nobody learns whether it is the app or the event."""
    try:
        app = access.get(App.objects.all(), slug=app_slug)
        return app, access.get(EventKey.objects.all(), app=app, event_id=event_id)
    except NotFound as error:
        raise NotFound("usage event", event_id) from error


def _archived(key: EventKey, app: App, *, visible: UsageScope) -> ArchivedEvent:
    """Tell of an archived event to who answers for the app; whom else it belonged to, the archive alone knows."""
    row = ArchivedPeriod.objects.archived().filter(period=month(key.occurred_at)).first()
    if row is None or not (visible.answers_for(app) and visible.sees_production):
        raise NotFound("usage event", key.event_id)
    return ArchivedEvent(
        app=app,
        event_id=key.event_id,
        occurred_at=key.occurred_at,
        content_hash=bytes(key.content_hash).hex(),
        period=row.period,
        archived_at=row.archived_at,
        manifest_sha256=row.manifest_sha256,
    )


def _story(event: UsageEvent, app: App, *, visible: UsageScope) -> EventStory:
    quantities = quantities_of(event)
    card, rate = _rated_with(event)
    prices = [_of_model(card)] if card else []
    prices += [_of_instance(rate)] if rate else []
    lines = explain(quantities, token_prices(card) if card else None, instance_price(rate) if rate else None)
    return EventStory(
        app=app,
        event_id=event.event_id,
        occurred_at=event.occurred_at,
        received_at=event.received_at,
        period=event.period,
        attribution=event.attribution,
        belongs=attributed.name_one(event.attribution, visible=visible),
        quantities=quantities,
        latency_ms=event.latency_ms,
        cost=event.cost,
        currency=event.currency,
        provider_cost=event.provider_cost,
        is_estimated=event.is_estimated,
        tags=event.tags or {},
        prices=tuple(prices),
        lines=tuple(lines),
        corrects=event.corrects,
        corrections=_corrections(event),
        conflicts=_conflicts(event, app, visible=visible),
    )


def _rated_with(event: UsageEvent) -> tuple[RateCard | None, InstanceRate | None]:
    """Read the prices; rows without a constraint may be gone, which ``verify`` tells."""
    cards = RateCard.every.select_related("model")
    card = cards.filter(pk=event.rate_card_id).first() if event.rate_card_id else None
    rates = InstanceRate.objects.all()
    return card, rates.filter(pk=event.instance_rate_id).first() if event.instance_rate_id else None


def _of_model(card: RateCard) -> PriceRow:
    return PriceRow(
        "model", card.pk, card.model.name, card.model.title, card.model.is_ceiling, card.currency,
        card.starts_at, card.ends_at, card.source,
    )  # fmt: skip


def _of_instance(rate: InstanceRate) -> PriceRow:
    return PriceRow(
        "instance_type", rate.pk, rate.instance_type, rate.instance_type, False, rate.currency,
        rate.starts_at, rate.ends_at, rate.source,
    )  # fmt: skip


def _corrections(event: UsageEvent) -> tuple[Correction, ...]:
    """Read what corrects an event, in order of arrival, by the index ``usage_event_corrections``."""
    rows = list(
        UsageEvent.objects.filter(app=event.app_id, corrects=event.event_id).order_by(
            "received_at", "event_id"
        )
    )
    whys = _whys(event) if rows else {}
    return tuple(
        Correction(
            event_id=row.event_id,
            occurred_at=row.occurred_at,
            received_at=row.received_at,
            period=row.period,
            quantities=quantities_of(row),
            cost=row.cost,
            why=whys.get(row.event_id),
        )
        for row in rows
    )


def _whys(event: UsageEvent) -> dict[str, Why]:
    """Return by id who made the corrections of an event and why; rows of events do not tell."""
    return {one.id: Why(one.reason, one.by) for one in corrections_of(event.app_id, event.event_id)}


def _conflicts(event: UsageEvent, app: App, *, visible: UsageScope) -> tuple[Conflict, ...] | None:
    if not visible.answers_for(app):
        return None
    found: Sequence[Conflict] = conflicts.of_event(event, app, limit=MOST_CONFLICTS)
    return tuple(found)
