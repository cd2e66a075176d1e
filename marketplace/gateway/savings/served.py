"""Calls on their way through the levers, and what they cost as far as they have come. Pure.

``TokenBill`` pays each call at its rate card. ``InstanceBill`` pays for the time of instances that are kept ready, as many
as the busiest window needs, until the pools follow demand.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Protocol

from marketplace.gateway.pools.planning import Plan, plan
from marketplace.gateway.pools.policy import Policy, Window
from marketplace.gateway.savings.calls import Call, Trace
from marketplace.gateway.savings.scenario import Model, Scenario
from marketplace.gateway.savings.verdicts import PERMILLE, Question
from metering.rating import MS_PER_HOUR, Quantities, token_cost

MILLI = 1000


@dataclass(slots=True)
class Served:
    """A call and what the levers have made of it. The draws are fixed by the seed, whatever the levers do."""

    call: Call
    model: Model
    asked: Model
    question: Question
    repeats_at: int
    is_cacheable: bool
    is_wrong_if_similar: bool
    batches_at: int
    is_refused: bool = False
    is_routed: bool = False
    is_hit: bool = False
    is_wrong: bool = False
    is_batch: bool = False
    cached_input: int = 0

    def forget(self) -> None:
        """Undo everything that comes after routing."""
        self.is_hit = self.is_wrong = self.is_batch = False
        self.cached_input = 0

    @property
    def is_called(self) -> bool:
        """Whether a model is asked for it. A wrong hit is asked again: it saved nothing."""
        return not self.is_refused and (not self.is_hit or self.is_wrong)

    @property
    def service_ms(self) -> int:
        """How long its model works for one of them."""
        call = self.call
        return self.model.server.service_ms(
            input_tokens=call.input_tokens - self.cached_input, output_tokens=call.output_tokens
        )


def begin(trace: Trace, calls: Iterable[Call], scenario: Scenario) -> list[Served]:
    """Put calls before the first lever, each with its question and its draws."""
    draws = {
        name: Random(f"{scenario.seed}:{name}") for name in ("verdict", "cache", "opted", "wrong", "batch")
    }
    return [
        Served(
            call,
            scenario.model(call.model),
            scenario.model(call.model),
            scenario.verdicts.draw(draws["verdict"]),
            draws["cache"].randrange(PERMILLE),
            draws["opted"].randrange(PERMILLE) < scenario.cacheable_permille,
            draws["wrong"].randrange(PERMILLE) < scenario.wrong_permille,
            draws["batch"].randrange(PERMILLE),
        )
        for call in calls
    ]


class Bill(Protocol):
    """What calls cost together, in atto."""

    def total(self, served: Sequence[Served]) -> int: ...


@dataclass(frozen=True)
class TokenBill:
    """Each call at its rate card; a batch at its discount."""

    trace: Trace
    scenario: Scenario

    def total(self, served: Sequence[Served]) -> int:
        """Sum what the calls cost that are judged."""
        start = self.trace.judged_from_ms
        return sum(self.of(one) for one in served if one.call.after_ms >= start)

    def of(self, one: Served) -> int:
        """Return what a call costs as far as it has come."""
        return self.at(one, one.model) if one.is_called else 0

    def at(self, one: Served, model: Model) -> int:
        """Return what a call would cost at a model."""
        call = one.call
        used = Quantities(
            input_tokens=call.input_tokens,
            output_tokens=call.output_tokens,
            cached_input_tokens=one.cached_input,
        )
        if one.is_batch and model.batch_prices:
            return token_cost(used, model.batch_prices) * call.count
        cost = token_cost(used, model.offer.prices) * call.count
        if one.is_batch:
            cost = cost * (PERMILLE - self.scenario.batch_discount_permille) // PERMILLE
        return cost


@dataclass(frozen=True)
class Demand:
    """What one model has to do: calls at a time in each window, and work that may wait."""

    model: Model
    windows: tuple[Window, ...]
    judged: tuple[Window, ...]
    deferred_milli: int

    @property
    def slots_milli(self) -> int:
        return self.model.server.slots * MILLI

    @property
    def flat(self) -> int:
        """Replicas that take the busiest window, and in all windows together also what waits."""
        if not self.judged:
            return 0
        peak = max(-(-window.milli_calls // self.slots_milli) for window in self.judged)
        work = sum(window.milli_calls for window in self.judged) + self.deferred_milli
        return max(peak, -(-work // (self.slots_milli * len(self.judged))))


@dataclass(frozen=True)
class InstanceBill:
    """The time of instances: as many as the busiest window needs, or with ``is_following`` as the pools' policy says."""

    trace: Trace
    scenario: Scenario
    is_following: bool = False

    def total(self, served: Sequence[Served]) -> int:
        """Sum the time of all instances."""
        return sum(self._cost(demand) for demand in demands(self.trace, served))

    def _cost(self, demand: Demand) -> int:
        flat_ms = demand.flat * len(demand.judged) * self.trace.step_ms
        kept_ms = self.kept_ms(demand) if self.is_following else flat_ms
        return (kept_ms * demand.model.server.per_hour + MS_PER_HOUR // 2) // MS_PER_HOUR

    def kept_ms(self, demand: Demand) -> int:
        """Return the time that the pools keep: never more than flat. Work that waits fills what is idle, the rest is added."""
        planned = self.plan(demand)
        ready = planned.replica_ms
        room = sum(max(0, one.ready * demand.slots_milli - one.milli_calls) for one in planned.windows)
        more = max(0, demand.deferred_milli - room)
        added = -(-more // demand.slots_milli) * self.trace.step_ms
        return min(ready + added, demand.flat * len(demand.judged) * self.trace.step_ms)

    def plan(self, demand: Demand) -> Plan:
        """Follow a pool of the model over its windows."""
        wanted = self.scenario
        policy = Policy(
            slots=demand.model.server.slots,
            most=demand.flat,
            quantile_percent=wanted.quantile_percent,
            full_percent=wanted.full_percent,
            cooldown_s=wanted.cooldown_s,
            lead_s=0,
        )
        return plan(
            demand.windows,
            policy,
            starts_at=self.trace.at(self.trace.judged_from_ms),
            step_ms=self.trace.step_ms,
            flat=demand.flat,
        )


def demands(trace: Trace, served: Sequence[Served]) -> list[Demand]:
    """Sum the work of each model by window, by the name of the model; batches may wait."""
    work: dict[str, dict[int, int]] = defaultdict(lambda: defaultdict(int))
    deferred: dict[str, int] = defaultdict(int)
    models: dict[str, Model] = {}
    for one in served:
        if not one.is_called:
            continue
        models[one.model.name] = one.model
        busy_ms = one.service_ms * one.call.count
        if one.is_batch:
            if one.call.after_ms >= trace.judged_from_ms:
                deferred[one.model.name] += busy_ms
        else:
            work[one.model.name][one.call.after_ms // trace.step_ms] += busy_ms
    return [_demand(trace, models[name], work[name], deferred[name]) for name in sorted(models)]


def _demand(trace: Trace, model: Model, work: dict[int, int], deferred_ms: int) -> Demand:
    steps = range(-(-trace.length_ms // trace.step_ms))
    windows = tuple(
        Window(trace.at(step * trace.step_ms), -(-work.get(step, 0) * MILLI // trace.step_ms))
        for step in steps
    )
    start = trace.at(trace.judged_from_ms)
    judged = tuple(window for window in windows if window.at >= start)
    return Demand(model, windows, judged, -(-deferred_ms * MILLI // trace.step_ms))
