"""Pools as operators set them: made, changed, paused, resumed and removed, with an entry in the audit trail each time."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from zoneinfo import available_timezones

from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction

from marketplace.accounts import access
from marketplace.accounts.access import Actor, Role
from marketplace.core import audit
from marketplace.core.errors import Conflict, FieldError, InvalidInput
from marketplace.core.transitions import move
from marketplace.gateway.pool_models import Pool, PoolEvent, PoolReplica
from metering.models import LanguageModel

TARGET = (
    "provider",
    "actuator",
    "target_url",
    "target_namespace",
    "target_name",
    "spot_target_name",
    "token_variable",
)
MONEY = ("instance_type", "spot_instance_type", "restores")
POLICY = (
    "slots", "least", "most", "quantile_percent", "night_starts", "night_ends", "night_percent", "weekend_percent",
    "full_percent", "cooldown_s", "lead_s", "spot_percent", "least_on_demand", "time_zone",
)  # fmt: skip
CHANGEABLE = (*TARGET, *MONEY, *POLICY)
REMOTE = (Pool.Actuator.KUBERNETES, Pool.Actuator.RAY)
EXAMPLES = {
    Pool.Actuator.KUBERNETES: "the name of a Deployment",
    Pool.Actuator.RAY: "application/deployment",
}


class PoolExists(Conflict):
    """Another pool has this name."""

    code = "pool_exists"

    def __init__(self, name: str) -> None:
        super().__init__(f"There is a pool {name!r} already.")


class StillRuns(Conflict):
    """A pool is removed when nothing of it runs any more."""

    code = "pool_still_runs"

    def __init__(self, name: str) -> None:
        super().__init__(f"Replicas of {name} still run. Pause it first and wait until they have ended.")


def add(name: str, *, model_class: str, facts: Mapping[str, Any], by: Actor, at: datetime) -> Pool:
    """Add a pool. Raises InvalidInput by field, PoolExists, NotAllowed for who is no operator."""
    access.require_platform(by, Role.OPERATOR)
    pool = Pool(name=name, model_class=model_class, created_at=at, **facts)
    check(pool)
    try:
        with transaction.atomic():
            pool.save(force_insert=True)
            audit.record("gateway.pool.added", subject=pool, at=at, by=by.user, new=as_json(pool))
    except IntegrityError as error:
        raise PoolExists(name) from error
    return pool


def change(pool: Pool, *, facts: Mapping[str, Any], by: Actor, at: datetime) -> None:
    """Give a pool another policy or target; it holds from the next round on. Raises InvalidInput by field, NotAllowed.

    Whoever starts its replicas stays while any of them runs: nobody else could stop them.
    """
    access.require_platform(by, Role.OPERATOR)
    with transaction.atomic():
        locked = Pool.objects.select_for_update().get(pk=pool.pk)
        old = as_json(locked)
        lives = locked.replicas.filter(state__in=PoolReplica.LIVING).exists()
        for field, value in facts.items():
            setattr(pool, field, value)
        if lives and any(getattr(pool, name) != getattr(locked, name) for name in TARGET[1:]):
            raise InvalidInput("actuator", "Pause the pool first: its replicas run where it says now.")
        check(pool)
        pool.save(update_fields=[*facts])
        new = as_json(pool)
        changed = [name for name in new if new[name] != old[name]]
        if changed:
            # A schedule of another quantile or time zone has to be learnt anew.
            Pool.objects.filter(pk=pool.pk).update(learnt_at=None)
            audit.record(
                "gateway.pool.changed",
                subject=pool,
                at=at,
                by=by.user,
                old={name: old[name] for name in changed},
                new={name: new[name] for name in changed},
            )
            text = f"{by.user} changed {', '.join(name.replace('_', ' ') for name in changed)}."
            PoolEvent.objects.create(
                pool=pool, at=at, kind=PoolEvent.Kind.CHANGED, text=text, replicas=locked.desired
            )


def pause(pool: Pool, *, by: Actor, at: datetime) -> None:
    """Let all replicas end and start none. Raises IllegalTransition, NotAllowed."""
    _set_state(pool, Pool.State.PAUSED, by=by, at=at)


def resume(pool: Pool, *, by: Actor, at: datetime) -> None:
    """Follow the policy again. Raises IllegalTransition, NotAllowed."""
    _set_state(pool, Pool.State.ACTIVE, by=by, at=at)


def remove(pool: Pool, *, by: Actor, at: datetime) -> None:
    """Forget a pool with its history. Raises StillRuns, NotAllowed."""
    access.require_platform(by, Role.OPERATOR)
    with transaction.atomic():
        locked = Pool.objects.select_for_update().get(pk=pool.pk)
        if locked.state != Pool.State.PAUSED or locked.replicas.filter(state__in=PoolReplica.LIVING).exists():
            raise StillRuns(pool.name)
        audit.record("gateway.pool.removed", subject=pool, at=at, by=by.user, old=as_json(pool))
        locked.delete()


def check(pool: Pool) -> None:
    """Raise InvalidInput that names every field that makes no sense."""
    errors = [*_wrong_fields(pool), *_wrong_target(pool)]
    if pool.model_class not in LanguageModel.ModelClass.values:
        errors.append(
            FieldError("model_class", f"must be one of {', '.join(LanguageModel.ModelClass.values)}")
        )
    if pool.least > pool.most:
        errors.append(FieldError("least", f"must be at most {pool.most}", limit=str(pool.most)))
    if pool.time_zone not in available_timezones():
        errors.append(FieldError("time_zone", f"{pool.time_zone!r} is no time zone"))
    if pool.provider and pool.actuator != Pool.Actuator.LOCAL:
        errors.append(
            FieldError("provider", "is for processes of this machine; others have an address of their own")
        )
    if errors:
        raise InvalidInput.several(errors)


def _wrong_fields(pool: Pool) -> list[FieldError]:
    set_by_us = {field.name for field in Pool._meta.get_fields()} - {"name", *CHANGEABLE}
    try:
        pool.clean_fields(exclude=set_by_us)
    except ValidationError as error:
        return [FieldError(name, texts[0]) for name, texts in sorted(error.message_dict.items())]
    return []


def _wrong_target(pool: Pool) -> list[FieldError]:
    if pool.actuator not in REMOTE:
        return []
    errors = []
    if not pool.target_url.startswith(("http://", "https://")):
        errors.append(FieldError("target_url", "must be an address such as https://10.0.0.1:6443"))
    if not pool.target_name or (pool.actuator == Pool.Actuator.RAY and "/" not in pool.target_name):
        errors.append(FieldError("target_name", f"must be {EXAMPLES[Pool.Actuator(pool.actuator)]}"))
    if pool.spot_percent and (pool.actuator == Pool.Actuator.RAY or not pool.spot_target_name):
        errors.append(FieldError("spot_target_name", "needs a Deployment of its own for spot; Ray has none"))
    return errors


def as_json(pool: Pool) -> dict[str, Any]:
    """Return what an operator sets of a pool."""
    plain = {name: getattr(pool, name) for name in CHANGEABLE if name != "provider"}
    provider = pool.provider.name if pool.provider else None
    return {"model_class": pool.model_class, "provider": provider} | plain


def _set_state(pool: Pool, to: str, *, by: Actor, at: datetime) -> None:
    access.require_platform(by, Role.OPERATOR)
    move(pool, Pool.TRANSITIONS, to=to, action=f"gateway.pool.{to}", at=at, by=by.user)
