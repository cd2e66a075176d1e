"""What a recorded event counts as now: its own quantities and cost, or those its newest correction left."""

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal

from marketplace.accounts import access
from marketplace.accounts.access import Actor, Role
from marketplace.accounts.models import ApiKey
from marketplace.catalog.models import App
from marketplace.core.errors import NotFound
from marketplace.core.money import exact
from metering import batch_rates
from metering.models import (
    Attribution,
    BatchRate,
    Correction,
    EventKey,
    InstanceRate,
    RateCard,
    Rerating,
    UsageEvent,
)
from metering.partitions import PeriodArchived, archived
from metering.periods import month
from metering.ratecards import instance_price, token_prices
from metering.rating import InstancePrice, Quantities, TokenPrices
from metering.reratings import covering
from metering.scopes import UsageScope

TOKEN_PRICES = (
    "input_per_mtok",
    "cached_input_per_mtok",
    "cache_write_per_mtok",
    "output_per_mtok",
    "reasoning_per_mtok",
)
# In the order of the fields of Quantities.
QUANTITIES = (
    "requests",
    "input_tokens",
    "output_tokens",
    "cached_input_tokens",
    "cache_write_tokens",
    "reasoning_tokens",
    "duration_ms",
)


@dataclass(frozen=True)
class Prices:
    """What an amendment of an event is rated with."""

    tokens: TokenPrices | None
    time: InstancePrice | None


@dataclass(frozen=True)
class Standing:
    """What an event counts as after so many corrections; ``last_kind`` is that of the newest, empty without one."""

    quantities: Quantities
    cost: Decimal
    provider_cost: Decimal | None
    corrections: int = 0
    last_kind: str = ""

    @property
    def is_void(self) -> bool:
        """Tell whether the event was taken back and nothing was said of it since."""
        return self.last_kind == Correction.Kind.VOID


@dataclass(frozen=True)
class EventCorrection:
    """One correction of an event, as it is shown: who, why, and what it added (negative: took away)."""

    id: str
    kind: str
    at: datetime
    by: str
    reason: str
    quantities: Quantities
    cost: Decimal
    currency: str
    period: date
    rerating_id: int | None


def may_correct(actor: Actor, belongs: Attribution) -> bool:
    """Tell who may: an operator of the platform or of the owner's organization, and who reported it.

    That is a creator of the team whose app it was when it was used. What the gateway measured under a subscriber's key
    is no report of theirs: they would take back what they owe for it themselves.
    """
    if belongs.owner_team_id in actor.teams_as(Role.CREATOR) and not _is_measured(belongs):
        return True
    return _operates(actor, belongs.owner_team.organization_id)


def _is_measured(belongs: Attribution) -> bool:
    return belongs.key is not None and belongs.key.kind == ApiKey.Kind.SUB


def _operates(actor: Actor, organization_id: int) -> bool:
    return actor.is_platform(Role.OPERATOR) or organization_id in actor.organizations_as(Role.OPERATOR)


def find_event(actor: Actor, *, slug: str, event_id: str) -> UsageEvent:
    """Return an event that the person may see, with its app and attribution. Raises NotFound.

    Raises PeriodArchived for makers and operators of the app, when it was taken out of the table with its month.
    """
    app = access.get(App.objects.select_related("owner_team"), slug=slug)
    operates = _operates(actor, app.owner_team.organization_id)
    seen = Attribution.objects.filter(UsageScope.of(actor).visible(), app=app)
    if not operates and not seen.exists():
        raise NotFound("app", slug)
    key = access.get(EventKey.objects.filter(app=app), event_id=event_id)
    found = UsageEvent.objects.select_related("attribution__key", "attribution__owner_team").filter(
        app=app, occurred_at=key.occurred_at, event_id=event_id
    )
    event = found.first()
    is_told = operates or app.owner_team_id in actor.teams_as(Role.CREATOR)
    if event is None and is_told and month(key.occurred_at) in archived():
        raise PeriodArchived(month(key.occurred_at))
    if event is None or not (operates or seen.filter(pk=event.attribution_id).exists()):
        raise NotFound("usage event", event_id)
    event.app = app
    return event


def standing(event: UsageEvent) -> Standing:
    """Return what an event counts as now (one query)."""
    return _standing(event, _newest(event))


def standing_and_prices(event: UsageEvent) -> tuple[Standing, Prices]:
    """Return what an event counts as now, and the prices that an amendment is rated with (five queries)."""
    return standing(event), _prices(event)


def corrections_of(app_id: int, event_id: str) -> list[EventCorrection]:
    """Return the corrections of an event, oldest first (one query); also of one whose month is archived."""
    rows = (
        Correction.objects.filter(app=app_id, event_id=event_id)
        .select_related("made_by", "rerating__proposed_by")
        .order_by("ordinal")
    )
    return [_shown(row) for row in rows]


def difference(old: Quantities, new: Quantities) -> Quantities:
    """Return what was added; negative where it became less."""
    return Quantities(**{name: getattr(new, name) - getattr(old, name) for name in QUANTITIES})


def quantities_of(row: UsageEvent | Correction, prefix: str = "") -> Quantities:
    """Read the quantities of a row, from the columns that begin with ``prefix``."""
    return Quantities(**{name: getattr(row, prefix + name) for name in QUANTITIES})


def _newest(event: UsageEvent) -> Correction | None:
    return Correction.objects.filter(app=event.app_id, event_id=event.event_id).order_by("-ordinal").first()


def _standing(event: UsageEvent, newest: Correction | None) -> Standing:
    if newest is None:
        return Standing(quantities_of(event), event.cost, event.provider_cost)
    return Standing(
        quantities_of(newest, "new_"), newest.new_cost, newest.new_provider_cost, newest.ordinal, newest.kind
    )


def _prices(event: UsageEvent) -> Prices:
    """Return the prices of the re-ratings that are behind an event, else those it stores."""
    tokens = covering.behind(event, Rerating.Kind.MODEL)
    time = covering.behind(event, Rerating.Kind.INSTANCE_TYPE)
    return Prices(
        tokens=_rerated_tokens(tokens, event) if tokens else _card(event),
        time=_rerated_time(time, event) if time else _instance(event),
    )


def _card(event: UsageEvent) -> TokenPrices | None:
    return token_prices(RateCard.every.get(pk=event.rate_card_id)) if event.rate_card_id else None


def _instance(event: UsageEvent) -> InstancePrice | None:
    if not event.instance_rate_id:
        return None
    return instance_price(InstanceRate.objects.get(pk=event.instance_rate_id))


def _rerated_tokens(rerating: Rerating, event: UsageEvent) -> TokenPrices:
    rate = BatchRate.objects.filter(prices=event.rate_card_id).first() if event.rate_card_id else None
    card = RateCard(
        pk=event.rate_card_id,
        currency=rerating.currency,
        starts_at=rerating.starts_at,
        ends_at=rerating.ends_at,
        **{name: batch_rates.less(rate, getattr(rerating, name)) for name in TOKEN_PRICES},
    )
    return token_prices(card)


def _rerated_time(rerating: Rerating, event: UsageEvent) -> InstancePrice:
    rate = InstanceRate(
        pk=event.instance_rate_id,
        currency=rerating.currency,
        starts_at=rerating.starts_at,
        ends_at=rerating.ends_at,
        price_per_hour=rerating.price_per_hour or Decimal(0),
    )
    return instance_price(rate)


def _shown(row: Correction) -> EventCorrection:
    by = row.rerating.proposed_by if row.rerating else row.made_by
    with exact():
        cost = row.new_cost - row.old_cost
    return EventCorrection(
        id=row.correction_id,
        kind=row.kind,
        at=row.made_at,
        by=str(by),
        reason=row.rerating.reason if row.rerating else row.reason,
        quantities=difference(quantities_of(row, "old_"), quantities_of(row, "new_")),
        cost=cost,
        currency=row.currency,
        period=row.period,
        rerating_id=row.rerating_id,
    )
