"""Deciding increase requests: one decision for each level, by somebody else than who asked, once.

Every function takes the request as its caller saw it. When its state has moved on meanwhile, somebody else was faster;
AlreadyDecided says who and what, so that nobody decides a level that they have not looked at.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db import transaction

from marketplace.accounts import access
from marketplace.accounts.access import Actor
from marketplace.core.errors import InvalidInput
from marketplace.core.money import to_text
from marketplace.core.notices import Kind, notify
from marketplace.core.transitions import move
from quotas import decision_mails, grants, increase_rights
from quotas.approvals import CAPACITY_REVIEW
from quotas.increase_assessing import shown
from quotas.increase_models import IncreaseDecision, IncreaseRequest
from quotas.increase_rights import AlreadyDecided, why_not
from quotas.increase_subjects import Subject, lock_owner, standing, subject_of
from quotas.increases import decision_path_of, tell_requester

State = IncreaseRequest.State
Verdict = IncreaseDecision.Verdict
VERDICTS = {"approved": "approved", "denied": "denied", "asked": "asked a question about"}


@dataclass(frozen=True)
class Offer:
    """What an approver gives: a value and a time. None is what was asked for, or what the level before gave."""

    granted: Decimal | None = None
    starts_at: datetime | None = None
    ends_at: datetime | None = None
    is_endless: bool = field(default=False)
    """Give it without an end although one was asked for."""


def approve(
    request: IncreaseRequest,
    *,
    offer: Offer = Offer(),
    reason: str = "",
    by: Actor,
    at: datetime,
    acting_for: Actor | None = None,
    snapshot: dict[str, Any] | None = None,
) -> None:
    """Approve a request on the level it is on, whole or in part; on its last level it is granted.

    ``snapshot`` is what the page showed; left out, the consequences of what is given are worked out now. ``acting_for``
    is the person whose rights are used; that they were delegated is for the caller to know. Raises OwnRequest,
    SecondPersonNeeded, NotAllowed, AlreadyDecided, and InvalidInput by field: for ``granted`` not between the limit as
    it stands and what was asked, an end that has passed, and giving less without a reason.
    """
    level, subject = request.state, subject_of(request)
    with transaction.atomic():
        lock_owner(subject.owner)
        require_as_seen(request)
        _require_right(request, by=by, acting_for=acting_for)
        given = _given(request, subject, offer, at=at)
        if given.is_less and not reason.strip():
            raise InvalidInput("reason", "Say why it is less than was asked for.")
        _write(
            request,
            verdict=Verdict.APPROVED,
            by=by,
            acting_for=acting_for,
            at=at,
            reason=reason,
            snapshot=snapshot or _shown(request, subject, given.granted, at=at),
            granted=given.granted,
            starts_at=given.starts_at,
            ends_at=given.ends_at,
        )
        if level != CAPACITY_REVIEW and CAPACITY_REVIEW in request.levels:
            _move(
                request,
                to=CAPACITY_REVIEW,
                action="passed_cost_review",
                by=by,
                acting_for=acting_for,
                at=at,
                reason=reason,
            )
            _tell_next(request, at=at)
            return
        _grant(request, subject, given, by=by, acting_for=acting_for, at=at, reason=reason)


def deny(
    request: IncreaseRequest,
    *,
    reason: str,
    by: Actor,
    at: datetime,
    acting_for: Actor | None = None,
    snapshot: dict[str, Any] | None = None,
) -> None:
    """Deny a request: one no ends it. Raises InvalidInput without a reason, else as ``approve`` does."""
    _require_text("reason", reason, "Say why: whoever asked reads it.")
    subject = subject_of(request)
    with transaction.atomic():
        require_as_seen(request)
        _require_right(request, by=by, acting_for=acting_for)
        kept = snapshot or _shown(request, subject, request.requested, at=at)
        _write(
            request, verdict=Verdict.DENIED, by=by, acting_for=acting_for, at=at, reason=reason, snapshot=kept
        )
        _move(
            request, to=State.DENIED, action="denied", by=by, acting_for=acting_for, at=at, reason=reason,
            changes={"closed_at": at},
        )  # fmt: skip
        tell_requester(request, f"Denied: {request} of {subject.owner.label}. {reason}", at=at, key="denied")


def ask(
    request: IncreaseRequest,
    *,
    question: str,
    by: Actor,
    at: datetime,
    acting_for: Actor | None = None,
    snapshot: dict[str, Any] | None = None,
) -> None:
    """Ask the requester something; its clock stands still until the answer. Raises as ``deny`` does."""
    _require_text("reason", question, "What do you want to know?")
    level, subject = request.state, subject_of(request)
    with transaction.atomic():
        require_as_seen(request)
        _require_right(request, by=by, acting_for=acting_for)
        kept = snapshot or _shown(request, subject, request.requested, at=at)
        _write(
            request,
            verdict=Verdict.ASKED,
            by=by,
            acting_for=acting_for,
            at=at,
            reason=question,
            snapshot=kept,
        )
        _move(
            request, to=State.NEEDS_INFO, action="asked", by=by, acting_for=acting_for, at=at, reason=question,
            changes={"stopped_at": at, "stopped_level": level},
        )  # fmt: skip
        text = f"A question about your request for {subject.owner.label}: {question}"
        tell_requester(
            request, text, at=at, key=f"asked-{request.decisions.filter(verdict=Verdict.ASKED).count()}"
        )


def answer(request: IncreaseRequest, *, text: str, by: Actor, at: datetime) -> None:
    """Answer the question: the review goes on, and every date moves by as long as the clock stood still.

    For who asked for the increase. Raises NotAllowed, InvalidInput, IllegalTransition when there is no question.
    """
    access.require(request.requester_id == by.user.pk, message="Only who asked for it answers.")
    _require_text("text", text, "What do you answer?")
    with transaction.atomic():
        current = IncreaseRequest.objects.select_for_update().get(pk=request.pk)
        _move(
            request,
            to=current.stopped_level or State.COST_REVIEW,
            action="answered",
            by=by,
            at=at,
            reason=text,
            changes=_after_pause(current, at=at),
        )
        asked = request.decisions.filter(verdict=Verdict.ASKED).select_related("decider").order_by("-pk")
        notify(
            [decision.decider for decision in asked[:1]],
            text=f"{by.user} answered: {text}",
            at=at,
            key=f"increase:{request.pk}:answered-{asked.count()}",
            path=decision_path_of(request),
            kind=Kind.DECISIONS,
        )


@dataclass(frozen=True)
class _Given:
    granted: Decimal
    starts_at: datetime | None
    ends_at: datetime | None
    is_less: bool
    """Less than was asked for, or than the level before gave."""


def _given(request: IncreaseRequest, subject: Subject, offer: Offer, *, at: datetime) -> _Given:
    """Return what is given in the end: the offer, else what the level before gave, else what was asked for."""
    before = request.decisions.filter(verdict=Verdict.APPROVED).order_by("-pk").first()
    base = before or request
    most = before.granted if before and before.granted is not None else request.requested
    granted = most if offer.granted is None else offer.granted
    starts_at = offer.starts_at or base.starts_at
    ends_at = None if offer.is_endless else offer.ends_at or base.ends_at
    _check_value(request, subject, granted, most=most, starts_at=starts_at, at=at)
    if ends_at is not None and ends_at <= max(starts_at or at, at):
        raise InvalidInput("ends_at", "must be after the start, and in the future")
    return _Given(granted, starts_at, ends_at, is_less=granted < most)


def _check_value(
    request: IncreaseRequest,
    subject: Subject,
    granted: Decimal,
    *,
    most: Decimal,
    starts_at: datetime | None,
    at: datetime,
) -> None:
    holds = standing(subject, at=max(starts_at or at, at)).value
    if granted > most:
        raise InvalidInput(
            "granted", f"At most what was asked for or given before: {to_text(most)}.", limit=most
        )
    if granted <= holds:
        message = f"The limit is {to_text(holds)} already. Give more, or deny."
        raise InvalidInput("granted", message, limit=to_text(holds))
    if request.measure != "cost" and granted != granted.to_integral_value():
        raise InvalidInput("granted", f"counts {request.measure}: it must be a whole number")


def _grant(
    request: IncreaseRequest,
    subject: Subject,
    given: _Given,
    *,
    by: Actor,
    acting_for: Actor | None,
    at: datetime,
    reason: str,
) -> None:
    to = State.APPROVED if given.granted == request.requested else State.PARTIALLY_APPROVED
    _move(
        request, to=to, action=to, by=by, acting_for=acting_for, at=at, reason=reason,
        changes={"granted": given.granted, "closed_at": at},
    )  # fmt: skip
    grants.make(
        request, subject, value=given.granted, starts_at=given.starts_at, ends_at=given.ends_at, at=at
    )
    part = "" if to == State.APPROVED else f" ({to_text(request.requested)} was asked for)"
    text = f"Granted for {subject.owner.label}: {to_text(given.granted)} {request.measure} a {request.window}{part}."
    tell_requester(request, text, at=at, key="granted")


def require_as_seen(request: IncreaseRequest, *, level: str = "") -> None:
    """Hold the request's row until this transaction ends. Raises AlreadyDecided when it is not as the caller saw it.

    ``level`` is the review that was looked at, where that was before the request was read.
    """
    seen = level or request.state
    state = IncreaseRequest.objects.select_for_update().values_list("state", flat=True).get(pk=request.pk)
    if state == seen == request.state and request.is_under_review:
        return
    last = request.decisions.select_related("decider").order_by("-pk").first()
    if state == seen or last is None or last.decider is None:
        raise AlreadyDecided(f"This request is {state.replace('_', ' ')}; there is nothing to decide.")
    when = f"{last.decided_at:%Y-%m-%d %H:%M} UTC"
    done = f"{last.decider} {VERDICTS[last.verdict]} this request at {when}"
    raise AlreadyDecided(f"{done}, while you looked at it. It is {state.replace('_', ' ')} now.")


def _require_right(request: IncreaseRequest, *, by: Actor, acting_for: Actor | None) -> None:
    refusal = why_not(request, actor=by, level=request.state, acting_for=acting_for)
    if refusal is not None:
        raise refusal


def _require_text(name: str, text: str, message: str) -> None:
    if not text.strip():
        raise InvalidInput(name, message)
    if len(text) > 2000:
        raise InvalidInput(name, "has more than 2000 characters", limit=2000)


def _shown(request: IncreaseRequest, subject: Subject, granted: Decimal, *, at: datetime) -> dict[str, Any]:
    rules = {"rules": request.verdict.get("rules", []), "policy": request.verdict.get("policy")}
    return shown(subject, granted=granted, at=at) | rules


def _write(
    request: IncreaseRequest,
    *,
    verdict: str,
    by: Actor,
    acting_for: Actor | None,
    at: datetime,
    reason: str,
    snapshot: dict[str, Any],
    **given: Any,
) -> None:
    IncreaseDecision.objects.create(
        request=request,
        level=request.state,
        verdict=verdict,
        decider=by.user,
        acting_for=acting_for.user if acting_for else None,
        reason=reason,
        snapshot=snapshot,
        policy_id=request.policy_id,
        decided_at=at,
        **given,
    )


def _tell_next(request: IncreaseRequest, *, at: datetime) -> None:
    before = request.decisions.values_list("decider_id", flat=True)
    people = increase_rights.deciders(request, level=CAPACITY_REVIEW)
    notify(
        people.exclude(pk__in=[pk for pk in before if pk]) if request.needs_two_people else people,
        text=f"The cost of {request} for {subject_of(request).owner.label} was approved. Its capacity waits for you.",
        at=at,
        key=f"increase:{request.pk}:{CAPACITY_REVIEW}",
        path=decision_path_of(request),
        kind=Kind.DECISIONS,
        has_own_mail=True,
    )
    decision_mails.queue(request, level=CAPACITY_REVIEW, at=at)


def _after_pause(request: IncreaseRequest, *, at: datetime) -> dict[str, Any]:
    stood_still = at - request.stopped_at if request.stopped_at else timedelta(0)
    dates = {
        name: getattr(request, name) + stood_still
        for name in ("remind_at", "escalate_at", "expires_at")
        if getattr(request, name) is not None
    }
    return {**dates, "stopped_at": None, "stopped_level": ""}


def _move(
    request: IncreaseRequest,
    *,
    to: str,
    action: str,
    by: Actor,
    at: datetime,
    acting_for: Actor | None = None,
    reason: str = "",
    changes: dict[str, Any] | None = None,
) -> None:
    move(
        request,
        IncreaseRequest.TRANSITIONS,
        to=to,
        action=f"quotas.increase.{action}",
        at=at,
        by=by.user,
        acting_for=acting_for.user if acting_for else None,
        reason=reason,
        changes=changes,
    )
