"""How calls of an app are saved, as its owner sets it; and forgetting what was kept."""

from dataclasses import asdict, dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db import transaction
from django.db.models import F

from marketplace.accounts.models import User
from marketplace.catalog.models import App
from marketplace.core import audit
from marketplace.core.errors import InvalidInput
from marketplace.gateway.caching import similar
from marketplace.gateway.saving_models import (
    LONGEST_TTL_S,
    SHORTEST_TTL_S,
    CachedAnswer,
    CallSaving,
)

NEAREST, FARTHEST = Decimal(1), Decimal("0.8")


@dataclass(frozen=True)
class SavingFacts:
    """What an owner agrees to. ``ttl_s`` of None keeps no answers; ``compares`` measures, and then gives, answers to
    similar questions."""

    ttl_s: int | None
    any_temperature: bool = False
    compares: bool = False
    similar_threshold: Decimal = Decimal("0.950")
    is_batchable: bool = False


def saving_of(app: App) -> CallSaving | None:
    """Return how calls of an app are saved, when its owner has ever said so."""
    return CallSaving.objects.select_related("changed_by").filter(app=app).first()


@transaction.atomic
def change(app: App, *, facts: SavingFacts, by: User, at: datetime) -> CallSaving:
    """Set how calls of an app are saved; holds from the next call on, in every process.

    Measuring begins anew when it is switched on, or when questions may be less alike than before. Raises InvalidInput,
    and NoVectors where the database cannot compare.
    """
    _check(app, facts)
    saving, is_new = CallSaving.objects.select_for_update().get_or_create(
        app=app, defaults={"changed_at": at, "changed_by": by}
    )
    if facts.compares and not _compares(saving) and not similar.can_compare():
        raise similar.NoVectors
    old = {} if is_new else _told(saving)
    for name, value in _columns(saving, facts, at=at).items():
        setattr(saving, name, value)
    saving.changed_at, saving.changed_by = at, by
    saving.save()
    audit.record("gateway.call_saving.changed", subject=saving, at=at, by=by, old=old, new=_told(saving))
    return saving


@transaction.atomic
def purge(app: App, *, by: User, at: datetime) -> int:
    """Forget the kept answers of an app, in every process from its next call on; returns how many the database had."""
    saving, _ = CallSaving.objects.get_or_create(app=app, defaults={"changed_at": at, "changed_by": by})
    # The generation is part of every key: what another process has in its memory, or is just about to keep, is never
    # found again.
    CallSaving.objects.filter(pk=saving.pk).update(generation=F("generation") + 1)
    count, _ = CachedAnswer.objects.filter(app=app).delete()
    audit.record("gateway.call_saving.purged", subject=saving, at=at, by=by, new={"answers": count})
    return count


def _check(app: App, facts: SavingFacts) -> None:
    if facts.ttl_s is not None and not SHORTEST_TTL_S <= facts.ttl_s <= LONGEST_TTL_S:
        raise InvalidInput("ttl_s", "Answers are kept for 5 to 30 minutes.", limit=LONGEST_TTL_S)
    if facts.compares and facts.ttl_s is None:
        raise InvalidInput("compares", "Similar questions need answers that are kept.")
    if not FARTHEST <= facts.similar_threshold <= NEAREST:
        raise InvalidInput("similar_threshold", "How alike is between 0.8 and 1.", limit=NEAREST)
    if app.kind == App.Kind.HTTP and facts != SavingFacts(None, similar_threshold=facts.similar_threshold):
        raise InvalidInput("ttl_s", "Calls of an app that runs elsewhere are its own to save.")


def _columns(saving: CallSaving, facts: SavingFacts, *, at: datetime) -> dict[str, Any]:
    values = asdict(facts)
    compares = values.pop("compares")
    values["similar_permille"] = int(values.pop("similar_threshold").scaleb(3))
    begins = compares and (not _compares(saving) or facts.similar_threshold < saving.similar_threshold)
    if not compares:
        values |= {"similar": CallSaving.Similar.OFF, "similar_since": None}
    elif begins:
        values |= {"similar": CallSaving.Similar.MEASURING, "similar_since": at}
    return values


def _compares(saving: CallSaving) -> bool:
    return saving.similar in (CallSaving.Similar.MEASURING, CallSaving.Similar.SERVING)


def _told(saving: CallSaving) -> dict[str, Any]:
    return {
        "ttl_s": saving.ttl_s,
        "any_temperature": saving.any_temperature,
        "similar": saving.similar,
        "similar_threshold": str(saving.similar_threshold),
        "is_batchable": saving.is_batchable,
    }
