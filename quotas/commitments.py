"""Saying what a provider has committed to serve. A commitment never changes: the next one takes its place."""

from datetime import datetime

from django.db import IntegrityError, transaction
from django.db.models import Q

from marketplace.accounts import access
from marketplace.accounts.access import Actor, Role
from marketplace.core import audit
from marketplace.core.errors import Conflict, FieldError, InvalidInput
from metering.models import LanguageModel
from quotas.models import ModelCapacity

GREATEST = 10**15


class SetMeanwhile(Conflict):
    """Two people set the capacity of the same model at the same moment, and the other one was faster."""

    code = "set_meanwhile"

    def __init__(self, capacity: ModelCapacity) -> None:
        super().__init__(f"Somebody set the capacity of {capacity} at the same moment. Look at theirs first.")


class CapacityEnded(Conflict):
    """The capacity has ended already."""

    code = "capacity_ended"

    def __init__(self) -> None:
        super().__init__("This capacity has ended already.")


def set_capacity(
    model: LanguageModel,
    *,
    provider: str,
    requests_per_minute: int | None,
    tokens_per_minute: int | None,
    note: str,
    by: Actor,
    at: datetime,
    starts_at: datetime | None = None,
) -> ModelCapacity:
    """Say what a provider serves of a model from now or a later time on; the one before ends there.

    For operators of the platform. Raises InvalidInput by field, NotAllowed, SetMeanwhile.
    """
    access.require_platform(by, Role.OPERATOR)
    _check(provider=provider, figures=(requests_per_minute, tokens_per_minute), note=note)
    made = ModelCapacity(
        provider=provider,
        model=model,
        requests_per_minute=requests_per_minute,
        tokens_per_minute=tokens_per_minute,
        starts_at=max(starts_at or at, at),
        set_by=by.user,
        note=note,
    )
    with transaction.atomic():
        # Two who set it at once: the second waits here and then replaces what the first set.
        LanguageModel.objects.select_for_update(no_key=True).get(pk=model.pk)
        for before in _open(provider, model, from_at=made.starts_at):
            _end(before, ends_at=max(made.starts_at, before.starts_at), by=by, at=at, reason="replaced")
        try:
            with transaction.atomic():
                made.save(force_insert=True)
        except IntegrityError as error:
            raise SetMeanwhile(made) from error
        audit.record("quotas.capacity.set", subject=made, at=at, by=by.user, new=_facts(made), reason=note)
    return made


def end_capacity(capacity: ModelCapacity, *, by: Actor, at: datetime) -> None:
    """End a commitment now. Raises NotAllowed, CapacityEnded when somebody was faster."""
    access.require_platform(by, Role.OPERATOR)
    with transaction.atomic():
        if not _end(capacity, ends_at=max(at, capacity.starts_at), by=by, at=at, reason=""):
            raise CapacityEnded


def _check(*, provider: str, figures: tuple[int | None, int | None], note: str) -> None:
    errors = []
    if not provider.strip() or len(provider) > 40 or not provider.isprintable():
        errors.append(FieldError("provider", "Give a name of at most 40 characters."))
    for field, figure in zip(("requests_per_minute", "tokens_per_minute"), figures, strict=True):
        if figure is not None and not 0 <= figure <= GREATEST:
            errors.append(FieldError(field, "Give a whole number, zero or more."))
    if figures == (None, None):
        errors.append(FieldError("requests_per_minute", "Give requests or tokens a minute, or both."))
    if not note.strip():
        errors.append(FieldError("note", "Say where the figure comes from."))
    if errors:
        raise InvalidInput.several(errors)


def _open(provider: str, model: LanguageModel, *, from_at: datetime) -> list[ModelCapacity]:
    """Commitments that hold then or later; those that have not begun by then never will."""
    lasting = Q(ends_at=None) | Q(ends_at__gt=from_at)
    found = ModelCapacity.objects.filter(lasting, provider=provider, model=model)
    return list(found.exclude(ends_at__lte=from_at).order_by("pk"))


def _end(capacity: ModelCapacity, *, ends_at: datetime, by: Actor, at: datetime, reason: str) -> bool:
    """End it with a conditional UPDATE; False when it had ended before."""
    old = _facts(capacity)
    lasting = Q(ends_at=None) | Q(ends_at__gt=ends_at)
    if not ModelCapacity.objects.filter(lasting, pk=capacity.pk).update(ends_at=ends_at):
        return False
    capacity.ends_at = ends_at
    audit.record(
        "quotas.capacity.ended",
        subject=capacity,
        at=at,
        by=by.user,
        old=old,
        new=_facts(capacity),
        reason=reason,
    )
    return True


def _facts(one: ModelCapacity) -> dict[str, str | int | None]:
    return {
        "provider": one.provider,
        "model": one.model.name,
        "requests_per_minute": one.requests_per_minute,
        "tokens_per_minute": one.tokens_per_minute,
        "starts_at": one.starts_at.isoformat(),
        "ends_at": one.ends_at.isoformat() if one.ends_at else None,
    }
