"""Setting and ending limits. A tightened limit holds from the very next call."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import Enum
from typing import Any, cast

from django.db import transaction
from django.db.models import Q, QuerySet

from marketplace.accounts.access import Actor, Role
from marketplace.catalog.models import Environment
from marketplace.core import audit
from marketplace.core.errors import Conflict, InvalidInput, NotAllowed
from marketplace.core.money import exact, to_text
from marketplace.core.periods import Window, window_bounds
from metering.queries import MixedCurrencies, usage
from metering.scopes import EVERYTHING
from quotas.incident_models import IncidentLimit
from quotas.models import Limit, LimitCounter
from quotas.owners import Owner

GREATEST = Decimal(10) ** 19


class Right(Enum):
    """What somebody may do with the limits of an owner."""

    NONE = "none"
    TIGHTEN = "tighten"
    SET = "set"


class DefaultLimit(Conflict):
    """The limit came with a plan, a version or the sandbox; it goes with it, and tighter ones can be added."""

    code = "default_limit"

    def __init__(self, limit: Limit) -> None:
        self.limit = limit
        super().__init__(f"This limit came with the {limit.note or 'plan'} and cannot be ended by itself.")


class LimitOfIncident(Conflict):
    """The limit slows an app that runs away; it ends with its incident, which somebody who does not own the app decides."""

    code = "limit_of_incident"

    def __init__(self) -> None:
        super().__init__("This limit came with an incident and ends when that is resumed or closed.")


class LimitEnded(Conflict):
    """The limit has ended already."""

    code = "limit_ended"

    def __init__(self) -> None:
        super().__init__("This limit has ended already.")


@dataclass(frozen=True)
class Terms:
    """What a limit says: how much of what, in which window, and what happens beyond it."""

    measure: str
    window: str
    value: Decimal
    mode: str = Limit.Mode.HARD
    currency: str = ""

    def check(self) -> None:
        """Raise InvalidInput that names the first wrong field."""
        if self.measure not in Limit.Measure.values:
            raise InvalidInput("measure", f"{self.measure!r} is not one of {', '.join(Limit.Measure.values)}")
        if self.window not in Limit.Window.values:
            raise InvalidInput("window", f"{self.window!r} is not one of {', '.join(Limit.Window.values)}")
        if self.mode not in Limit.Mode.values:
            raise InvalidInput("mode", f"{self.mode!r} is not one of {', '.join(Limit.Mode.values)}")
        if not 0 <= self.value <= GREATEST:
            raise InvalidInput("limit", "must not be negative, nor of more than 19 digits")
        if self.measure != Limit.Measure.COST and self.value != self.value.to_integral_value():
            raise InvalidInput("limit", f"counts {self.measure}: it must be a whole number")
        if self.measure == Limit.Measure.COST and not self.currency:
            raise InvalidInput("currency", "is needed for a limit of cost")
        if self.measure != Limit.Measure.COST and self.currency:
            raise InvalidInput("currency", "belongs to a limit of cost only")


def right_of(actor: Actor, owner: Owner) -> Right:
    """Tell what somebody may do with an owner's limits.

    Finance and operators of the platform, or of the owner's organization, set any limit of it; of an app only those
    of the platform, because others pay for it. Creators tighten limits of their team's apps, consumers those of their
    team's subscriptions and keys; what they set themselves they may also raise and end.
    """
    if actor.is_platform(Role.FINANCE, Role.OPERATOR):
        return Right.SET
    answers_for = owner.organization_id in actor.organizations_as(Role.FINANCE, Role.OPERATOR)
    if owner.kind != "app" and answers_for:
        return Right.SET
    app = owner.app
    if app is not None and app.owner_team_id in actor.teams_as(Role.CREATOR):
        return Right.TIGHTEN
    subscription = owner.subscription
    if subscription is not None and subscription.team_id in actor.teams_as(Role.CONSUMER):
        return Right.TIGHTEN
    return Right.NONE


def set_limit(
    owner: Owner,
    *,
    terms: Terms,
    by: Actor,
    at: datetime,
    starts_at: datetime | None = None,
    ends_at: datetime | None = None,
    note: str = "",
) -> tuple[Limit, bool]:
    """Set the limit of an owner for a measure and window; returns it, and whether it is a new row.

    The limit that was set before changes in place, so what is used of the window stays used; one from a plan or a
    version stays beside it, and the tighter of the two holds. A new one starts with what roll-ups say was used in its
    window; calls under way at that moment are not counted. One with a later ``starts_at`` waits until then, and ends
    the present one there. Raises InvalidInput, NotAllowed (see ``right_of``). Locks the owner's row.
    """
    terms.check()
    starts_at = max(starts_at or at, at)
    if ends_at is not None and ends_at <= starts_at:
        raise InvalidInput("ends_at", "must be after the start")
    right = right_of(by, owner)
    if right is Right.NONE:
        raise NotAllowed(f"Limits of this {owner.title.lower()} are not yours to set.")
    with transaction.atomic():
        # Two people who set the same limit at once: the second changes what the first made.
        type(owner.instance).objects.select_for_update(no_key=True).get(pk=owner.pk)
        current = _set_for(owner, terms, at=at).filter(starts_at__lte=at).last()
        if right is Right.TIGHTEN:
            _require_tighter(current, terms, by=by)
        if starts_at > at:
            _end_waiting(owner, terms, by=by, at=at)
        if starts_at > at or current is None:
            limit = _insert(owner, terms, by=by, at=at, starts_at=starts_at, ends_at=ends_at, note=note)
            if current is not None:
                _end(current, ends_at=starts_at, by=by, at=at, reason=f"replaced by limit {limit.pk}")
            return limit, True
        if right is Right.SET:
            # Whoever may only tighten has to respect it from here on, even if they set it first.
            current.created_by = by.user
        _change(current, terms, by=by, at=at, ends_at=ends_at, note=note)
        return current, False


def end_limit(limit: Limit, *, owner: Owner, by: Actor, at: datetime, reason: str = "") -> None:
    """End a limit now. Raises NotAllowed, DefaultLimit, and LimitEnded when somebody was faster."""
    right = right_of(by, owner)
    if right is Right.NONE or (right is Right.TIGHTEN and limit.created_by_id != by.user.pk):
        raise NotAllowed("This limit is not yours to end.")
    if limit.is_default:
        raise DefaultLimit(limit)
    if IncidentLimit.objects.filter(limit=limit).exists():
        raise LimitOfIncident
    with transaction.atomic():
        _end(limit, ends_at=at, by=by, at=at, reason=reason)


def _set_for(owner: Owner, terms: Terms, *, at: datetime) -> QuerySet[Limit]:
    """Limits that were set for this, that hold or are still to begin; those of plans and versions left out."""
    return (
        Limit.objects.select_for_update()
        .filter(
            Q(ends_at=None) | Q(ends_at__gt=at),
            **{f"{owner.kind}_id": owner.pk},
            measure=terms.measure,
            window=terms.window,
            environment=owner.environment,
            is_default=False,
        )
        # What slows an app stays as it is until its incident goes on; others are set beside it.
        .exclude(pk__in=IncidentLimit.objects.values("limit"))
        .order_by("pk")
    )


def _end_waiting(owner: Owner, terms: Terms, *, by: Actor, at: datetime) -> None:
    """Let a later wish replace one that has not begun."""
    for waiting in _set_for(owner, terms, at=at).filter(starts_at__gt=at):
        _end(waiting, ends_at=waiting.starts_at, by=by, at=at, reason="replaced before it began")


def _require_tighter(current: Limit | None, terms: Terms, *, by: Actor) -> None:
    """Somebody who may only tighten neither raises nor softens what another person set."""
    if current is None or current.created_by_id == by.user.pk:
        return
    is_softer = current.mode == Limit.Mode.HARD and terms.mode != Limit.Mode.HARD
    if terms.value > current.limit_value or is_softer:
        raise NotAllowed("You may tighten this limit; raising it is for finance and operators.")


def _insert(
    owner: Owner,
    terms: Terms,
    *,
    by: Actor,
    at: datetime,
    starts_at: datetime,
    ends_at: datetime | None,
    note: str,
) -> Limit:
    limit = Limit.objects.create(
        **{f"{owner.kind}_id": owner.pk},
        measure=terms.measure,
        window=terms.window,
        limit_value=terms.value,
        mode=terms.mode,
        currency=terms.currency,
        environment=owner.environment,
        starts_at=starts_at,
        ends_at=ends_at,
        created_by=by.user,
        note=note,
    )
    if starts_at <= at:
        _count_what_was_used(limit, owner, at=at)
    audit.record("quotas.limit.set", subject=limit, at=at, by=by.user, new=_facts(limit), reason=note)
    return limit


def _change(
    limit: Limit, terms: Terms, *, by: Actor, at: datetime, ends_at: datetime | None, note: str
) -> None:
    old = _facts(limit)
    limit.limit_value, limit.mode, limit.currency = terms.value, terms.mode, terms.currency
    limit.ends_at, limit.note = ends_at, note or limit.note
    new = _facts(limit)
    if new == old:
        return
    limit.save(update_fields=["limit_value", "mode", "currency", "ends_at", "note", "created_by"])
    audit.record("quotas.limit.changed", subject=limit, at=at, by=by.user, old=old, new=new, reason=note)


def _end(limit: Limit, *, ends_at: datetime, by: Actor, at: datetime, reason: str) -> None:
    """End a limit with a conditional UPDATE; the row count says whether it had ended before."""
    old = _facts(limit)
    running = Limit.objects.filter(Q(ends_at=None) | Q(ends_at__gt=at), pk=limit.pk)
    # One that was to end sooner still does; one that was still to begin ends where it starts, and never holds.
    limit.ends_at = max(min(ends_at, limit.ends_at or ends_at), limit.starts_at)
    if not running.update(ends_at=limit.ends_at):
        raise LimitEnded
    audit.record(
        "quotas.limit.ended", subject=limit, at=at, by=by.user, old=old, new=_facts(limit), reason=reason
    )


def _count_what_was_used(limit: Limit, owner: Owner, *, at: datetime) -> None:
    """Begin with what was used in this window already: a monthly budget set on the 20th knows the first 19 days."""
    if limit.measure == Limit.Measure.CONCURRENCY or limit.window == Limit.Window.MINUTE:
        return
    starts_at, ends_at = window_bounds(at, cast(Window, limit.window), limit.time_zone)
    used = _used(limit, owner, from_at=starts_at, to_at=at)
    LimitCounter.objects.create(
        limit=limit,
        window_starts_at=starts_at,
        window_ends_at=ends_at,
        is_hard=limit.mode == Limit.Mode.HARD,
        ceiling=max(limit.limit_value, used),
        spent=used,
    )


def _used(limit: Limit, owner: Owner, *, from_at: datetime, to_at: datetime) -> Decimal:
    """Sum what counts against the limit. Requests and tokens count whatever currency they cost."""
    if to_at <= from_at:
        return Decimal(0)
    asked: dict[str, Any] = {
        "from_at": from_at,
        "to_at": to_at,
        "group_by": ["environment"],
        "visible": EVERYTHING,
    }
    filters = {owner.kind: owner.qualified_id}
    try:
        reports = [usage(**asked, filters=_in_currency(filters, limit.currency))]
    except MixedCurrencies as error:
        reports = [usage(**asked, filters=_in_currency(filters, one)) for one in error.currencies]
    counted = [row for report in reports for row in report.rows if _counts(limit, row.parts[0].id)]
    with exact():
        return sum((Decimal(getattr(row.measures, limit.measure)) for row in counted), Decimal(0))


def _in_currency(filters: dict[str, str], currency: str) -> dict[str, str]:
    return {**filters, "currency": currency} if currency else filters


def _counts(limit: Limit, environment: str | None) -> bool:
    """Tell whether usage of an environment counts: that of the limit, or all but the sandbox."""
    return environment == limit.environment if limit.environment else environment != Environment.SANDBOX


def _facts(limit: Limit) -> dict[str, str | None]:
    return {
        "limit": to_text(limit.limit_value),
        "measure": limit.measure,
        "window": limit.window,
        "mode": limit.mode,
        "currency": limit.currency or None,
        "starts_at": limit.starts_at.isoformat(),
        "ends_at": limit.ends_at.isoformat() if limit.ends_at else None,
    }
