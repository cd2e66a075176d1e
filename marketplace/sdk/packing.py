"""Several inputs in one call: packed to a bound, and each alone where a pack does not come out whole."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True)
class Outcome(Generic[R]):
    """What one input came to: a value, or the error of its own call. ``was_alone``: it was not part of a pack."""

    value: R | None = None
    error: Exception | None = None
    was_alone: bool = False

    @property
    def is_ok(self) -> bool:
        return self.error is None


def packs(
    items: Sequence[T], *, most: int, weight: Callable[[T], int] = lambda _: 0, most_weight: int | None = None
) -> Iterator[list[T]]:
    """Cut items, in their order, into packs of at most ``most`` and at most ``most_weight`` together.

    An item that is heavier than that by itself is a pack of its own.

    >>> list(packs([3, 4, 5, 9], most=10, weight=int, most_weight=8))
    [[3, 4], [5], [9]]
    """
    if most < 1:
        raise ValueError("most is at least 1")
    pack: list[T] = []
    heavy = 0
    for item in items:
        weighs = weight(item)
        if pack and (len(pack) >= most or (most_weight is not None and heavy + weighs > most_weight)):
            yield pack
            pack, heavy = [], 0
        pack.append(item)
        heavy += weighs
    if pack:
        yield pack


def call_packed(
    items: Sequence[T],
    call: Callable[[list[T]], Sequence[R]],
    *,
    most: int = 20,
    weight: Callable[[T], int] = lambda _: 0,
    most_weight: int | None = None,
) -> list[Outcome[R]]:
    """Call with packs of items; returns an outcome for each item, in their order.

    ``call`` gets a list and returns a value for each of its items. Where it fails, or returns another number of values,
    the items of that pack are called one by one, so that one bad item spoils no other.

    >>> [one.value for one in call_packed(["a", "b", "c"], lambda some: [text.upper() for text in some], most=2)]
    ['A', 'B', 'C']
    """
    outcomes: list[Outcome[R]] = []
    for pack in packs(items, most=most, weight=weight, most_weight=most_weight):
        values = _together(pack, call) if len(pack) > 1 else None
        if values is not None:
            outcomes += [Outcome(value) for value in values]
        else:
            outcomes += [_alone(item, call) for item in pack]
    return outcomes


def _together(pack: list[T], call: Callable[[list[T]], Sequence[R]]) -> list[R] | None:
    try:
        values = list(call(list(pack)))
    except Exception:
        # Whatever it is: each item is called by itself next, and its own error is told.
        return None
    return values if len(values) == len(pack) else None


def _alone(item: T, call: Callable[[list[T]], Sequence[R]]) -> Outcome[R]:
    try:
        (value,) = call([item])
    except Exception as error:
        return Outcome(error=error, was_alone=True)
    return Outcome(value, was_alone=True)
