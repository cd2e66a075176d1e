"""The limits in force, as a snapshot: which limits a call meets, without a query."""

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal

from marketplace.core import epochs
from marketplace.core.periods import window_bounds
from marketplace.core.snapshots import Snapshot
from metering.attribution import Dimensions
from quotas.models import OWNER_KINDS, Limit

Owner = tuple[str, Any]
CONCURRENCY_WINDOW = datetime.fromisoformat("2000-01-01T00:00:00+00:00")
FOREVER = datetime.fromisoformat("9999-01-01T00:00:00+00:00")


@dataclass(frozen=True, slots=True)
class LimitFacts:
    """A limit as admission sees it."""

    id: int
    owner: Owner
    measure: str
    window: Literal["minute", "day", "month"]
    value: Decimal
    is_hard: bool
    currency: str
    time_zone: str
    environment: str
    starts_at: datetime
    ends_at: datetime | None

    def applies(self, environment: str, at: datetime) -> bool:
        """Tell whether the limit counts usage of this environment at this time."""
        if self.environment != environment and (self.environment or environment == "sandbox"):
            return False
        return self.starts_at <= at and (self.ends_at is None or at < self.ends_at)

    def bounds(self, at: datetime) -> tuple[datetime, datetime]:
        """Return the window of a time: calendar minute, day or month in the limit's zone."""
        if self.measure == "concurrency":
            return CONCURRENCY_WINDOW, FOREVER
        return window_bounds(at, self.window, self.time_zone)


@dataclass(frozen=True, slots=True)
class LimitBook:
    """All limits by owner at one epoch."""

    by_owner: dict[Owner, tuple[LimitFacts, ...]]
    by_id: dict[int, LimitFacts]
    changing_minutes: frozenset[datetime]
    """The minutes, by their start, in which some limit starts or ends."""

    def chain(self, owners: tuple[Owner, ...], *, environment: str, at: datetime) -> list[LimitFacts]:
        """Return every limit that a call of these owners meets."""
        return [
            limit
            for owner in owners
            for limit in self.by_owner.get(owner, ())
            if limit.applies(environment, at)
        ]


def owners_of(who: Dimensions) -> tuple[Owner, ...]:
    """Return the owners in the chain of a call: who pays, who uses, what is used, with which key."""
    owners: list[Owner] = [
        ("organization", who.organization_id),
        ("cost_center", who.cost_center_id),
        ("team", who.team_id),
        ("app", who.app_id),
    ]
    if who.subscription_id is not None:
        owners.append(("subscription", who.subscription_id))
    if who.key_id is not None:
        owners.append(("key", who.key_id))
    return tuple(owners)


def load_limit_book() -> LimitBook:
    """Read every limit that has not ended (one query)."""
    by_owner: dict[Owner, list[LimitFacts]] = defaultdict(list)
    columns = [f"{kind}_id" for kind in OWNER_KINDS]
    rows = Limit.objects.order_by("id").values_list(
        "id", "measure", "window", "limit_value", "mode", "currency", "time_zone", "environment", "starts_at",
        "ends_at", *columns,
    )  # fmt: skip
    for row in rows:
        owner = next(
            (kind, value) for kind, value in zip(OWNER_KINDS, row[10:], strict=True) if value is not None
        )
        facts = LimitFacts(
            id=row[0],
            owner=owner,
            measure=row[1],
            window=row[2],
            value=row[3],
            is_hard=row[4] == "hard",
            currency=row[5],
            time_zone=row[6],
            environment=row[7],
            starts_at=row[8],
            ends_at=row[9],
        )
        by_owner[owner].append(facts)
    by_id = {facts.id: facts for limits in by_owner.values() for facts in limits}
    dates = {
        date for facts in by_id.values() for date in (facts.starts_at, facts.ends_at) if date is not None
    }
    minutes = frozenset(date.replace(second=0, microsecond=0) for date in dates)
    return LimitBook({owner: tuple(limits) for owner, limits in by_owner.items()}, by_id, minutes)


limit_book: Snapshot[LimitBook] = Snapshot(epochs.LIMITS, load_limit_book)
