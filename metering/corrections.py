"""Corrections of usage: an event's quantities are replaced, or it is taken back, by a linked row of its own.

The event stays as it is. The difference to what it counts as now is one more event with the same time and attribution,
through the same staging as all others, so roll-ups remain the sum of events; who did it and why is kept beside it.
A correction is rated at the prices its event was rated with (or re-rated), and billed in the first month that is open.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from django.db import IntegrityError, connection, transaction
from msgspec.structs import replace as with_quantities

from marketplace.accounts import access
from marketplace.accounts.access import Actor
from marketplace.core import audit
from marketplace.core.errors import Conflict, FieldError, InvalidInput
from marketplace.core.money import exact, to_text
from metering import correction_rows, periods
from metering.corrected import (
    QUANTITIES,
    Prices,
    Standing,
    difference,
    may_correct,
    quantities_of,
    standing_and_prices,
)
from metering.models import Correction, UsageEvent
from metering.partitions import PeriodArchived, archived
from metering.rating import Quantities, rate

Kind = Correction.Kind
MOST = 10**12
LONGEST_REASON = 2000
LONGEST_KEY = 255
WHO_MAY = "Usage is corrected by operators, and by creators of the app's team where the app reported it."


class NothingToChange(Conflict):
    """The event counts as this already."""

    code = "nothing_to_change"

    def __init__(self) -> None:
        super().__init__("Nothing would change: the event counts as this already.")


class AlreadyVoid(Conflict):
    """The event was taken back before."""

    code = "already_void"

    def __init__(self) -> None:
        super().__init__("This event was taken back already. An amendment can give it quantities again.")


class NotCorrectable(Conflict):
    """A correction is changed by another correction of its event."""

    code = "not_correctable"

    def __init__(self, event_id: str) -> None:
        self.event_id = event_id
        super().__init__(f"This is a correction itself. Correct the event that it corrects: {event_id}.")


class KeyReused(Conflict):
    """An idempotency key names one correction, and this is another."""

    code = "idempotency_key_reused"

    def __init__(self) -> None:
        super().__init__("This idempotency key was used for another correction.")


@dataclass(frozen=True)
class Change:
    """The quantities that an amendment names, and what the provider charged; what is not named stays."""

    quantities: Mapping[str, int] = field(default_factory=dict)
    provider_cost: Decimal | None = None


@dataclass(frozen=True)
class Made:
    """A correction with its event; ``is_new`` is False when it had been made before and nothing was done now."""

    correction: Correction
    event: UsageEvent
    is_new: bool

    @property
    def old(self) -> Quantities:
        return quantities_of(self.correction, "old_")

    @property
    def new(self) -> Quantities:
        return quantities_of(self.correction, "new_")

    @property
    def difference(self) -> Quantities:
        return difference(self.old, self.new)

    @property
    def cost_difference(self) -> Decimal:
        with exact():
            return self.correction.new_cost - self.correction.old_cost


@dataclass(frozen=True)
class Preview:
    """What an event counts as now, what it would count as, and the month that would bill the difference."""

    old: Standing
    new: Standing
    period: date

    @property
    def cost_difference(self) -> Decimal:
        with exact():
            return self.new.cost - self.old.cost


def amend(
    event: UsageEvent, *, change: Change, reason: str, by: Actor, at: datetime, idempotency_key: str = ""
) -> Made:
    """Replace the quantities of an event. A repetition, by key or by the same words, returns the first result.

    ``event`` comes from ``corrected.find_event``. An event that was taken back may be amended: it counts again.
    Raises NotAllowed, InvalidInput by field, NothingToChange, NotCorrectable, KeyReused, and PeriodArchived for an
    event whose month must be restored first. However old an event is, what bounds its correction is the archive.
    """
    return _correct(
        event, Kind.AMEND, change=change, reason=reason, by=by, at=at, idempotency_key=idempotency_key
    )


def void(event: UsageEvent, *, reason: str, by: Actor, at: datetime, idempotency_key: str = "") -> Made:
    """Take an event back: all it counts as becomes zero. Raises AlreadyVoid, else as ``amend`` does."""
    return _correct(
        event, Kind.VOID, change=None, reason=reason, by=by, at=at, idempotency_key=idempotency_key
    )


def preview(event: UsageEvent, *, change: Change | None, by: Actor) -> Preview:
    """Say what an amendment, or without a change a void, would do, and do nothing. Raises as ``amend`` does."""
    _require_right(event, by)
    with transaction.atomic():
        closed = periods.lock_for_recording()
    old, prices = standing_and_prices(event)
    return Preview(old, _after(event, old, prices, change), periods.billed_in(event.occurred_at, closed))


def _correct(
    event: UsageEvent,
    kind: Kind,
    *,
    change: Change | None,
    reason: str,
    by: Actor,
    at: datetime,
    idempotency_key: str,
) -> Made:
    _require_right(event, by)
    _check(reason, change, idempotency_key)
    with transaction.atomic():
        closed = periods.lock_for_recording()
        if periods.month(event.occurred_at) in archived():
            raise PeriodArchived(periods.month(event.occurred_at))
        _lock(event)
        earlier = _same_key(by, idempotency_key)
        if earlier is not None:
            return _told_again(earlier, event, kind, change, reason)
        old, prices = standing_and_prices(event)
        if kind == Kind.VOID and old.is_void:
            raise AlreadyVoid
        new = _after(event, old, prices, change)
        if _same(old, new):
            return _repeated(event, kind, reason, by)
        correction = _write(
            event, kind, old, new, closed=closed, reason=reason, by=by, at=at, key=idempotency_key
        )
        return Made(correction, event, is_new=True)


def _require_right(event: UsageEvent, by: Actor) -> None:
    access.require(may_correct(by, event.attribution), message=WHO_MAY)
    if event.corrects is not None:
        raise NotCorrectable(event.corrects)


def _check(reason: str, change: Change | None, key: str) -> None:
    errors = []
    if not reason.strip() or len(reason) > LONGEST_REASON or "\0" in reason:
        errors.append(FieldError("reason", f"Say why, in at most {LONGEST_REASON} characters."))
    if len(key) > LONGEST_KEY or "\0" in key:
        message = f"An idempotency key has at most {LONGEST_KEY} characters."
        errors.append(FieldError("idempotency_key", message))
    for name, value in (change.quantities if change else {}).items():
        if not 0 <= value <= MOST:
            errors.append(
                FieldError(
                    name, f"Give a whole number from 0 to {MOST}.", limit=str(0 if value < 0 else MOST)
                )
            )
    if change and change.provider_cost is not None and change.provider_cost < 0:
        errors.append(FieldError("provider_cost", "It is not negative.", limit="0"))
    if errors:
        raise InvalidInput.several(errors)


def _lock(event: UsageEvent) -> None:
    """Take turns with everybody who corrects this event: the second of two looks at what the first one left."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT FROM metering_eventkey WHERE app_id = %s AND event_id = %s FOR UPDATE",
            [event.app_id, event.event_id],
        )


def _after(event: UsageEvent, old: Standing, prices: Prices, change: Change | None) -> Standing:
    """Return what the event would count as, rated at its own prices. Raises InvalidInput by field."""
    if change is None:
        nothing = Quantities(**dict.fromkeys(QUANTITIES, 0))
        return Standing(nothing, Decimal(0), None if old.provider_cost is None else Decimal(0))
    quantities = with_quantities(old.quantities, **change.quantities)
    _check_parts(quantities, has_model=event.attribution.model_id is not None)
    if change.provider_cost is not None and old.provider_cost is None:
        message = "The event told no cost of its provider, so there is none to replace."
        raise InvalidInput("provider_cost", message)
    told = old.provider_cost if change.provider_cost is None else change.provider_cost
    return Standing(quantities, rate(quantities, prices.tokens, prices.time).cost, told)


def _check_parts(used: Quantities, *, has_model: bool) -> None:
    if used.cached_input_tokens + used.cache_write_tokens > used.input_tokens:
        message = "Cached and cache-write tokens are parts of the input tokens."
        raise InvalidInput("cached_input_tokens", message, limit=used.input_tokens)
    if used.reasoning_tokens > used.output_tokens:
        message = "Reasoning tokens are part of the output tokens."
        raise InvalidInput("reasoning_tokens", message, limit=used.output_tokens)
    if used.total_tokens and not has_model:
        raise InvalidInput("input_tokens", "Tokens have a price only with a model; this event names none.")


def _same(old: Standing, new: Standing) -> bool:
    return (old.quantities, old.provider_cost) == (new.quantities, new.provider_cost)


# --- repetitions -----------------------------------------------------------------------------------------


def _same_key(by: Actor, key: str) -> Correction | None:
    return Correction.objects.filter(made_by=by.user, idempotency_key=key).first() if key else None


def _told_again(
    earlier: Correction, event: UsageEvent, kind: Kind, change: Change | None, reason: str
) -> Made:
    """Return what an idempotency key stands for, if this is what it was used for."""
    asked = change.quantities if change else {}
    told = change.provider_cost if change else None
    if (
        (earlier.app_id, earlier.event_id, earlier.kind, earlier.reason)
        != (event.app_id, event.event_id, kind, reason)
        or any(getattr(earlier, f"new_{name}") != value for name, value in asked.items())
        or (told is not None and earlier.new_provider_cost != told)
    ):
        raise KeyReused
    return Made(earlier, event, is_new=False)


def _repeated(event: UsageEvent, kind: Kind, reason: str, by: Actor) -> Made:
    """Return the newest correction if the same person said the same of it. Raises NothingToChange."""
    newest = Correction.objects.filter(app=event.app_id, event_id=event.event_id).order_by("-ordinal").first()
    if newest is None or (newest.kind, newest.reason, newest.made_by_id) != (kind, reason, by.user.pk):
        raise NothingToChange
    return Made(newest, event, is_new=False)


# --- writing ---------------------------------------------------------------------------------------------


def _write(
    event: UsageEvent,
    kind: Kind,
    old: Standing,
    new: Standing,
    *,
    closed: frozenset[date],
    reason: str,
    by: Actor,
    at: datetime,
    key: str,
) -> Correction:
    correction = Correction(
        app=event.app,
        event_id=event.event_id,
        ordinal=old.corrections + 1,
        correction_id=correction_rows.id_for(event.event_id, ordinal=old.corrections + 1),
        kind=kind,
        made_at=at,
        made_by=by.user,
        reason=reason,
        idempotency_key=key,
        period=periods.billed_in(event.occurred_at, closed),
        currency=event.currency,
        old_cost=old.cost,
        old_provider_cost=old.provider_cost,
        new_cost=new.cost,
        new_provider_cost=new.provider_cost,
        **{f"old_{name}": getattr(old.quantities, name) for name in QUANTITIES},
        **{f"new_{name}": getattr(new.quantities, name) for name in QUANTITIES},
    )
    correction_rows.insert(correction, event)
    try:
        with transaction.atomic():
            correction.save(force_insert=True)
    except IntegrityError as error:
        raise KeyReused from error
    audit.record(
        "metering.event.voided" if kind == Kind.VOID else "metering.event.amended",
        subject=correction,
        at=at,
        by=by.user,
        old=_as_json(event, old),
        new=_as_json(event, new) | {"correction": correction.correction_id},
        reason=reason,
    )
    return correction


def _as_json(event: UsageEvent, one: Standing) -> dict[str, Any]:
    return {
        "app": event.app.slug,
        "event": event.event_id,
        **{name: getattr(one.quantities, name) for name in QUANTITIES},
        "cost": to_text(one.cost),
        "currency": event.currency,
    }
