"""In which order the credits of a wallet are used, as a calculation.

A credit here is anything that has ``kind``, ``left_minor``, ``expires_at`` and ``granted_at``.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar

_NEVER = datetime.max.replace(tzinfo=UTC)
T = TypeVar("T")


@dataclass(frozen=True)
class Taken(Generic[T]):
    """A part taken of one credit."""

    credit: T
    amount_minor: int


def in_order(credits: Iterable[T], *, at: datetime) -> list[T]:
    """Sort what may be used: the soonest to expire first, given before paid, then the oldest."""
    return sorted((one for one in credits if _is_usable(one, at)), key=_place)


def take(credits: Iterable[T], amount_minor: int, *, at: datetime) -> list[Taken[T]]:
    """Take up to an amount out of credits, in their order; less when there is less."""
    taken: list[Taken[T]] = []
    for credit in in_order(credits, at=at):
        part = min(_left_minor(credit), amount_minor)
        if part <= 0:
            break
        taken.append(Taken(credit, part))
        amount_minor -= part
    return taken


def _is_usable(credit: Any, at: datetime) -> bool:
    return credit.left_minor > 0 and (credit.expires_at is None or credit.expires_at > at)


def _place(credit: Any) -> tuple[datetime, bool, datetime]:
    return credit.expires_at or _NEVER, credit.kind == "paid", credit.granted_at


def _left_minor(credit: Any) -> int:
    left: int = credit.left_minor
    return left
