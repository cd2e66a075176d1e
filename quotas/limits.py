"""Setting and ending limits. A tightened limit holds from the very next call."""

from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from enum import Enum

from django.db import transaction
from django.db.models import F, Q, QuerySet

from marketplace.accounts.access import Actor, Role
from marketplace.accounts.models import User
from marketplace.core import audit
from marketplace.core.errors import Conflict, InvalidInput, NotAllowed
from marketplace.core.money import to_text
from marketplace.core.periods import check_zone
from metering.models import LanguageModel
from quotas import lifts
from quotas.budget_history import follow
from quotas.models import Limit
from quotas.owners import Owner
from quotas.used_before import count_what_was_used

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
    """What a limit says: how much of what, of which class of models, in which window, and what happens beyond it.

    ``time_zone`` says where days and months begin; empty: as it was, or in UTC for a new limit.
    """

    measure: str
    window: str
    value: Decimal
    mode: str = Limit.Mode.HARD
    currency: str = ""
    model_class: str = ""
    time_zone: str = ""

    def check(self) -> None:
        """Raise InvalidInput that names the first wrong field."""
        if self.measure not in Limit.Measure.values:
            raise InvalidInput("measure", f"{self.measure!r} is not one of {', '.join(Limit.Measure.values)}")
        if self.window not in Limit.Window.values:
            raise InvalidInput("window", f"{self.window!r} is not one of {', '.join(Limit.Window.values)}")
        if self.mode not in Limit.Mode.values:
            raise InvalidInput("mode", f"{self.mode!r} is not one of {', '.join(Limit.Mode.values)}")
        if self.model_class not in ("", *LanguageModel.ModelClass.values):
            classes = ", ".join(LanguageModel.ModelClass.values)
            raise InvalidInput("model_class", f"{self.model_class!r} is not one of {classes}")
        if self.time_zone:
            check_zone(self.time_zone)
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
    window; calls under way at that moment are not counted. One with a later ``starts_at`` counts from now on, refuses
    from then on, and ends the present one there; what is scheduled for later still stays. Raises InvalidInput,
    NotAllowed (see ``right_of``). Locks the owner's row.
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
        line = _Timeline(list(_set_for(owner, terms, at=at)))
        before = line.at(starts_at)
        if right is Right.TIGHTEN:
            _require_tighter(before, terms, ends_at=ends_at, by=by)
        ends_at = line.until(starts_at, ends_at)
        if before is not None and before.starts_at <= at == starts_at and _same_windows(before, terms):
            if right is Right.SET:
                # Whoever may only tighten has to respect it from here on, even if they set it first.
                before.created_by = by.user
            _change(before, terms, by=by, at=at, ends_at=ends_at, note=note)
            return before, False
        if before is not None:
            _end(before, ends_at=starts_at, by=by, at=at, reason=note or "replaced by another limit")
            terms = replace(terms, time_zone=terms.time_zone or before.time_zone)
        # What somebody who may only tighten puts in the place of another's stays the other's.
        set_by = before.created_by if before is not None and right is Right.TIGHTEN else by.user
        new = _insert(
            owner, terms, set_by=set_by, by=by, at=at, starts_at=starts_at, ends_at=ends_at, note=note
        )
        return new, True


@dataclass(frozen=True)
class _Timeline:
    """The limits that were set for one thing, in order of time: at most one of them is in force at any moment."""

    limits: list[Limit]

    def at(self, moment: datetime) -> Limit | None:
        return next((one for one in self.limits if _holds(one, moment)), None)

    def until(self, starts_at: datetime, ends_at: datetime | None) -> datetime | None:
        """Return where a limit from ``starts_at`` has to end: at its own end, or where the next one begins."""
        ends = [one.starts_at for one in self.limits if one.starts_at > starts_at]
        return min([*ends, *([ends_at] if ends_at else [])], default=None)


def _holds(limit: Limit, moment: datetime) -> bool:
    return limit.starts_at <= moment and (limit.ends_at is None or moment < limit.ends_at)


def _same_windows(limit: Limit, terms: Terms) -> bool:
    """A limit whose days begin elsewhere has other windows: a new one, that knows what was used in them."""
    return terms.time_zone in ("", limit.time_zone)


def end_limit(limit: Limit, *, owner: Owner, by: Actor, at: datetime, reason: str = "") -> None:
    """End a limit now. One that was still to begin never does, and what it would have replaced goes on.

    Raises NotAllowed, DefaultLimit, and LimitEnded when somebody was faster.
    """
    right = right_of(by, owner)
    if right is Right.NONE or (right is Right.TIGHTEN and limit.created_by_id != by.user.pk):
        raise NotAllowed("This limit is not yours to end.")
    if limit.is_default:
        raise DefaultLimit(limit)
    if limit.is_brake:
        raise LimitOfIncident
    with transaction.atomic():
        type(owner.instance).objects.select_for_update(no_key=True).get(pk=owner.pk)
        until = limit.ends_at
        _end(limit, ends_at=at, by=by, at=at, reason=reason)
        if limit.starts_at > at:
            _go_on(limit, until=until, by=by, at=at)


def _set_for(owner: Owner, terms: Terms, *, at: datetime) -> QuerySet[Limit]:
    """Limits that were set for this, that hold or will hold, by their start; those of plans left out."""
    return (
        Limit.objects.select_for_update()
        .filter(
            Q(ends_at=None) | Q(ends_at__gt=at),
            **{f"{owner.kind}_id": owner.pk},
            measure=terms.measure,
            window=terms.window,
            model_class=terms.model_class,
            environment=owner.environment,
            is_default=False,
            is_brake=False,
        )
        # What slows an app stays as it is until its incident goes on; others are set beside it.
        .exclude(ends_at=F("starts_at"))
        .order_by("starts_at", "pk")
    )


def _go_on(limit: Limit, *, until: datetime | None, by: Actor, at: datetime) -> None:
    """Let the limit that was to end where this one begins hold on, as nothing takes its place."""
    same = ("measure", "window", "model_class", "environment", f"{limit.owner_kind}_id")
    before = Limit.objects.filter(
        **{field: getattr(limit, field) for field in same},
        is_default=False,
        is_brake=False,
        ends_at=limit.starts_at,
    ).exclude(starts_at=F("ends_at"))
    for one in before.select_for_update():
        old = _facts(one)
        one.ends_at = until
        one.save(update_fields=["ends_at"])
        reason = "what was to replace it was called off"
        audit.record(
            "quotas.limit.changed", subject=one, at=at, by=by.user, old=old, new=_facts(one), reason=reason
        )


def _require_tighter(current: Limit | None, terms: Terms, *, ends_at: datetime | None, by: Actor) -> None:
    """Somebody who may only tighten neither raises, softens, shortens nor moves what another person set."""
    if current is None or current.created_by_id == by.user.pk:
        return
    is_softer = current.mode == Limit.Mode.HARD and terms.mode != Limit.Mode.HARD
    is_shorter = ends_at is not None and (current.ends_at is None or ends_at < current.ends_at)
    is_elsewhere = not _same_windows(current, terms)
    if terms.value > current.limit_value or is_softer or is_shorter or is_elsewhere:
        raise NotAllowed("You may tighten this limit; raising it is for finance and operators.")


def _insert(
    owner: Owner,
    terms: Terms,
    *,
    set_by: User | None,
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
        model_class=terms.model_class,
        time_zone=terms.time_zone or "UTC",
        environment=owner.environment,
        starts_at=starts_at,
        ends_at=ends_at,
        created_by=set_by,
        note=note,
    )
    count_what_was_used(limit, owner, at=at)
    audit.record("quotas.limit.set", subject=limit, at=at, by=by.user, new=_facts(limit), reason=note)
    follow(limit, by=by.user, at=at, reason=note)
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
    lifts.overrule(limit, at=at)
    audit.record("quotas.limit.changed", subject=limit, at=at, by=by.user, old=old, new=new, reason=note)
    follow(limit, by=by.user, at=at, reason=note)


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
    follow(limit, by=by.user, at=at, reason=reason)


def _facts(limit: Limit) -> dict[str, str | None]:
    return {
        "limit": to_text(limit.limit_value),
        "measure": limit.measure,
        "window": limit.window,
        "mode": limit.mode,
        "currency": limit.currency or None,
        "model_class": limit.model_class or None,
        "time_zone": limit.time_zone,
        "starts_at": limit.starts_at.isoformat(),
        "ends_at": limit.ends_at.isoformat() if limit.ends_at else None,
    }
