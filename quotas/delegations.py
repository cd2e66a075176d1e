"""Deciding for somebody else: dated, in no circle, and asked for at the moment of the decision.

Rights travel along delegations that are in force: who decides for Ann, and for whom somebody else decides, hands on Ann's
right too. So no chain may come back to where it began, in any moment and any kind of review.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import IntegrityError, connection, transaction
from django.db.models import Q, QuerySet

from marketplace.accounts import access
from marketplace.accounts.access import Actor, Role
from marketplace.accounts.models import User
from marketplace.core import audit
from marketplace.core.errors import Conflict, InvalidInput
from marketplace.core.notices import Kind, notify
from quotas.models import Delegation

Scope = Delegation.Scope
LONGEST = timedelta(days=366)
# Any number will do, as long as everybody who makes a delegation uses the same.
LOCK = 7_301_222
# Who may have requests to decide on, and so something to delegate.
DECIDING_ROLES = frozenset({Role.APPROVER, Role.FINANCE, Role.OPERATOR})


class Circle(InvalidInput):
    """The delegation would lead back to where it begins."""

    code = "delegation_circle"

    def __init__(self, path: Sequence[User]) -> None:
        self.path = tuple(path)
        names = " → ".join(str(person) for person in path)
        super().__init__(
            "delegate", f"This leads in a circle: {names}. Choose somebody who is there, or other days."
        )


class AlreadyDelegated(Conflict):
    """The person has a delegate for some of these days already."""

    code = "already_delegated"

    def __init__(self, delegator: User) -> None:
        super().__init__(f"Somebody decides for {delegator} in these days already. End that first.")


class DelegationEnded(Conflict):
    """The delegation has ended already."""

    code = "delegation_ended"

    def __init__(self) -> None:
        super().__init__("This delegation has ended already.")


@dataclass(frozen=True)
class Standing:
    """In whose place somebody may decide now, and in which kind of review. ``path`` are the people in between, both included."""

    delegator: User
    scopes: frozenset[str]
    path: tuple[User, ...]

    def covers(self, level: str) -> bool:
        """Tell whether it is for this kind of review."""
        return bool(self.scopes & {Scope.ALL, level})


def delegate(
    delegator: User,
    *,
    to: User,
    scope: str,
    starts_at: datetime,
    ends_at: datetime,
    by: Actor,
    at: datetime,
    note: str = "",
) -> Delegation:
    """Let somebody decide for ``delegator``; who does it for another person has to be an operator of the platform.

    One at a time is made (an advisory lock), so that two which close a circle together do not both pass. Raises
    InvalidInput by field, Circle, AlreadyDelegated, NotAllowed.
    """
    _require_may_set(delegator, by=by)
    _check(delegator, to=to, scope=scope, starts_at=starts_at, ends_at=ends_at, at=at)
    made = Delegation(
        delegator=delegator,
        delegate=to,
        scope=scope,
        starts_at=max(starts_at, at),
        ends_at=ends_at,
        note=note,
        created_by=by.user,
        created_at=at,
    )
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [LOCK])
        circle = find_circle(made, _overlapping(made))
        if circle:
            raise Circle(circle)
        _insert(made)
        audit.record(
            "quotas.delegation.made",
            subject=made,
            at=at,
            by=by.user,
            acting_for=delegator if by.user.pk != delegator.pk else None,
            new=_facts(made),
            reason=note,
        )
        _tell(made, by=by, at=at)
    return made


def end(delegation: Delegation, *, by: Actor, at: datetime) -> None:
    """End a delegation now; one that has not begun never does. Raises NotAllowed, DelegationEnded when it had ended."""
    _require_may_set(delegation.delegator, by=by)
    old = _facts(delegation)
    ends_at = max(at, delegation.starts_at)
    with transaction.atomic():
        running = Delegation.objects.filter(pk=delegation.pk, ends_at__gt=at)
        if not running.update(ends_at=ends_at, ended_by=by.user):
            raise DelegationEnded
        delegation.ends_at, delegation.ended_by = ends_at, by.user
        audit.record(
            "quotas.delegation.ended",
            subject=delegation,
            at=at,
            by=by.user,
            old=old,
            new=_facts(delegation),
        )
        notify(
            [delegation.delegate],
            text=f"You no longer decide for {delegation.delegator}.",
            at=at,
            key=f"delegation:{delegation.pk}:ended",
            kind=Kind.SECURITY,
        )


def standings(person: User, *, at: datetime) -> list[Standing]:
    """Return in whose place somebody may decide now, directly or along a chain (one query)."""
    in_force = Delegation.objects.filter(starts_at__lte=at, ends_at__gt=at)
    return reach(person, in_force.select_related("delegator", "delegate").order_by("pk"))


def reach(person: User, delegations: Iterable[Delegation]) -> list[Standing]:
    """Follow delegations back from a delegate to everybody whose right they hand on. Pure; ends also in a circle."""
    to: dict[int, list[Delegation]] = {}
    for one in delegations:
        to.setdefault(one.delegate_id, []).append(one)
    found: dict[int, Standing] = {}
    waiting = [Standing(person, frozenset(Scope.values), (person,))]
    while waiting:
        here = waiting.pop(0)
        for one in to.get(here.delegator.pk, ()):
            scopes = _shared(here.scopes, one.scope)
            known = found.get(one.delegator_id)
            if one.delegator_id == person.pk or not scopes or (known and scopes <= known.scopes):
                continue
            merged = scopes | (known.scopes if known else frozenset())
            next_one = Standing(one.delegator, merged, (one.delegator, *here.path))
            found[one.delegator_id] = next_one
            waiting.append(next_one)
    return list(found.values())


def find_circle(new: Delegation, others: Iterable[Delegation]) -> tuple[User, ...]:
    """Return the people of the circle that ``new`` would close, from its delegator back to them; empty when there is none.

    Pure. Only what overlaps in time at every step, and in the kind of review, makes a circle.
    """
    of: dict[int, list[Delegation]] = {}
    for one in others:
        of.setdefault(one.delegator_id, []).append(one)
    waiting: list[tuple[User, datetime, datetime, frozenset[str], tuple[User, ...]]] = [
        (new.delegate, new.starts_at, new.ends_at, _as_set(new.scope), (new.delegator, new.delegate))
    ]
    while waiting:
        person, starts_at, ends_at, scopes, path = waiting.pop(0)
        for one in of.get(person.pk, ()):
            common = (max(starts_at, one.starts_at), min(ends_at, one.ends_at))
            shared = _shared(scopes, one.scope)
            if common[0] >= common[1] or not shared:
                continue
            if one.delegate_id == new.delegator_id:
                return (*path, one.delegate)
            if one.delegate_id not in {known.pk for known in path}:
                waiting.append((one.delegate, *common, shared, (*path, one.delegate)))
    return ()


def visible_delegations(actor: Actor) -> QuerySet[Delegation]:
    """Delegations by and to the person; all for operators of the platform."""
    found = Delegation.objects.select_related("delegator", "delegate", "created_by", "ended_by")
    if actor.is_platform(Role.OPERATOR):
        return found
    return found.filter(Q(delegator=actor.user) | Q(delegate=actor.user))


def may_delegate(actor: Actor) -> bool:
    """Tell whether somebody has decisions to hand on."""
    return bool(actor.roles & DECIDING_ROLES) or actor.user.is_superuser


def possible_delegators(actor: Actor) -> QuerySet[User]:
    """Whose delegations somebody may set: their own; for operators of the platform those of everybody who decides."""
    deciding = User.objects.filter(is_active=True, memberships__role__in=DECIDING_ROLES).distinct()
    if not actor.is_platform(Role.OPERATOR):
        deciding = deciding.filter(pk=actor.user.pk)
    return deciding.order_by("first_name", "last_name", "email")


def possible_delegates(delegators: QuerySet[User]) -> QuerySet[User]:
    """Colleagues of these people, in one of their organizations."""
    homes = User.objects.filter(pk__in=delegators.values("pk")).values("memberships__organization")
    colleagues = User.objects.filter(is_active=True, memberships__organization__in=homes)
    return colleagues.distinct().order_by("first_name", "last_name", "email")


def _require_may_set(delegator: User, *, by: Actor) -> None:
    access.require(
        delegator.pk == by.user.pk or by.is_platform(Role.OPERATOR),
        message="Only they themselves, or an operator of the platform, say who decides for somebody.",
    )


def _check(
    delegator: User, *, to: User, scope: str, starts_at: datetime, ends_at: datetime, at: datetime
) -> None:
    if scope not in Scope.values:
        raise InvalidInput("scope", f"{scope!r} is not one of {', '.join(Scope.values)}")
    if to.pk == delegator.pk:
        raise InvalidInput("delegate", "Nobody delegates to themselves.")
    if not to.is_active:
        raise InvalidInput("delegate", f"{to} cannot sign in any more.")
    if ends_at <= max(starts_at, at):
        raise InvalidInput("ends_at", "must be after the start, and in the future")
    if ends_at - starts_at > LONGEST:
        raise InvalidInput("ends_at", "must be within a year of the start", limit=LONGEST.days)
    if not access.actor_for(delegator).roles & DECIDING_ROLES and not delegator.is_superuser:
        raise InvalidInput("delegator", f"{delegator} decides nothing that could be delegated.")
    if not _share_an_organization(delegator, to):
        raise InvalidInput("delegate", f"{to} belongs to no organization of {delegator}.")


def _share_an_organization(one: User, other: User) -> bool:
    homes = one.memberships.values("organization")
    return other.memberships.filter(organization__in=homes).exists()


def _overlapping(new: Delegation) -> list[Delegation]:
    overlapping = Delegation.objects.filter(starts_at__lt=new.ends_at, ends_at__gt=new.starts_at)
    return list(overlapping.select_related("delegator", "delegate").order_by("pk"))


def _insert(made: Delegation) -> None:
    try:
        with transaction.atomic():
            made.save(force_insert=True)
    except IntegrityError as error:
        if "delegation_one_at_a_time" in str(error):
            raise AlreadyDelegated(made.delegator) from error
        raise


def _tell(made: Delegation, *, by: Actor, at: datetime) -> None:
    days = f"{made.starts_at:%-d %b %Y, %H:%M} to {made.ends_at:%-d %b %Y, %H:%M} UTC"
    notify(
        [made.delegate],
        text=f"You decide for {made.delegator} from {days}: {made.get_scope_display().lower()}.",
        at=at,
        key=f"delegation:{made.pk}:made",
        kind=Kind.SECURITY,
    )
    if by.user.pk != made.delegator_id:
        notify(
            [made.delegator],
            text=f"{made.delegate} decides for you from {days}; {by.user} set it.",
            at=at,
            key=f"delegation:{made.pk}:set-for-you",
            kind=Kind.SECURITY,
        )


def _as_set(scope: str) -> frozenset[str]:
    return frozenset(Scope.values) if scope == Scope.ALL else frozenset({scope})


def _shared(scopes: frozenset[str], scope: str) -> frozenset[str]:
    return scopes & _as_set(scope)


def _facts(one: Delegation) -> dict[str, str]:
    return {
        "delegator": one.delegator.email,
        "delegate": one.delegate.email,
        "scope": one.scope,
        "starts_at": one.starts_at.isoformat(),
        "ends_at": one.ends_at.isoformat(),
    }
