"""The limits in force, as a snapshot: which limits a call meets, without a query."""

from collections import defaultdict
from collections.abc import Collection
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
    mode: str
    currency: str
    time_zone: str
    environment: str
    starts_at: datetime
    ends_at: datetime | None
    model_class: str = ""

    @property
    def is_hard(self) -> bool:
        return self.mode == "hard"

    def counts(self, environment: str, at: datetime) -> bool:
        """Tell whether usage of this environment at this time counts.

        One that begins in the middle of a window counts all of that window, and refuses from its start on: a budget
        that is raised on the 15th does not forget the first fourteen days.
        """
        if self.environment != environment and (self.environment or environment == "sandbox"):
            return False
        if self.ends_at is not None and at >= self.ends_at:
            return False
        return self.starts_at <= at or self.starts_at < self.bounds(at)[1]

    def counts_class(self, model_class: str) -> bool:
        """Tell whether usage of a model of this class counts; empty stands for usage of no model."""
        return not self.model_class or self.model_class == model_class

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
    has_classes: bool
    """Whether some limit counts a class of models only; without one nobody needs to ask for classes."""

    def chain(
        self, owners: tuple[Owner, ...], *, environment: str, at: datetime, classes: Collection[str]
    ) -> list[LimitFacts]:
        """Return every limit that usage of these owners counts against, were it of any of these model classes."""
        return [
            limit
            for owner in owners
            for limit in self.by_owner.get(owner, ())
            if limit.counts(environment, at) and (not limit.model_class or limit.model_class in classes)
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
        "ends_at", "model_class", *columns,
    )  # fmt: skip
    for row in rows:
        owner = next(
            (kind, value) for kind, value in zip(OWNER_KINDS, row[11:], strict=True) if value is not None
        )
        facts = LimitFacts(
            id=row[0],
            owner=owner,
            measure=row[1],
            window=row[2],
            value=row[3],
            mode=row[4],
            currency=row[5],
            time_zone=row[6],
            environment=row[7],
            starts_at=row[8],
            ends_at=row[9],
            model_class=row[10],
        )
        by_owner[owner].append(facts)
    by_id = {facts.id: facts for limits in by_owner.values() for facts in limits}
    dates = {
        date for facts in by_id.values() for date in (facts.starts_at, facts.ends_at) if date is not None
    }
    minutes = frozenset(date.replace(second=0, microsecond=0) for date in dates)
    has_classes = any(facts.model_class for facts in by_id.values())
    return LimitBook(
        {owner: tuple(limits) for owner, limits in by_owner.items()}, by_id, minutes, has_classes
    )


limit_book: Snapshot[LimitBook] = Snapshot(epochs.LIMITS, load_limit_book)
