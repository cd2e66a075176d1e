"""Who starts and stops the replicas of a pool. What all of them have in common."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol
from uuid import UUID

from marketplace.core.errors import Unavailable


class Seen(StrEnum):
    """What is seen of a replica."""

    STARTING = "starting"
    READY = "ready"
    GONE = "gone"


@dataclass(frozen=True, slots=True)
class Started:
    """What an actuator finds a started replica by, and where it answers; empty where a cluster knows."""

    handle: str = ""
    address: str = ""
    is_restored: bool = False


@dataclass(frozen=True, slots=True)
class ReplicaFacts:
    """A replica as an actuator needs to know it."""

    id: UUID
    number: int
    is_spot: bool
    handle: str
    address: str


class CannotScale(Unavailable):
    """Whoever starts replicas did not do as it was told; it is tried again."""

    code = "cannot_scale"

    def __init__(self, why: str) -> None:
        super().__init__(f"The pool could not be scaled: {why}", retry_after_s=10)


class Actuator(Protocol):
    """Starts, looks at and stops replicas: one by one, or by telling a cluster how many there should be."""

    def start(self, *, pool: str, number: int, is_spot: bool, restores: bool) -> Started:
        """Start a replica, or leave it to ``settle``. Raises CannotScale."""
        ...

    def stop(self, replica: ReplicaFacts, *, is_urgent: bool) -> None:
        """Let a replica finish what it does and end; at once when it is urgent."""
        ...

    def snapshot(self, replica: ReplicaFacts, *, pool: str) -> str:
        """Keep how a replica is that has just started cold, once for a pool; say what was done, if anything."""
        ...

    def forget_snapshot(self, *, pool: str) -> None:
        """Let the next replica start cold: nothing comes up from the snapshot."""
        ...

    def settle(self, *, on_demand: int, spot: int) -> None:
        """Tell a cluster how many replicas there should be. Raises CannotScale."""
        ...

    def look(self, replicas: Sequence[ReplicaFacts]) -> dict[UUID, Seen]:
        """Say what is seen of each replica. Raises CannotScale when nothing can be seen."""
        ...


class Nobody:
    """Starts nothing: the decision is only told. What should be there counts as there."""

    def start(self, *, pool: str, number: int, is_spot: bool, restores: bool) -> Started:
        return Started()

    def stop(self, replica: ReplicaFacts, *, is_urgent: bool) -> None:
        return None

    def snapshot(self, replica: ReplicaFacts, *, pool: str) -> str:
        return ""

    def forget_snapshot(self, *, pool: str) -> None:
        return None

    def settle(self, *, on_demand: int, spot: int) -> None:
        return None

    def look(self, replicas: Sequence[ReplicaFacts]) -> dict[UUID, Seen]:
        return {replica.id: Seen.READY for replica in replicas}


def seen_by_count(replicas: Sequence[ReplicaFacts], *, on_demand: int, spot: int) -> dict[UUID, Seen]:
    """Say of a cluster's ready counts which replicas are ready: the lowest numbers of each kind."""
    seen: dict[UUID, Seen] = {}
    left = {False: on_demand, True: spot}
    for replica in sorted(replicas, key=lambda one: one.number):
        seen[replica.id] = Seen.READY if left[replica.is_spot] > 0 else Seen.STARTING
        left[replica.is_spot] -= 1
    return seen
