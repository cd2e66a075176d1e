"""Where limits stand: what is used and held of each, and which one of a chain says no first."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import ROUND_FLOOR, Decimal
from typing import Any

from django.db.models import F, FilteredRelation, Q, QuerySet, Value
from django.db.models.functions import Coalesce, NullIf

from marketplace.core.periods import window_bounds
from quotas.lifts import with_values
from quotas.models import Limit
from quotas.owners import RELATED, Owner, OwnerKey, owner_of_limit

ZERO = Decimal(0)


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
    def key(self) -> tuple[str, str]:
        return self.limit.measure, self.limit.window


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


def effective(owner: Owner, *, at: datetime) -> dict[tuple[str, str], LimitStanding]:
    """Return for each measure and window the limit that would refuse a call of this owner first (one query).

    Looks at the whole chain of the owner; of a subscription: organization, cost center, team, app, itself.
    """
    of_chain = Limit.objects.filter(_of_any(owner.chain), starts_at__lte=at, environment=owner.environment)
    return tightest(standings(of_chain, at=at))


def tightest(found: Iterable[LimitStanding]) -> dict[tuple[str, str], LimitStanding]:
    """Pick for each measure and window the one with the least left; one that only warns stands behind a hard one."""
    picked: dict[tuple[str, str], LimitStanding] = {}
    for one in sorted(found, key=_least_left):
        picked.setdefault(one.key, one)
    return picked


def _least_left(one: LimitStanding) -> tuple[bool, Decimal, Decimal, int]:
    return one.limit.mode != Limit.Mode.HARD, one.remaining, one.value, one.limit.pk


def _of_any(chain: Sequence[OwnerKey]) -> Q:
    of_any = Q()
    for kind, pk in chain:
        of_any |= Q(**{f"{kind}_id": pk})
    return of_any
