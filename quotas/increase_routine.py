"""What time does to requests: undecided ones are reminded of, escalated, and expire. Nothing is approved by waiting."""

from collections.abc import Callable
from datetime import datetime

from marketplace.accounts import access
from marketplace.accounts.access import Role
from marketplace.core.notices import Kind, notify
from marketplace.core.transitions import IllegalTransition, move
from quotas import increase_rights
from quotas.increase_models import REVIEWS, IncreaseRequest
from quotas.increase_subjects import subject_of
from quotas.increases import decision_path_of, tell_requester

State = IncreaseRequest.State
ESCALATED_TO = (Role.OPERATOR, Role.FINANCE)


def tend(*, at: datetime) -> int:
    """Remind, escalate and expire what is due; returns how many expired. Safe to run twice."""
    _each_due("remind_at", _remind, at=at)
    _each_due("escalate_at", _escalate, at=at)
    return _each_due("expires_at", _expire, at=at)


def _each_due(column: str, act: Callable[[IncreaseRequest, datetime], None], *, at: datetime) -> int:
    """Act on every request under review whose date has come; those with an open question wait for its answer."""
    due = IncreaseRequest.objects.filter(state__in=REVIEWS, **{f"{column}__lte": at}).select_related(
        "requester",
        "organization",
        "cost_center",
        "team",
        "app",
        "subscription__app",
        "subscription__team",
        "key",
    )
    count = 0
    for request in due.order_by("pk"):
        act(request, at)
        count += 1
    return count


def _remind(request: IncreaseRequest, at: datetime) -> None:
    notify(
        increase_rights.deciders(request, level=request.state),
        text=f"Still undecided: {request.requester}'s {request} for {subject_of(request).owner.label}.",
        at=at,
        key=f"increase:{request.pk}:{request.state}:reminded",
        path=decision_path_of(request),
        kind=Kind.DECISIONS,
    )


def _escalate(request: IncreaseRequest, at: datetime) -> None:
    notify(
        access.platform_people(*ESCALATED_TO).exclude(pk=request.requester_id),
        text=(
            f"Nobody has decided {request.requester}'s {request} for {subject_of(request).owner.label}. "
            f"It expires on {request.expires_at:%Y-%m-%d %H:%M} UTC."
        ),
        at=at,
        key=f"increase:{request.pk}:escalated",
        path=decision_path_of(request),
        kind=Kind.DECISIONS,
    )


def _expire(request: IncreaseRequest, at: datetime) -> None:
    try:
        move(
            request,
            IncreaseRequest.TRANSITIONS,
            to=State.EXPIRED,
            action="quotas.increase.expired",
            at=at,
            reason="Nobody decided in time.",
            changes={"closed_at": at},
        )
    except IllegalTransition:
        return  # decided at this moment
    text = f"Nobody decided your request for {subject_of(request).owner.label} in time. It has expired; ask again."
    tell_requester(request, text, at=at, key="expired")
