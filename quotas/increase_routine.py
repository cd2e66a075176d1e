"""What time does to requests: undecided ones are reminded of, escalated, and expire. Nothing is approved by waiting."""

from collections.abc import Callable
from datetime import datetime

from django.db.models import QuerySet

from marketplace.accounts import access
from marketplace.accounts.access import Role
from marketplace.core.notices import Kind, notify
from marketplace.core.transitions import IllegalTransition, move
from quotas import increase_rights
from quotas.increase_models import REVIEWS, IncreaseDecision, IncreaseRequest
from quotas.increase_subjects import subject_of
from quotas.increases import decision_path_of, tell_requester

State = IncreaseRequest.State
UNANSWERED = "The question was not answered in time."
ESCALATED_TO = (Role.OPERATOR, Role.FINANCE)


def tend(*, at: datetime) -> int:
    """Remind, escalate and expire what is due; returns how many expired. Safe to run twice."""
    _each_due("remind_at", _remind, at=at)
    _each_due("escalate_at", _escalate, at=at)
    return _each_due("expires_at", _expire, at=at) + _unanswered(at=at)


def _unanswered(*, at: datetime) -> int:
    """Expire requests whose question stood as long as a request may wait; half of that before, remind who was asked."""
    asked = _with_subjects(IncreaseRequest.objects.filter(state=State.NEEDS_INFO)).order_by("pk")
    count = 0
    for request in asked:
        assert request.answer_by and request.stopped_at, "held by increase_question_stops_clock"
        if request.answer_by <= at:
            told = "The question about your request for {} was not answered in time."
            _end(request, at, reason=UNANSWERED, told=told)
            count += 1
        elif request.stopped_at + (request.answer_by - request.stopped_at) / 2 <= at:
            _remind_asked(request, at)
    return count


def _remind_asked(request: IncreaseRequest, at: datetime) -> None:
    text = (
        f"A question about your request for {subject_of(request).owner.label} waits for your answer. "
        f"Without one it expires on {request.answer_by:%Y-%m-%d %H:%M} UTC."
    )
    count = request.decisions.filter(verdict=IncreaseDecision.Verdict.ASKED).count()
    tell_requester(request, text, at=at, key=f"asked-{count}-reminded")


def _each_due(column: str, act: Callable[[IncreaseRequest, datetime], None], *, at: datetime) -> int:
    """Act on every request under review whose date has come; those with an open question wait for its answer."""
    due = _with_subjects(IncreaseRequest.objects.filter(state__in=REVIEWS, **{f"{column}__lte": at}))
    count = 0
    for request in due.order_by("pk"):
        act(request, at)
        count += 1
    return count


def _with_subjects(requests: QuerySet[IncreaseRequest]) -> QuerySet[IncreaseRequest]:
    return requests.select_related(
        "requester",
        "organization",
        "cost_center",
        "team",
        "app",
        "subscription__app",
        "subscription__team",
        "key",
    )


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
    told = "Nobody decided your request for {} in time."
    _end(request, at, reason="Nobody decided in time.", told=told)


def _end(request: IncreaseRequest, at: datetime, *, reason: str, told: str) -> None:
    try:
        move(
            request,
            IncreaseRequest.TRANSITIONS,
            to=State.EXPIRED,
            action="quotas.increase.expired",
            at=at,
            reason=reason,
            changes={"closed_at": at},
        )
    except IllegalTransition:
        return  # decided or answered at this moment
    text = f"{told.format(subject_of(request).owner.label)} It has expired; ask again."
    tell_requester(request, text, at=at, key="expired")
