"""Admit or refuse: every limit of the chain has room for the estimate, or nothing is held."""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal

from quotas import counters
from quotas.admission.chains import Chains
from quotas.admission.words import Admitted, HoldRequest, Refused, Standing
from quotas.counters import Counter

ONE = Decimal(1)


def estimated(request: HoldRequest, measure: str) -> Decimal:
    if measure == "tokens":
        return Decimal(request.estimate.tokens)
    if measure == "cost":
        return request.estimate.cost
    return ONE


def decide(
    holds: Sequence[HoldRequest],
    chains: Chains,
    ids: dict[counters.Key, int],
    locked: dict[int, Counter],
    *,
    at: datetime,
) -> list[Admitted | Refused]:
    """Decide in order of arrival: every limit of the chain admits the estimate, or nothing is held."""
    decided: list[Admitted | Refused] = []
    for request, chain in zip(holds, chains.of_holds, strict=True):
        asked = [(locked[ids[m.key]], estimated(request, m.limit.measure)) for m in chain]
        refusing = [(counter, amount) for counter, amount in asked if not counter.can_take(amount)]
        if refusing:
            counter, amount = max(refusing, key=_time_to_wait)
            decided.append(Refused(_standing(counter), amount, at))
            continue
        for counter, amount in asked:
            counter.hold(amount)
        decided.append(Admitted(request.id, tuple(_standing(counter) for counter, _ in asked)))
    return decided


def _time_to_wait(refusing: tuple[Counter, Decimal]) -> tuple[bool, datetime]:
    """Order refusals by how long they last: calls at a time may end at any moment, windows end at their end."""
    counter, _ = refusing
    return counter.limit.measure != "concurrency", counter.window_ends_at


def _standing(counter: Counter) -> Standing:
    return Standing(counter.limit, counter.used, counter.window_ends_at)
