"""Approving several requests at once, each only when it is plain; what is not is left, with the reason.

Plain is what needed a person for its size alone: its cost is known and stays in the budget, enough capacity is free after
everything that waits, and it does not last longer than the policy lets pass.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from marketplace.accounts.access import Actor
from marketplace.core.errors import HalfpennyError
from quotas import increase_assessing, increase_policies, judgments
from quotas.approvals import Terms
from quotas.increase_decisions import Offer
from quotas.increase_models import IncreaseRequest
from quotas.increase_subjects import Subject, subject_of

MOST = 50
REASON = "Approved with others: within the policy."


@dataclass(frozen=True)
class Result:
    """What became of one of them, with why not."""

    label: str
    is_approved: bool
    message: str


def approve(requests: Iterable[IncreaseRequest], *, by: Actor, at: datetime) -> list[Result]:
    """Approve each of them that is plain, one transaction each; the others stay as they are."""
    policy = increase_policies.in_force(at)
    terms = increase_policies.terms_of(policy) if policy else None
    return [_approve(request, terms, by=by, at=at) for request in list(requests)[:MOST]]


def obstacles(
    *,
    terms: Terms | None,
    expected: Decimal | None,
    budget_left: Decimal | None,
    head_room: Decimal | None,
    days: int | None,
) -> list[str]:
    """Say what keeps a request from being plain; empty when nothing does. Pure."""
    if terms is None:
        return ["no policy is in force"]
    found = []
    if expected is None:
        found.append("its cost is not known")
    if budget_left is not None and budget_left < 0:
        found.append("it exceeds the budget")
    if head_room is None:
        found.append("capacity is not known")
    elif head_room < terms.auto_min_head_room_percent:
        found.append("too little capacity would stay free")
    if days is None:
        found.append("it has no end")
    elif days > terms.auto_max_days:
        found.append(f"it lasts longer than {terms.auto_max_days} days")
    return found


def _approve(request: IncreaseRequest, terms: Terms | None, *, by: Actor, at: datetime) -> Result:
    subject = subject_of(request)
    label = f"{subject.owner.label}: {request}"
    projection, room = increase_assessing.consequences(subject, granted=_value(request), at=at)
    against = obstacles(
        terms=terms,
        expected=projection.expected,
        budget_left=projection.budget_left_after,
        head_room=room.after_all_pending,
        days=_days(request, at=at),
    )
    if against:
        return Result(label, False, f"Left for you to look at: {', '.join(against)}.")
    try:
        judgments.approve(
            request, offer=Offer(), reason=REASON, by=by, at=at, snapshot=_shown(subject, request, at=at)
        )
    except HalfpennyError as error:
        return Result(label, False, error.message)
    return Result(label, True, "Approved.")


def _value(request: IncreaseRequest) -> Decimal:
    before = request.decisions.filter(verdict="approved").order_by("-pk").first()
    return before.granted if before and before.granted is not None else request.requested


def _shown(subject: Subject, request: IncreaseRequest, *, at: datetime) -> dict[str, Any]:
    rules = {"rules": request.verdict.get("rules", []), "policy": request.verdict.get("policy")}
    return increase_assessing.shown(subject, granted=_value(request), at=at) | rules | {"in_bulk": True}


def _days(request: IncreaseRequest, *, at: datetime) -> int | None:
    if request.ends_at is None:
        return None
    return (request.ends_at - max(request.starts_at or at, at)).days + 1
