"""Why a call is admitted or refused: every limit of its chain, which one binds now, and which would bind next."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from marketplace.core.errors import InvalidInput
from metering.models import LanguageModel
from quotas import queries, words
from quotas.owners import Owner, owners_in
from quotas.queries import LimitStanding


@dataclass(frozen=True)
class Link:
    """An owner in the chain with its limits in force; ``binding`` are those that leave the least of their measure."""

    owner: Owner
    limits: tuple[LimitStanding, ...]
    binding: frozenset[int]


@dataclass(frozen=True)
class Explanation:
    """The chain of an owner in order, and in one sentence what stands in the way of a call."""

    links: tuple[Link, ...]
    binds: LimitStanding | None
    next: LimitStanding | None
    sentence: str

    @property
    def is_refusing(self) -> bool:
        return self.binds is not None and _refuses(self.binds)


def explain(owner: Owner, *, environment: str = "", model_class: str = "", at: datetime) -> Explanation:
    """Explain the limits that a call of this owner meets.

    ``environment`` is that of the owner when empty; with a ``model_class`` limits of other classes are left out.
    """
    environment = environment or owner.environment
    found = queries.in_force(owner.chain, environment=environment, at=at)
    if model_class:
        found = [one for one in found if one.limit.model_class in ("", model_class)]
    binding = frozenset(one.limit.pk for one in queries.tightest(found).values())
    links = tuple(
        Link(each, tuple(one for one in found if _is_of(one, each)), binding)
        for each in owners_in(owner.chain)
    )
    first, second = _binding_and_next(found)
    return Explanation(links, first, second, words.why(first, second, at=at))


def class_of(model: str) -> str:
    """Return the class of a model of the catalogue, or none for no name. Raises InvalidInput."""
    if not model:
        return ""
    found = LanguageModel.objects.filter(name=model).values_list("model_class", flat=True).first()
    if found is None:
        raise InvalidInput("model", f"There is no model {model!r}.")
    return found


def _is_of(one: LimitStanding, owner: Owner) -> bool:
    return (one.owner.kind, one.owner.pk) == (owner.kind, owner.pk)


def _binding_and_next(found: Sequence[LimitStanding]) -> tuple[LimitStanding | None, LimitStanding | None]:
    """Order hard limits by what they leave: those without room by how long they last, others by the share taken."""
    refusing = sorted((one for one in found if _refuses(one)), key=_lasts, reverse=True)
    with_room = [one for one in found if one.is_hard and not _refuses(one)]
    ordered = [*refusing, *sorted(with_room, key=_share, reverse=True), None, None]
    return ordered[0], ordered[1]


def _refuses(one: LimitStanding) -> bool:
    return one.is_hard and not one.remaining


def _lasts(one: LimitStanding) -> tuple[bool, float, int]:
    """As admission orders refusals: a window ends at its end, calls at a time may end at any moment."""
    return one.resets_at is not None, one.resets_at.timestamp() if one.resets_at else 0, -one.limit.pk


def _share(one: LimitStanding) -> tuple[object, int]:
    return one.taken / one.value, -one.limit.pk
