"""Admit or refuse: every limit of the chain has room for what a call may use, or nothing is held."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from quotas import counters
from quotas.admission.chains import Chain, Chains
from quotas.admission.words import Admitted, Estimate, HoldRequest, Refused, Standing
from quotas.counters import Counter

ONE = Decimal(1)
Asked = list[tuple[Counter, Decimal]]


@dataclass(slots=True)
class Decision:
    """An answer and, of an admitted call, what is held of which counter."""

    answer: Admitted | Refused
    held: Asked


def decide(
    holds: Sequence[HoldRequest],
    chains: Chains,
    ids: dict[counters.Key, int],
    locked: dict[int, Counter],
    *,
    at: datetime,
) -> list[Decision]:
    """Decide in order of arrival: the first way to make a call that every limit of its chain has room for."""
    decided = []
    for request, chain in zip(holds, chains.of_holds, strict=True):
        met = [locked[ids[meeting.key]] for meeting in chain]
        decided.append(_decide(request, chain, met, at=at))
    return decided


def _decide(request: HoldRequest, chain: Chain, met: list[Counter], *, at: datetime) -> Decision:
    refusing: Asked = []
    for choice, estimate in enumerate((request.estimate, *request.alternatives)):
        asked = [
            (counter, amount_of(estimate, counter.limit.measure))
            for counter in met
            if not counter.limit.model_class or counter.limit.model_class in estimate.classes
        ]
        refusing = [(counter, amount) for counter, amount in asked if not counter.can_take(amount)]
        if not refusing:
            for counter, amount in asked:
                counter.hold(amount)
            standings = _standings([counter for counter, _ in asked], at=at)
            return Decision(Admitted(request.id, standings, choice), asked)
    counter, amount = max(refusing, key=_time_to_wait)
    return Decision(Refused(_standing(counter), amount, at, _standings(met, at=at)), [])


def amount_of(estimate: Estimate, measure: str) -> Decimal:
    """Return what a call may use at most in a limit's measure."""
    if measure == "tokens":
        return Decimal(estimate.tokens)
    if measure == "cost":
        return estimate.cost
    return ONE


def _time_to_wait(refusing: tuple[Counter, Decimal]) -> tuple[bool, datetime]:
    """Order refusals by how long they last: calls at a time may end at any moment, windows end at their end."""
    counter, _ = refusing
    return counter.limit.measure != "concurrency", counter.window_ends_at


def _standings(met: list[Counter], *, at: datetime) -> tuple[Standing, ...]:
    return tuple(_standing(counter) for counter in met if counter.limit.starts_at <= at)


def _standing(counter: Counter) -> Standing:
    return Standing(counter.limit, counter.used, counter.window_ends_at)
