"""The simulation: calls through the levers in order, each paid for before and after. Pure and repeatable to the byte."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from copy import copy
from dataclasses import replace

from marketplace.gateway.savings import levers
from marketplace.gateway.savings.calls import Trace, in_pieces
from marketplace.gateway.savings.report import (
    Cell,
    Counts,
    Latency,
    LeverSaving,
    PoolOutcome,
    Quality,
    Report,
    Stretch,
    percentile,
    share,
)
from marketplace.gateway.savings.scenario import Scenario
from marketplace.gateway.savings.served import Bill, InstanceBill, Served, TokenBill, begin, demands

REPEATS = (0, 10, 50, 100, 200)
BATCHABLE = (0, 100, 200, 500)
STRETCHES = 48
CACHE_MS = 15
"""What an answer from the cache takes."""

Progress = Callable[[int, int], None]


def simulate(
    trace: Trace, scenario: Scenario, *, has_grid: bool = True, progress: Progress = lambda done, total: None
) -> Report:
    """Replay a trace through the levers of a scenario. Raises InvalidInput when the scenario makes no sense.

    ``progress`` is told how many steps of how many are done.
    """
    scenario.check()
    steps = 1 + (len(REPEATS) * len(BATCHABLE) if has_grid else 0)
    start = _start(trace, scenario)
    before = [copy(one) for one in start]
    served = [copy(one) for one in start]
    found = _apply(served, trace, scenario)
    progress(1, steps)
    grid: list[Cell] = []
    if has_grid:
        for cell in _grid(trace, scenario, start):
            grid.append(cell)
            progress(1 + len(grid), steps)
    return _report(trace, scenario, before, served, found, tuple(grid))


def _start(trace: Trace, scenario: Scenario) -> list[Served]:
    """Admit the calls; the others are put aside, and what is left of sums is divided into pieces."""
    served = begin(trace, trace.calls, scenario)
    if "limits" in scenario.levers:
        levers.limit_calls(served, trace, scenario)
    if not trace.is_rates:
        return served
    refused = [one for one in served if one.is_refused]
    return refused + begin(trace, in_pieces(one.call for one in served if not one.is_refused), scenario)


def _apply(served: list[Served], trace: Trace, scenario: Scenario) -> tuple[LeverSaving, ...]:
    """Apply the levers that are on, in order; what limits refused is in no cost, neither before nor after."""
    bill = _bill(trace, scenario)
    cost = bill.total(served)
    found = [LeverSaving("limits", cost, cost)] if "limits" in scenario.levers else []
    for name, apply in levers.AFTER_ADMISSION:
        if name in scenario.levers:
            apply(served, trace, scenario)
            before, cost = cost, bill.total(served)
            found.append(LeverSaving(name, before, cost))
    if "pools" in scenario.levers:
        found.append(LeverSaving("pools", cost, _last_bill(trace, scenario).total(served)))
    return tuple(found)


def _bill(trace: Trace, scenario: Scenario) -> Bill:
    return InstanceBill(trace, scenario) if _is_own(scenario) else TokenBill(trace, scenario)


def _is_own(scenario: Scenario) -> bool:
    return scenario.hosting == "instances"


def _counted(trace: Trace, served: Sequence[Served]) -> Sequence[Served]:
    """Leave out what is only learnt from."""
    return [one for one in served if one.call.after_ms >= trace.judged_from_ms]


def _grid(trace: Trace, scenario: Scenario, start: Sequence[Served]) -> Iterator[Cell]:
    """Work out the whole saving for other shares; only what comes after routing depends on them."""
    served = [copy(one) for one in start]
    base = _bill(trace, scenario).total(served)
    if "routing" in scenario.levers:
        levers.route_calls(served, trace, scenario)
    for repeats in REPEATS:
        for batchable in BATCHABLE:
            assumed = replace(scenario, repeat_permille=repeats, batchable_permille=batchable)
            for one in served:
                one.forget()
            for name, apply in levers.AFTER_ROUTING:
                if name in scenario.levers:
                    apply(served, trace, assumed)
            yield Cell(repeats, batchable, base - _last_bill(trace, assumed).total(served), base)


def _last_bill(trace: Trace, scenario: Scenario) -> Bill:
    """Return the bill after the last lever."""
    if _is_own(scenario):
        return InstanceBill(trace, scenario, is_following="pools" in scenario.levers)
    return TokenBill(trace, scenario)


def _report(
    trace: Trace,
    scenario: Scenario,
    before: Sequence[Served],
    served: Sequence[Served],
    found: tuple[LeverSaving, ...],
    grid: tuple[Cell, ...],
) -> Report:
    counted_before, counted = _counted(trace, before), _counted(trace, served)
    base = _bill(trace, scenario).total(before)
    return Report(
        trace=trace.name,
        assumptions=scenario.as_json(),
        notes=(*trace.notes, *_notes(trace, scenario)),
        currency=scenario.currency,
        base_atto=base,
        levers=found,
        counts=_counts(trace, scenario, counted),
        quality=_quality(counted),
        latency_before=_latency(counted_before),
        latency_after=_latency(counted),
        pools=_pools(trace, scenario, served),
        stretches=_stretches(trace, scenario, counted_before, counted),
        starts_at=trace.at(trace.judged_from_ms).isoformat().replace("+00:00", "Z"),
        length_ms=trace.length_ms - trace.judged_from_ms,
        grid=grid,
    )


def _counts(trace: Trace, scenario: Scenario, served: Sequence[Served]) -> Counts:
    bill = TokenBill(trace, scenario)

    def count(pick: Callable[[Served], bool]) -> int:
        return sum(one.call.count for one in served if pick(one))

    refused = [one for one in served if one.is_refused]
    return Counts(
        calls=count(lambda one: True),
        refused=count(lambda one: one.is_refused),
        refused_atto=sum(bill.at(one, one.asked) for one in refused),
        routed=count(lambda one: one.is_routed),
        hits=count(lambda one: one.is_hit and not one.is_wrong),
        wrong_hits=count(lambda one: one.is_wrong),
        prompt_tokens=sum(one.call.input_tokens * one.call.count for one in served if not one.is_refused),
        cached_prompt_tokens=sum(one.cached_input * one.call.count for one in served if one.is_called),
        batched=count(lambda one: one.is_batch),
    )


def _quality(served: Sequence[Served]) -> Quality:
    calls = right_before = right_after = 0
    for one in served:
        if one.is_refused:
            continue
        _, weak, strong = one.question
        calls += one.call.count
        right_before += strong * one.call.count
        right_after += (weak if one.is_routed else strong) * one.call.count
    return Quality(calls, right_before, right_after)


def _latency(served: Sequence[Served]) -> Latency:
    """Take the calls that somebody waits for: not the refused, and not those in batches."""
    weights: dict[int, int] = defaultdict(int)
    for one in served:
        if not one.is_refused and not one.is_batch:
            weights[one.service_ms if one.is_called else CACHE_MS] += one.call.count
    weighted = list(weights.items())
    return Latency(percentile(weighted, 50), percentile(weighted, 95))


def _pools(trace: Trace, scenario: Scenario, served: Sequence[Served]) -> tuple[PoolOutcome, ...]:
    if not _is_own(scenario) or "pools" not in scenario.levers:
        return ()
    bill = InstanceBill(trace, scenario, is_following=True)
    outcomes = []
    for demand in demands(trace, served):
        planned = bill.plan(demand)
        late = share(planned.late_milli, planned.milli)
        outcomes.append(
            PoolOutcome(
                demand.model.name,
                demand.flat,
                bill.kept_ms(demand),
                planned.flat_ms,
                len(planned.windows),
                planned.short,
                late,
            )
        )
    return tuple(outcomes)


def _stretches(
    trace: Trace, scenario: Scenario, before: Sequence[Served], served: Sequence[Served]
) -> tuple[Stretch, ...]:
    """Sum what calls cost by stretch of time, at the rate cards; nothing where instances are paid for."""
    if _is_own(scenario):
        return ()
    bill = TokenBill(trace, scenario)
    each = max(1, -(-(trace.length_ms - trace.judged_from_ms) // STRETCHES))
    sums: dict[int, list[int]] = defaultdict(lambda: [0, 0])
    for was, now in zip(before, served, strict=True):
        stretch = (was.call.after_ms - trace.judged_from_ms) // each
        sums[stretch][0] += bill.of(was)
        sums[stretch][1] += bill.of(now)
    return tuple(Stretch(number * each, *sums[number]) for number in sorted(sums))


def _notes(trace: Trace, scenario: Scenario) -> list[str]:
    """Say what was assumed because the trace does not tell it."""
    notes = [
        f"How good answers are is not in the traffic: each call has a question of {scenario.verdicts.source}, by the seed.",
        f"{scenario.batchable_permille / 10:g} % of the calls may wait up to {scenario.batch_hours} hours: assumed.",
    ]
    if scenario.repeat_permille is not None:
        notes.append(f"{scenario.repeat_permille / 10:g} % of the calls repeat an earlier one: assumed.")
    elif not trace.has_prompts:
        notes.append(
            "Prompts are not in the traffic, so no repeats are counted; the grid shows what they would save."
        )
    if not trace.has_tokens:
        notes.append(
            f"Tokens are not in the traffic: {scenario.input_tokens} in and {scenario.output_tokens} out a call, assumed."
        )
    if _is_own(scenario):
        notes.append(
            "Speeds and calls at a time of instances are assumed; the flat number is that of the busiest window."
        )
    return notes
