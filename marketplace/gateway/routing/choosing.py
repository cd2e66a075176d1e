"""One call against its app's policy: which of the offers that the router ranked are used, and why. Pure.

The order of offers, by price and by whatever else makes equals differ, is the router's and is kept: a policy only leaves
offers out. So the hold, which covers the dearest offer of the route, covers the dearest that a policy may choose.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

from marketplace.gateway.router import Offer, Route
from marketplace.gateway.routing import difficulty as difficulties
from marketplace.gateway.routing import table
from marketplace.gateway.routing.book import Learned, Policy
from marketplace.gateway.routing.difficulty import MARGIN, Judge, Judgment
from marketplace.gateway.routing.table import Call, Row


@dataclass(frozen=True)
class Prompt:
    """The text of a call, judged once and only when a row asks for it."""

    text: Callable[[], str]
    judge: Callable[[], Judge] = difficulties.judge

    @cached_property
    def judgment(self) -> Judgment | None:
        return self.judge().judge(self.text())


@dataclass(frozen=True, slots=True)
class Known:
    """A prompt that was judged before, as a dry run has it."""

    judgment: Judgment | None


@dataclass(frozen=True, slots=True)
class Decision:
    """What a policy makes of a call: a route of at least one offer. ``row`` is 0 when no row could be followed."""

    route: Route
    row: int


def decide(
    policy: Policy, call: Call, prompt: Prompt | Known, ranked: Sequence[Offer], *, learned: Learned
) -> Decision:
    """Choose among ranked offers, of which there is at least one."""
    if learned.is_strong_only:
        offers = strongest(ranked)
        measured = f"measured quality {learned.quality} % is under the floor of {policy.quality_floor} %"
        return Decision(Route(offers, f"{measured}: strongest; {_of(offers)}"), 0)
    passed: list[str] = []
    for number, row in table.matching(policy.rows, call):
        offers, why = _used(row, policy, prompt, ranked, learned)
        if offers:
            said = f"row {number}: {row}{f' ({why})' if why else ''}; {_of(offers)}"
            return Decision(Route(offers, "; ".join([*passed, said])), number)
        passed.append(f"row {number}: no offer of {row.use}")
    return Decision(Route(tuple(ranked), "; ".join([*passed, f"no row: {_of(ranked)}"])), 0)


def strongest(ranked: Sequence[Offer]) -> tuple[Offer, ...]:
    """Return the offers of the strongest class among them."""
    top = max(strength(offer) for offer in ranked)
    return tuple(offer for offer in ranked if strength(offer) == top)


def weakest(ranked: Sequence[Offer]) -> tuple[Offer, ...]:
    """Return the offers of the weakest class among them."""
    bottom = min(strength(offer) for offer in ranked)
    return tuple(offer for offer in ranked if strength(offer) == bottom)


def strength(offer: Offer) -> int:
    """Return the place of an offer's class, from weak to strong."""
    return table.CLASSES.index(offer.model_class) if offer.model_class in table.CLASSES else -1


def _used(
    row: Row, policy: Policy, prompt: Prompt | Known, ranked: Sequence[Offer], learned: Learned
) -> tuple[tuple[Offer, ...], str]:
    """Return the offers that a row means, none when there are none, and what else there is to say."""
    if row.use == table.AUTO:
        return _by_difficulty(policy, prompt, ranked, learned)
    if row.use == table.CHEAPEST:
        return tuple(ranked), ""
    if row.use == table.STRONGEST:
        return strongest(ranked), ""
    return tuple(offer for offer in ranked if row.use in (offer.model, offer.model_class)), ""


def _by_difficulty(
    policy: Policy, prompt: Prompt | Known, ranked: Sequence[Offer], learned: Learned
) -> tuple[tuple[Offer, ...], str]:
    """Take the weakest class for what is surely easy, and the strongest for the rest."""
    threshold = difficulties.judge().threshold(policy.quality_floor) + learned.offset
    judgment = prompt.judgment
    if judgment is None:
        return strongest(ranked), "unsure: a prompt of an unknown kind, so the strongest"
    told = f"difficulty {judgment.difficulty} of 100"
    if judgment.because:
        told += f", by {' and '.join(judgment.because)}"
    if judgment.difficulty >= threshold - MARGIN:
        return strongest(ranked), f"{told}: strongest"
    return weakest(ranked), f"{told}, under {threshold - MARGIN}: weakest"


def _of(offers: Sequence[Offer]) -> str:
    return "the only offer" if len(offers) == 1 else f"cheapest of {len(offers)}"
