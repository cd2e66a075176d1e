"""What an increase request is about: an owner's limit of a measure and window, its value, and who pays for more."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db.models import Q, QuerySet

from marketplace.accounts.models import CostCenter, Organization
from marketplace.core.errors import InvalidInput
from quotas.increase_models import IncreaseRequest
from quotas.lifts import with_values
from quotas.models import Limit
from quotas.owners import Owner, owner_of


class NothingToRaise(InvalidInput):
    """The owner has no limit of this measure and window, so none stands in the way."""

    code = "no_such_limit"

    def __init__(self, owner: Owner, *, measure: str, window: str) -> None:
        name = f"{owner.title} {owner.label}"
        super().__init__("measure", f"{name} has no limit of {measure} a {window} that could be raised.")


@dataclass(frozen=True)
class Subject:
    """Whose limit, of what, in which window, of which class of models; an empty class stands for limits of all."""

    owner: Owner
    measure: str
    window: str
    model_class: str = ""

    def lookups(self) -> dict[str, Any]:
        """Return the subject as lookups on limits and requests."""
        return {
            f"{self.owner.kind}_id": self.owner.pk,
            "measure": self.measure,
            "window": self.window,
            "model_class": self.model_class,
            "environment": self.owner.environment,
        }


@dataclass(frozen=True)
class Standing:
    """The value that holds of a subject, and the limit that says so."""

    value: Decimal
    limit: Limit


def subject_of(request: IncreaseRequest) -> Subject:
    """Return what a request is about; no query when it came with RELATED."""
    owner = owner_of(request.owner_kind, getattr(request, request.owner_kind))
    return Subject(owner, request.measure, request.window, request.model_class)


def standing(subject: Subject, *, at: datetime) -> Standing:
    """Return what holds of a subject at a time: the tightest of its own limits, hard ones before others (one query).

    Raises NothingToRaise.
    """
    limits = _hard_or_all(with_values(_running(subject, at=at).filter(starts_at__lte=at), at=at))
    if not limits:
        raise NothingToRaise(subject.owner, measure=subject.measure, window=subject.window)
    tightest = min(limits, key=lambda limit: (limit.value_now, limit.pk))
    return Standing(tightest.value_now, tightest)


def limits_to_lift(subject: Subject, *, at: datetime) -> list[Limit]:
    """Return the limits that stand in the way of a subject, also those that are still to begin (one query)."""
    return _hard_or_all(_running(subject, at=at))


def _running(subject: Subject, *, at: datetime) -> QuerySet[Limit]:
    """What slows an app is left out: it goes with its incident, and no grant lifts it."""
    running = Limit.objects.filter(Q(ends_at=None) | Q(ends_at__gt=at), is_brake=False)
    return running.filter(**subject.lookups()).order_by("pk")


def _hard_or_all(found: QuerySet[Any]) -> list[Any]:
    """Only hard limits refuse; one that warns beside them goes on warning where it stands."""
    limits = list(found)
    return [limit for limit in limits if limit.mode == Limit.Mode.HARD] or limits


def lock_owner(owner: Owner) -> None:
    """Hold the owner's row until this transaction ends: whoever asks for more of it or grants it takes turns.

    So of two requests of one subject the second supersedes the first and sees what that was granted. It is locked before
    requests and grants are.
    """
    type(owner.instance)._default_manager.select_for_update(no_key=True).get(pk=owner.pk)


def charged(owner: Owner) -> tuple[Organization | None, CostCenter | None]:
    """Return who pays when an owner uses more. Of an app, many do: then nobody is named, and the platform decides."""
    subscription = owner.subscription
    if subscription is not None:
        return subscription.team.organization, subscription.cost_center
    if owner.kind == "team":
        return owner.instance.organization, owner.instance.cost_center
    if owner.kind == "cost_center":
        return owner.instance.organization, owner.instance
    return (owner.instance, None) if owner.kind == "organization" else (None, None)
