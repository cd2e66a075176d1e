"""Deciding as a person does it: with their own right or a delegated one, found at the moment of the decision."""

from datetime import datetime
from typing import Any

from django.db import transaction

from marketplace.accounts.access import Actor
from quotas import desk_notes, increase_decisions
from quotas.deputies import Hat, hat_for
from quotas.increase_decisions import Offer
from quotas.increase_models import IncreaseRequest

WHOLE = Offer()


def approve(
    request: IncreaseRequest,
    *,
    offer: Offer = WHOLE,
    reason: str = "",
    by: Actor,
    at: datetime,
    snapshot: dict[str, Any] | None = None,
    level: str = "",
) -> Hat:
    """Approve a request; returns whose right it was done with. Raises as ``increase_decisions.approve`` does."""
    with transaction.atomic():
        hat = _hat(request, level, by=by, at=at)
        increase_decisions.approve(
            request,
            offer=offer,
            reason=reason,
            by=by,
            at=at,
            acting_for=hat.acting_for,
            snapshot=snapshot,
        )
        desk_notes.clear(request)
    return hat


def deny(
    request: IncreaseRequest,
    *,
    reason: str,
    by: Actor,
    at: datetime,
    snapshot: dict[str, Any] | None = None,
    level: str = "",
) -> Hat:
    """Deny a request; raises as ``increase_decisions.deny`` does."""
    with transaction.atomic():
        hat = _hat(request, level, by=by, at=at)
        increase_decisions.deny(
            request, reason=reason, by=by, at=at, acting_for=hat.acting_for, snapshot=snapshot
        )
        desk_notes.clear(request)
    return hat


def ask(
    request: IncreaseRequest,
    *,
    question: str,
    by: Actor,
    at: datetime,
    snapshot: dict[str, Any] | None = None,
    level: str = "",
) -> Hat:
    """Ask the requester something; raises as ``increase_decisions.ask`` does."""
    with transaction.atomic():
        hat = _hat(request, level, by=by, at=at)
        increase_decisions.ask(
            request, question=question, by=by, at=at, acting_for=hat.acting_for, snapshot=snapshot
        )
    return hat


def _hat(request: IncreaseRequest, level: str, *, by: Actor, at: datetime) -> Hat:
    """Find the right. A request that was decided is told of as such, before anybody is told that they have none.

    ``level`` is where it stood on the page that was looked at; empty: where the caller saw it.
    """
    increase_decisions.require_as_seen(request, level=level)
    return hat_for(request, actor=by, at=at)
