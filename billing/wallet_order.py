"""In which order the credits of a wallet are used, as a calculation."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Generic, Protocol, TypeVar

_NEVER = datetime.max.replace(tzinfo=UTC)


class Usable(Protocol):
    """What the order looks at."""

    @property
    def kind(self) -> str: ...
    @property
    def left_minor(self) -> int: ...
    @property
    def expires_at(self) -> datetime | None: ...
    @property
    def granted_at(self) -> datetime: ...


T = TypeVar("T", bound=Usable)


@dataclass(frozen=True)
class Taken(Generic[T]):
    """A part taken of one credit."""

    credit: T
    amount_minor: int


def in_order(credits: Iterable[T], *, at: datetime) -> list[T]:
    """Sort what may be used: the soonest to expire first, given before paid, then the oldest."""
    usable = [one for one in credits if one.left_minor and (one.expires_at is None or one.expires_at > at)]
    return sorted(usable, key=lambda one: (one.expires_at or _NEVER, one.kind == "paid", one.granted_at))


def take(credits: Iterable[T], amount_minor: int, *, at: datetime) -> list[Taken[T]]:
    """Take up to an amount out of credits, in their order; less when there is less."""
    taken: list[Taken[T]] = []
    for credit in in_order(credits, at=at):
        part = min(credit.left_minor, amount_minor)
        if part <= 0:
            break
        taken.append(Taken(credit, part))
        amount_minor -= part
    return taken
