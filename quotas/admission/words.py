"""What is asked of admission and what it answers."""

from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from metering.ingest import Receipt, Usage
from quotas.book import LimitFacts


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a call may use at most: one request, tokens in and out, and its cost at the dearest possible price.

    ``classes`` are those of all models that it may come to, ``model`` the one it is sent to first, where it is not that
    of the request's usage.
    """

    tokens: int
    cost: Decimal
    classes: tuple[str, ...] = ()
    model: str = ""


@dataclass(frozen=True, slots=True)
class HoldRequest:
    """A call that asks to be admitted. ``usage`` is what is booked should its process die.

    Where ``estimate`` finds no room, the first of the ``alternatives`` that does is held: ways to make the same call
    that may use less.
    """

    id: UUID
    usage: Usage
    estimate: Estimate
    expires_at: datetime
    alternatives: tuple[Estimate, ...] = ()

    @property
    def classes(self) -> frozenset[str]:
        """The classes of every model that is possible."""
        return frozenset(self.estimate.classes).union(*(one.classes for one in self.alternatives))


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a limit stands: ``used`` of ``limit``, until ``resets_at``."""

    limit: LimitFacts
    used: Decimal
    resets_at: datetime

    @property
    def remaining(self) -> Decimal:
        return max(Decimal(0), self.limit.value - self.used)

    @property
    def is_exceeded(self) -> bool:
        """Whether more is used or held than the limit says; a soft one lets that happen and tells."""
        return self.used > self.limit.value


@dataclass(frozen=True, slots=True)
class Admitted:
    """The hold is on disk; ``standings`` are its limits in force with this hold counted.

    ``choice`` is 0 when the estimate is held, else the place of the alternative that is, counted from 1.
    """

    hold_id: UUID
    standings: tuple[Standing, ...]
    choice: int = 0


@dataclass(frozen=True, slots=True)
class Refused:
    """Nothing is held and nothing will be charged. ``standing`` is the limit that says no (the last to reset).

    With alternatives it is the one that refuses the last of them. ``standings`` are all limits of the call in force.
    """

    standing: Standing
    asked: Decimal
    at: datetime
    standings: tuple[Standing, ...] = ()


@dataclass(frozen=True, slots=True)
class Settlement:
    """The end of a hold: what was really used, or None to release it without a charge."""

    hold_id: UUID
    usage: Usage | None


@dataclass(frozen=True, slots=True)
class Settled:
    """``has_ended`` is False when the hold had ended before; then nothing was changed."""

    has_ended: bool
    receipt: Receipt | None


@dataclass(slots=True)
class Outcome:
    """The answers of one transaction, each list in the order of its requests."""

    holds: list[Admitted | Refused] = field(default_factory=list)
    settlements: list[Settled] = field(default_factory=list)
    reports: list[Receipt] = field(default_factory=list)
