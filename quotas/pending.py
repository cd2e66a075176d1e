"""What increase requests that wait for a decision ask of the models."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from django.db.models import QuerySet

from quotas.increase_models import REVIEWS, IncreaseRequest
from quotas.increase_subjects import Subject, subject_of
from quotas.owners import RELATED, Owner

STATES = (*REVIEWS, "needs_info")


@dataclass(frozen=True)
class Ask:
    """More of a limit that somebody waits for. ``app`` is None where it is for all that an owner calls."""

    measure: str
    window: str
    more: Decimal
    app: str | None


@dataclass(frozen=True)
class Waiting:
    """A request that is not decided, and what it asks for beyond the limit that held when it was submitted."""

    request: IncreaseRequest
    owner: Owner
    ask: Ask

    @property
    def subject_key(self) -> tuple[Any, ...]:
        return subject_key(Subject(self.owner, self.request.measure, self.request.window))


def waiting() -> list[Waiting]:
    """Return all requests that wait, the oldest first (one query)."""
    return [_waiting(request) for request in waiting_requests()]


def waiting_requests() -> QuerySet[IncreaseRequest]:
    """Requests under review or with an open question, with all that names them."""
    found = IncreaseRequest.objects.filter(state__in=STATES).order_by("submitted_at", "pk")
    return found.select_related(*RELATED, "requester")


def subject_key(subject: Subject) -> tuple[Any, ...]:
    """Return what two requests of one subject have in common."""
    return tuple(sorted(subject.lookups().items(), key=lambda item: item[0]))


def app_of(owner: Owner) -> str | None:
    """Name the app whose calls an owner's limit is about; None for those who call many."""
    if owner.subscription is not None:
        return owner.subscription.app.slug
    return owner.app.slug if owner.app else None


def _waiting(request: IncreaseRequest) -> Waiting:
    owner = subject_of(request).owner
    more = max(Decimal(0), request.requested - request.current_value)
    return Waiting(request, owner, Ask(request.measure, request.window, more, app_of(owner)))
