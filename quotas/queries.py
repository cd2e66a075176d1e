"""Where limits stand: what is used and held of each, and which one of a chain says no first."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import ROUND_FLOOR, Decimal
from typing import Any

from django.db.models import F, FilteredRelation, Q, QuerySet, Value
from django.db.models.functions import Coalesce, NullIf

from marketplace.catalog.models import Environment
from marketplace.core.periods import window_bounds
from quotas.lifts import with_values
from quotas.models import Limit
from quotas.owners import RELATED, Owner, OwnerKey, owner_of_limit

ZERO = Decimal(0)
LimitKey = tuple[str, str, str]
"""Measure, window and model class: what limits of different owners are compared by."""


@dataclass(frozen=True)
class LimitStanding:
    """A limit in its window of now. ``resets_at`` is None for concurrency, which frees up as calls end."""

    limit: Limit
    owner: Owner
    value: Decimal
    """What holds now: the limit's own value, or the higher one of a grant."""
    spent: Decimal
    held: Decimal
    overrun: Decimal
    resets_at: datetime | None
    is_in_force: bool

    @property
    def used(self) -> Decimal:
        """What was used, also beyond the limit."""
        return self.spent + self.overrun

    @property
    def taken(self) -> Decimal:
        """What counts against the limit: used, or held by calls under way."""
        return self.used + self.held

    @property
    def remaining(self) -> Decimal:
        return max(ZERO, self.value - self.taken)

    @property
    def percent(self) -> int:
        """What is taken of the limit, rounded down: 100 never stands beside a limit with room left."""
        if not self.value:
            return 100
        return int((self.taken * 100 / self.value).to_integral_value(ROUND_FLOOR))

    @property
    def is_lifted(self) -> bool:
        """Tell whether a grant holds the limit up at present."""
        return self.value > self.limit.limit_value

    @property
    def key(self) -> LimitKey:
        return self.limit.measure, self.limit.window, self.limit.model_class

    @property
    def is_hard(self) -> bool:
        return self.limit.mode == Limit.Mode.HARD

    def bounds(self, key: LimitKey) -> bool:
        """Tell whether it bounds what a limit of this key counts: the same, of the same or of all classes of models."""
        return self.key == key or self.key == (*key[:2], "")


def limits_of(owner_kind: str, owner_id: Any, *, at: datetime) -> list[LimitStanding]:
    """Return the limits of one owner (by primary key) that have not ended, with where they stand (one query)."""
    return standings(Limit.objects.filter(**{f"{owner_kind}_id": owner_id}), at=at)


def standings(limits: QuerySet[Limit], *, at: datetime) -> list[LimitStanding]:
    """Return where limits stand, those that ended left out, by owner, measure and window (one query)."""
    found = with_counters(limits, at=at).select_related(*RELATED).order_by("measure", "window", "pk")
    return [standing(limit, at=at) for limit in found]


def with_counters(limits: QuerySet[Limit], *, at: datetime) -> QuerySet[Any]:
    """Add to limits that have not ended what is used in their window of ``at``, and the share as ``taken_share``."""
    in_window = Q(counters__window_starts_at__lte=at, counters__window_ends_at__gt=at)
    counted = (
        with_values(limits, at=at)
        .filter(Q(ends_at=None) | Q(ends_at__gt=at))
        .annotate(
            counter=FilteredRelation("counters", condition=in_window),
            spent_now=Coalesce(F("counter__spent"), Value(ZERO)),
            held_now=Coalesce(F("counter__held"), Value(ZERO)),
            overrun_now=Coalesce(F("counter__overrun"), Value(ZERO)),
        )
    )
    taken = F("spent_now") + F("held_now") + F("overrun_now")
    return counted.annotate(
        taken_share=Coalesce(taken / NullIf(F("value_now"), Value(ZERO)), Value(Decimal(1)))
    )


def standing(limit: Any, *, at: datetime) -> LimitStanding:
    """Read where a limit stands from a row of ``with_counters``."""
    resets_at = None
    if limit.measure != Limit.Measure.CONCURRENCY:
        _, resets_at = window_bounds(at, limit.window, limit.time_zone)
    return LimitStanding(
        limit=limit,
        owner=owner_of_limit(limit),
        value=limit.value_now,
        spent=limit.spent_now,
        held=limit.held_now,
        overrun=limit.overrun_now,
        resets_at=resets_at,
        is_in_force=limit.starts_at <= at,
    )


def effective(owner: Owner, *, at: datetime) -> dict[LimitKey, LimitStanding]:
    """Return for each measure, window and class the limit that would refuse a call of this owner first (one query).

    Looks at the whole chain of the owner; of a subscription: organization, cost center, team, app, itself.
    """
    return tightest(in_force(owner.chain, environment=owner.environment, at=at))


def in_force(chain: Sequence[OwnerKey], *, environment: str, at: datetime) -> list[LimitStanding]:
    """Return the limits of these owners that are in force and count usage of an environment (one query)."""
    of_chain = Limit.objects.filter(
        _of_any(chain), starts_at__lte=at, environment__in=environments(environment)
    )
    return standings(of_chain, at=at)


def environments(environment: str) -> tuple[str, ...]:
    """Return what limits that count usage of an environment say of it; empty stands for all but the sandbox."""
    return (environment,) if environment == Environment.SANDBOX else tuple({"", environment})


def tightest(found: Iterable[LimitStanding]) -> dict[LimitKey, LimitStanding]:
    """Pick for each key the one with the least left that bounds it; one that only warns stands behind a hard one."""
    ordered = sorted(found, key=_least_left)
    return {key: next(one for one in ordered if one.bounds(key)) for key in {one.key for one in ordered}}


def _least_left(one: LimitStanding) -> tuple[bool, Decimal, Decimal, int]:
    return not one.is_hard, one.remaining, one.value, one.limit.pk


def _of_any(chain: Sequence[OwnerKey]) -> Q:
    of_any = Q()
    for kind, pk in chain:
        of_any |= Q(**{f"{kind}_id": pk})
    return of_any
