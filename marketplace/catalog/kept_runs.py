"""Runs of apps that people made from a form: begun, ended, shared inside their organization, forgotten."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

from django.db import IntegrityError, transaction
from django.db.models import QuerySet

from marketplace.accounts.access import Actor
from marketplace.accounts.models import User
from marketplace.catalog.models import Subscription, Version
from marketplace.catalog.run_models import KeptRun, RunShare
from marketplace.core import audit
from marketplace.core.errors import Conflict, InvalidInput

MAX_SHARE_DAYS = 90
INTERRUPTED_AFTER = timedelta(minutes=15)
MAX_DELETED_AT_ONCE = 2_000


class NotEnded(Conflict):
    """A run without an answer has nothing to share."""

    code = "not_ended"

    def __init__(self) -> None:
        super().__init__("This run has no answer that could be shared.")


@dataclass(frozen=True)
class Result:
    """What a run brought: an output with what does not fit, and what it came to."""

    output: Any
    problems: tuple[str, ...]
    cost: Decimal
    currency: str
    model: str
    latency_ms: int


def begin(
    run_id: UUID,
    *,
    subscription: Subscription,
    version: Version,
    data: Mapping[str, Any],
    by: User,
    at: datetime,
    keep_days: int,
) -> tuple[KeptRun, bool]:
    """Note a run before it is made; returns it, and whether it is new.

    The id comes from the form, so a form that is sent twice is one run: the second time finds the first. Raises
    Conflict for the id of somebody else's.
    """
    values = {
        "person": by,
        "subscription": subscription,
        "app_id": subscription.app_id,
        "version": version,
        "data": dict(data),
        "created_at": at,
        "expires_at": at + timedelta(days=keep_days),
    }
    try:
        with transaction.atomic():
            return KeptRun.objects.create(pk=run_id, **values), True
    except IntegrityError:
        known = KeptRun.objects.filter(pk=run_id, person=by).first()
        if known is None:
            raise Conflict("This form was used already. Open it again.", code="used_already") from None
        return known, False


def end(run: KeptRun, *, result: Result | None, failure: str = "", at: datetime) -> None:
    """Write what a run brought, or why it brought nothing; the first to end it wins."""
    changes: dict[str, Any] = {"ended_at": at, "failure": failure}
    if result is not None:
        changes |= {
            "output": _storable(result.output),
            "problems": list(result.problems),
            "cost": result.cost,
            "currency": result.currency,
            "model": result.model,
            "latency_ms": result.latency_ms,
        }
    KeptRun.objects.filter(pk=run.pk, ended_at=None).update(**changes)
    run.refresh_from_db()


def _storable(value: Any) -> Any:
    """Leave out what no column can hold: a model may answer with a NUL or half of a surrogate pair."""
    if isinstance(value, str):
        return value.replace("\x00", "").encode(errors="replace").decode()
    if isinstance(value, dict):
        return {_storable(name): _storable(inner) for name, inner in value.items()}
    return [_storable(inner) for inner in value] if isinstance(value, list) else value


def own(actor: Actor, *, at: datetime) -> QuerySet[KeptRun]:
    """Return the runs of a person that have not expired, newest first."""
    kept = KeptRun.objects.filter(person=actor.user, expires_at__gt=at)
    return kept.select_related("app", "version", "subscription__team").order_by("-created_at", "-pk")


def is_interrupted(run: KeptRun, *, at: datetime) -> bool:
    """Tell whether a run was given up: what made it is gone, and nobody will end it."""
    return run.ended_at is None and at - run.created_at > INTERRUPTED_AFTER


def forget(run: KeptRun) -> None:
    """Delete a run, and with it every link to it. What it used stays metered."""
    run.delete()


def forget_expired(*, at: datetime) -> int:
    """Delete runs whose time is over, some at once; returns how many."""
    ids = list(KeptRun.objects.filter(expires_at__lte=at).values_list("pk", flat=True)[:MAX_DELETED_AT_ONCE])
    KeptRun.objects.filter(pk__in=ids).delete()
    return len(ids)


@transaction.atomic
def share(run: KeptRun, *, days: int, by: User, at: datetime) -> RunShare:
    """Make a link to a run for the organization whose team paid for it; a link before it is taken back.

    It ends with the run at the latest. Raises NotEnded, InvalidInput.
    """
    if not 1 <= days <= MAX_SHARE_DAYS:
        raise InvalidInput("days", f"must be 1 to {MAX_SHARE_DAYS}", limit=MAX_SHARE_DAYS)
    # Serializes two who share the same run: one link is in force at a time.
    locked = (
        KeptRun.objects.select_for_update(of=("self",)).select_related("subscription__team").get(pk=run.pk)
    )
    if locked.ended_at is None or locked.failure:
        raise NotEnded
    unshare(locked, by=by, at=at)
    made = RunShare.objects.create(
        pk=uuid4(),
        run=locked,
        organization_id=locked.subscription.team.organization_id,
        created_by=by,
        created_at=at,
        ends_at=min(at + timedelta(days=days), locked.expires_at),
    )
    audit.record(
        "catalog.run.shared", subject=locked, at=at, by=by, new={"ends_at": made.ends_at.isoformat()}
    )
    return made


def unshare(run: KeptRun, *, by: User, at: datetime) -> None:
    """Take the link to a run back; without one nothing happens."""
    with transaction.atomic():
        if run.shares.filter(revoked_at=None).update(revoked_at=at):
            audit.record("catalog.run.unshared", subject=run, at=at, by=by)


def share_in_force(run: KeptRun, *, at: datetime) -> RunShare | None:
    """Return the link to a run that works now."""
    return run.shares.filter(revoked_at=None, ends_at__gt=at).first()


def shared_with(actor: Actor, *, at: datetime) -> QuerySet[RunShare]:
    """Return the links that work for a person: of their organizations, neither ended nor taken back."""
    links = RunShare.objects.filter(
        organization__in=actor.organization_ids,
        revoked_at=None,
        ends_at__gt=at,
        run__expires_at__gt=at,
    )
    return links.select_related("run__app", "run__version", "run__person", "organization")
