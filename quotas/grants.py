"""What was granted: it lifts limits from its start to its end, can be given back or revoked, and is told of before it ends."""

from datetime import datetime, timedelta
from decimal import Decimal

from django.db import transaction
from django.db.models import Q, QuerySet
from django.urls import reverse

from marketplace.accounts.access import Actor, Role
from marketplace.core import audit
from marketplace.core.errors import InvalidInput, NotAllowed
from marketplace.core.money import to_text
from marketplace.core.notices import Kind, notify
from marketplace.core.transitions import move
from quotas.approvals import CAPACITY_REVIEW, COST_REVIEW
from quotas.increase_models import Grant, GrantedLimit, IncreaseRequest
from quotas.increase_rights import has_right
from quotas.increase_subjects import Subject, limits_to_lift, subject_of

State = Grant.State
RUNNING = (State.SCHEDULED, State.ACTIVE)
WARNED_DAYS = (7, 1)


class EndsBeforeItBegins(InvalidInput):
    """A grant that would have ended before it could begin grants nothing."""

    code = "ends_before_it_begins"

    def __init__(self) -> None:
        super().__init__("ends_at", "This time has passed. Choose a later end.")


def make(
    request: IncreaseRequest,
    subject: Subject,
    *,
    value: Decimal,
    starts_at: datetime | None,
    ends_at: datetime | None,
    at: datetime,
) -> Grant:
    """Make the grant of a request, in the caller's transaction. Every limit of the subject rises to it for its time."""
    starts_at = max(starts_at or at, at)
    if ends_at is not None and ends_at <= starts_at:
        raise EndsBeforeItBegins
    grant = Grant.objects.create(
        request=request,
        value=value,
        state=State.ACTIVE if starts_at <= at else State.SCHEDULED,
        starts_at=starts_at,
        ends_at=ends_at,
        lapses_at=ends_at,
        created_at=at,
    )
    raised = limits_to_lift(subject, at=at)
    GrantedLimit.objects.bulk_create([GrantedLimit(grant=grant, limit=limit) for limit in raised])
    audit.record(
        "quotas.grant.made",
        subject=grant,
        at=at,
        new={
            "value": to_text(value),
            "starts_at": starts_at.isoformat(),
            "ends_at": ends_at.isoformat() if ends_at else None,
            "request": str(request.pk),
            "limits": [limit.pk for limit in raised],
        },
    )
    return grant


def revoke(grant: Grant, *, by: Actor, at: datetime, reason: str) -> None:
    """End a grant now; what the limits say by themselves holds again. For those who decide, and for who asked for it.

    Raises InvalidInput without a reason, NotAllowed, IllegalTransition when it has ended.
    """
    if not reason.strip():
        raise InvalidInput("reason", "Say why: whoever relies on it reads it.")
    if not may_revoke(grant, actor=by):
        raise NotAllowed("This grant is not yours to revoke.")
    with transaction.atomic():
        _revoke(grant, by=by, at=at, reason=reason)
        if grant.request.requester_id != by.user.pk:
            notify(
                [grant.request.requester],
                text=f"{by.user} revoked what you were granted for {_label(grant)}: {reason}",
                at=at,
                key=f"grant:{grant.pk}:revoked",
                path=_path(grant),
                kind=Kind.LIMITS,
                team=subject_of(grant.request).owner.team,
            )


def may_revoke(grant: Grant, *, actor: Actor) -> bool:
    """Tell whether somebody may revoke a grant."""
    request = grant.request
    if request.requester_id == actor.user.pk or actor.is_platform(Role.FINANCE):
        return True
    return any(has_right(request, actor=actor, level=level) for level in (COST_REVIEW, CAPACITY_REVIEW))


def give_back(subject: Subject, *, above: Decimal, by: Actor, at: datetime) -> None:
    """Revoke the grants of a subject that hold its limits above a value; for a decrease, in its transaction."""
    for grant in running_of(subject).filter(value__gt=above):
        _revoke(grant, by=by, at=at, reason="asked for less")


def running_of(subject: Subject) -> QuerySet[Grant]:
    """Return the grants of a subject that run or are to come, in the order of their keys."""
    of_subject = {f"request__{name}": value for name, value in subject.lookups().items()}
    return Grant.objects.filter(state__in=RUNNING, **of_subject).select_related("request").order_by("pk")


def follow_time(*, at: datetime) -> int:
    """Let the states of grants follow their times, which limits have done already; returns how many changed."""
    begun = Grant.objects.filter(state=State.SCHEDULED, starts_at__lte=at).order_by("pk")
    ended = Grant.objects.filter(state__in=RUNNING, lapses_at__lte=at).order_by("pk")
    count = 0
    for grant in _with_names(begun.exclude(lapses_at__lte=at)):
        _move(grant, to=State.ACTIVE, action="begun", at=at)
        _tell(grant, f"From now on {_label(grant)} has {_value(grant)}.", at=at, key="begun")
        count += 1
    for grant in _with_names(ended):
        _move(grant, to=State.ENDED, action="ended", at=at)
        _tell(
            grant,
            f"What was granted for {_label(grant)} has ended; its limit is as before.",
            at=at,
            key="ended",
        )
        count += 1
    return count


def warn_of_ends(*, at: datetime) -> None:
    """Tell who asked that a grant ends, seven days and one day before; once each."""
    for days in WARNED_DAYS:
        soon = Q(lapses_at__gt=at, lapses_at__lte=at + timedelta(days=days), state=State.ACTIVE)
        for grant in _with_names(Grant.objects.filter(soon).order_by("pk")):
            _warn(grant, days=days, at=at)


def _warn(grant: Grant, *, days: int, at: datetime) -> None:
    """A grant shorter than the warning is not announced to end when it has hardly begun."""
    if grant.lapses_at is None or grant.lapses_at - grant.starts_at <= timedelta(days=days):
        return
    when = f"{grant.lapses_at:%Y-%m-%d %H:%M} UTC"
    text = f"What was granted for {_label(grant)} ends on {when}. You can ask to extend it."
    _tell(grant, text, at=at, key=f"ends-in-{days}-days")


def _revoke(grant: Grant, *, by: Actor, at: datetime, reason: str) -> None:
    # One that was still to begin never does.
    lapses_at = max(at, grant.starts_at)
    move(
        grant,
        Grant.TRANSITIONS,
        to=State.REVOKED,
        action="quotas.grant.revoked",
        at=at,
        by=by.user,
        reason=reason,
        changes={"lapses_at": lapses_at if grant.lapses_at is None else min(lapses_at, grant.lapses_at)},
    )


def _move(grant: Grant, *, to: str, action: str, at: datetime) -> None:
    move(grant, Grant.TRANSITIONS, to=to, action=f"quotas.grant.{action}", at=at)


def _with_names(found: QuerySet[Grant]) -> QuerySet[Grant]:
    return found.select_related(
        "request__requester", "request__organization", "request__cost_center", "request__team", "request__app",
        "request__subscription__app", "request__subscription__team", "request__key",
    )  # fmt: skip


def _tell(grant: Grant, text: str, *, at: datetime, key: str) -> None:
    notify(
        [grant.request.requester],
        text=text,
        at=at,
        key=f"grant:{grant.pk}:{key}",
        path=_path(grant),
        kind=Kind.LIMITS,
        team=subject_of(grant.request).owner.team,
    )


def _label(grant: Grant) -> str:
    return subject_of(grant.request).owner.label


def _value(grant: Grant) -> str:
    return f"{to_text(grant.value)} {grant.request.measure} a {grant.request.window}"


def _path(grant: Grant) -> str:
    return reverse("quotas:increase", args=[grant.request_id])
