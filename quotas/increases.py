"""Asking for a higher limit: drafted, submitted, judged by the policy, and perhaps taken back.

What people then decide is in ``quotas.increase_decisions``, what was granted in ``quotas.grants``.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db import IntegrityError, transaction
from django.urls import reverse

from marketplace.accounts import access
from marketplace.accounts.access import Actor
from marketplace.core import audit
from marketplace.core.errors import Conflict, InvalidInput
from marketplace.core.money import to_text
from marketplace.core.notices import Kind, notify
from marketplace.core.transitions import move
from quotas import decision_mails, grants, increase_rights, limits
from quotas.approvals import Terms as PolicyTerms
from quotas.increase_assessing import Assessment, Wish, assess
from quotas.increase_models import OPEN, Grant, IncreaseDecision, IncreaseRequest
from quotas.increase_policies import terms_of
from quotas.increase_rights import may_request
from quotas.increase_subjects import Subject, charged, lock_owner, subject_of
from quotas.limits import Terms
from quotas.owners import Owner

State = IncreaseRequest.State
# Without a policy, undecided requests are reminded, escalated and expire after these hours.
USUAL_HOURS = (24, 72, 336)
EXTENDABLE = (Grant.State.SCHEDULED, Grant.State.ACTIVE)


class KeyReused(Conflict):
    """The idempotency key came before, with another request."""

    code = "idempotency_key_reused"

    def __init__(self) -> None:
        super().__init__("This idempotency key came before with another request. Use a new one for each.")


class AskedMeanwhile(Conflict):
    """Two people asked for the same thing at the same moment, and the other one was faster."""

    code = "asked_meanwhile"

    def __init__(self) -> None:
        super().__init__("Somebody asked for the same limit at the same moment. Look at their request first.")


class NotExtendable(InvalidInput):
    """Only a grant that runs or is to come, and that ends, can be extended."""

    code = "not_extendable"

    def __init__(self) -> None:
        super().__init__("ends_at", "This grant has ended, or has no end. Ask for a new one instead.")


@dataclass(frozen=True)
class Created:
    """A request, and whether it was made by this call: a second call with the same key returns the first one's."""

    request: IncreaseRequest
    is_new: bool


def create(owner: Owner, *, wish: Wish, by: Actor, at: datetime, idempotency_key: str = "") -> Created:
    """Ask for more at once. Raises as ``draft`` and ``submit`` do, and KeyReused."""
    found = _of_key(owner, wish, by=by, key=idempotency_key)
    if found is not None:
        return Created(found, is_new=False)
    try:
        with transaction.atomic():
            request = draft(owner, wish=wish, by=by, at=at, idempotency_key=idempotency_key)
            submit(request, by=by, at=at)
    except IntegrityError as error:
        # The same call came twice at once: the other one has made it.
        found = _of_key(owner, wish, by=by, key=idempotency_key)
        if found is None:
            raise AskedMeanwhile from error
        return Created(found, is_new=False)
    return Created(request, is_new=True)


def draft(owner: Owner, *, wish: Wish, by: Actor, at: datetime, idempotency_key: str = "") -> IncreaseRequest:
    """Keep a wish that only its author sees. Raises InvalidInput by field, NothingToRaise, NotAllowed."""
    access.require(may_request(by, owner=owner), message="More of this is not yours to ask for.")
    assessment = assess(Subject(owner, wish.measure, wish.window, wish.model_class), wish=wish, at=at)
    organization, cost_center = charged(owner)
    with transaction.atomic():
        request = IncreaseRequest.objects.create(
            **{f"{owner.kind}_id": owner.pk},
            environment=owner.environment,
            charged_organization=organization,
            charged_cost_center=cost_center,
            requester=by.user,
            idempotency_key=idempotency_key or None,
            created_at=at,
            **_content(wish, assessment),
        )
        audit.record("quotas.increase.drafted", subject=request, at=at, by=by.user, new=_facts(request))
    return request


def edit(request: IncreaseRequest, *, wish: Wish, by: Actor, at: datetime) -> None:
    """Change a draft; measure and window stay. Raises as ``draft`` does, and Conflict when it was submitted."""
    access.require(request.requester_id == by.user.pk, message="Only its author changes a draft.")
    content = _content(wish, assess(subject_of(request), wish=wish, at=at))
    with transaction.atomic():
        old = _facts(request)
        if not IncreaseRequest.objects.filter(pk=request.pk, state=State.DRAFT).update(**content):
            raise Conflict("It was submitted, so it does not change any more. Ask anew: that replaces it.")
        request.refresh_from_db()
        audit.record(
            "quotas.increase.edited", subject=request, at=at, by=by.user, old=old, new=_facts(request)
        )


def submit(request: IncreaseRequest, *, by: Actor, at: datetime) -> None:
    """Submit a draft: the open request of the same subject is superseded, and the policy judges this one.

    It is lowered or granted at once, or goes to its first review; all in one transaction that locks the owner's row.
    Raises NotAllowed, InvalidInput, IllegalTransition when it was submitted before.
    """
    access.require(request.requester_id == by.user.pk, message="Only its author submits a draft.")
    subject = subject_of(request)
    with transaction.atomic():
        lock_owner(subject.owner)
        assessment = assess(subject, wish=wish_of(request), at=at)
        _supersede(subject, by=by, at=at, newer=request)
        _move(
            request, to=State.SUBMITTED, action="submitted", by=by, at=at, changes=_clock(assessment, at=at)
        )
        if assessment.verdict.is_decrease:
            _lower(request, subject, assessment, by=by, at=at)
        elif assessment.verdict.is_automatic:
            _grant_by_policy(request, subject, assessment, at=at)
        else:
            enter_review(request, level=assessment.verdict.levels[0], at=at)


def withdraw(request: IncreaseRequest, *, by: Actor, at: datetime, reason: str = "") -> None:
    """Take a request back; for who made it. Raises NotAllowed, IllegalTransition when it was decided."""
    access.require(request.requester_id == by.user.pk, message="Only who asked takes it back.")
    _move(
        request,
        to=State.WITHDRAWN,
        action="withdrawn",
        by=by,
        at=at,
        reason=reason,
        changes={"closed_at": at},
    )


def extension_of(grant: Grant, *, ends_at: datetime, reason: str, at: datetime) -> Wish:
    """Return the wish that a grant goes on as it is, from its end on. Raises NotExtendable, InvalidInput."""
    if grant.state not in EXTENDABLE or grant.lapses_at is None or grant.lapses_at <= at:
        raise NotExtendable
    if ends_at <= grant.lapses_at:
        raise InvalidInput(
            "ends_at", f"It lasts until {grant.lapses_at:%Y-%m-%d %H:%M} UTC; choose a later time."
        )
    request = grant.request
    return Wish(
        measure=request.measure,
        window=request.window,
        model_class=request.model_class,
        requested=grant.value,
        reason=reason,
        monthly_calls=request.monthly_calls,
        monthly_cost=request.monthly_cost,
        currency=request.currency,
        starts_at=grant.lapses_at,
        ends_at=ends_at,
        extends=grant,
    )


def wish_of(request: IncreaseRequest) -> Wish:
    """Return what a request asks for. A start that has passed since it was drafted is now."""
    return Wish(
        measure=request.measure,
        window=request.window,
        model_class=request.model_class,
        requested=request.requested,
        reason=request.reason,
        monthly_calls=request.monthly_calls,
        monthly_cost=request.monthly_cost,
        currency=request.currency,
        starts_at=request.starts_at,
        ends_at=request.ends_at,
        extends=request.extends,
    )


def enter_review(request: IncreaseRequest, *, level: str, at: datetime, by: Actor | None = None) -> None:
    """Send a request to a review and tell the people who may decide there."""
    _move(request, to=level, action=f"sent_to_{level}", by=by, at=at)
    notify(
        increase_rights.deciders(request, level=level),
        text=f"{request.requester} asks for {subject_of(request).owner.label}: {request}. It waits for you.",
        at=at,
        key=f"increase:{request.pk}:{level}",
        path=decision_path_of(request),
        kind=Kind.DECISIONS,
        has_own_mail=True,
    )
    decision_mails.queue(request, level=level, at=at)


def path_of(request: IncreaseRequest) -> str:
    """Return the address of a request's page."""
    return reverse("quotas:increase", args=[request.pk])


def decision_path_of(request: IncreaseRequest) -> str:
    """Return the address of the page on which a request is decided."""
    return reverse("quotas:increase-decide", args=[request.pk])


def tell_requester(request: IncreaseRequest, text: str, *, at: datetime, key: str) -> None:
    """Tell who asked what became of it."""
    notify(
        [request.requester],
        text=text,
        at=at,
        key=f"increase:{request.pk}:{key}",
        path=path_of(request),
        kind=Kind.DECISIONS,
        team=subject_of(request).owner.team,
    )


def _of_key(owner: Owner, wish: Wish, *, by: Actor, key: str) -> IncreaseRequest | None:
    if not key:
        return None
    found = IncreaseRequest.objects.filter(requester=by.user, idempotency_key=key).first()
    if found is not None and (found.owner_kind, found.owner_id, wish_of(found)) != (
        owner.kind,
        owner.pk,
        wish,
    ):
        raise KeyReused
    return found


def _content(wish: Wish, assessment: Assessment) -> dict[str, Any]:
    return {
        "measure": wish.measure,
        "window": wish.window,
        "model_class": wish.model_class,
        "requested": wish.requested,
        "currency": wish.currency,
        "reason": wish.reason,
        "monthly_calls": wish.monthly_calls,
        "monthly_cost": wish.monthly_cost,
        "starts_at": wish.starts_at,
        "ends_at": wish.ends_at,
        "extends": wish.extends,
        "current_value": assessment.standing.value,
    }


def _clock(assessment: Assessment, *, at: datetime) -> dict[str, Any]:
    """Return what is fixed at submission: the verdict of the policy and the dates by which it has to be decided."""
    terms: PolicyTerms | None = terms_of(assessment.policy) if assessment.policy else None
    remind, escalate, expire = (
        (terms.remind_after_hours, terms.escalate_after_hours, terms.expire_after_hours)
        if terms
        else USUAL_HOURS
    )
    return {
        "submitted_at": at,
        "current_value": assessment.standing.value,
        "policy": assessment.policy,
        "needs_two_people": terms.needs_two_people if terms else True,
        "levels": list(assessment.verdict.levels),
        "verdict": assessment.as_json(),
        "remind_at": at + timedelta(hours=remind),
        "escalate_at": at + timedelta(hours=escalate),
        "expires_at": at + timedelta(hours=expire),
    }


def _supersede(subject: Subject, *, by: Actor, at: datetime, newer: IncreaseRequest) -> None:
    # Locked first: one that is decided at this moment is not open any more once that has committed.
    still_open = IncreaseRequest.objects.select_for_update().filter(state__in=OPEN, **subject.lookups())
    for earlier in still_open.exclude(pk=newer.pk).order_by("pk"):
        _move(
            earlier,
            to=State.SUPERSEDED,
            action="superseded",
            by=by,
            at=at,
            reason=f"replaced by request {newer.pk}",
            changes={"closed_at": at},
        )
        if earlier.requester_id != by.user.pk:
            text = f"{by.user} asks for more of {subject.owner.label}; that replaces your request."
            tell_requester(earlier, text, at=at, key="superseded")


def _lower(
    request: IncreaseRequest, subject: Subject, assessment: Assessment, *, by: Actor, at: datetime
) -> None:
    """Lower the limit at once: what asks for less, or for what there is, needs nobody's consent.

    Grants that hold the limit above the new value go first; where the limit is still higher then, it is set.
    """
    _decide_by_policy(request, assessment, at=at, reason="A decrease needs no approval.")
    grants.give_back(subject, above=request.requested, by=by, at=at)
    limit = assessment.standing.limit
    if limit.limit_value > request.requested:
        terms = Terms(
            request.measure,
            request.window,
            request.requested,
            mode=limit.mode,
            currency=limit.currency,
            model_class=limit.model_class,
        )
        limits.set_limit(subject.owner, terms=terms, by=by, at=at, note="asked for less")
    _close_granted(request, value=request.requested, to=State.AUTO_APPROVED, action="lowered", at=at)


def _grant_by_policy(
    request: IncreaseRequest, subject: Subject, assessment: Assessment, *, at: datetime
) -> None:
    policy = assessment.policy
    reason = f"Within policy {policy.number}." if policy else ""
    _decide_by_policy(request, assessment, at=at, reason=reason)
    _close_granted(request, value=request.requested, to=State.AUTO_APPROVED, action="auto_approved", at=at)
    grants.make(
        request, subject, value=request.requested, starts_at=request.starts_at, ends_at=request.ends_at, at=at
    )
    for_whom = subject.owner.label
    tell_requester(request, f"Granted within the policy: {request} of {for_whom}.", at=at, key="granted")


def _decide_by_policy(request: IncreaseRequest, assessment: Assessment, *, at: datetime, reason: str) -> None:
    IncreaseDecision.objects.create(
        request=request,
        level=IncreaseDecision.Level.POLICY,
        verdict=IncreaseDecision.Verdict.APPROVED,
        granted=request.requested,
        starts_at=request.starts_at,
        ends_at=request.ends_at,
        reason=reason,
        snapshot=assessment.as_json(),
        policy=assessment.policy,
        decided_at=at,
    )


def _close_granted(request: IncreaseRequest, *, value: Decimal, to: str, action: str, at: datetime) -> None:
    _move(request, to=to, action=action, by=None, at=at, changes={"granted": value, "closed_at": at})


def _move(
    request: IncreaseRequest,
    *,
    to: str,
    action: str,
    by: Actor | None,
    at: datetime,
    reason: str = "",
    changes: dict[str, Any] | None = None,
) -> None:
    move(
        request,
        IncreaseRequest.TRANSITIONS,
        to=to,
        action=f"quotas.increase.{action}",
        at=at,
        by=by.user if by else None,
        reason=reason,
        changes=changes,
    )


def _facts(request: IncreaseRequest) -> dict[str, Any]:
    return {
        "requested": to_text(request.requested),
        "current": to_text(request.current_value),
        "starts_at": request.starts_at.isoformat() if request.starts_at else None,
        "ends_at": request.ends_at.isoformat() if request.ends_at else None,
        "reason": request.reason,
    }
