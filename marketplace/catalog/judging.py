"""What a smoke test says about an app: cost per call with its uncertainty, and a verdict in words. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from math import ceil
from statistics import median_low

from marketplace.catalog.projections import Interval
from marketplace.core.money import exact, format_amount, to_text

ZERO = Decimal(0)
WARN_OVER_DECLARED = Decimal("0.20")
FAIL_OVER_DECLARED = Decimal("1.00")
FAIL_FAILED_CALLS = Decimal("0.10")
PASSED, WARNED, FAILED, COULD_NOT_CHECK = "passed", "warned", "failed", "could_not_check"
_SEVERITY = (PASSED, WARNED, FAILED)

# Two-sided 95 % points of Student's t for 1 to 30 degrees of freedom (any statistical table); beyond, the normal's.
_T_95 = tuple(map(Decimal, (
    "12.706", "4.303", "3.182", "2.776", "2.571", "2.447", "2.365", "2.306", "2.262", "2.228",
    "2.201", "2.179", "2.160", "2.145", "2.131", "2.120", "2.110", "2.101", "2.093", "2.086",
    "2.080", "2.074", "2.069", "2.064", "2.060", "2.056", "2.052", "2.048", "2.045", "2.042",
)))  # fmt: skip
_Z_95 = Decimal("1.960")


@dataclass(frozen=True)
class SmokeCall:
    """One call of a smoke test. ``error`` says in words why it failed; a failed call has no say in the cost.

    ``example`` is the number of the maker's example it was made with; None: the example input of the app. Cached and
    cache-write tokens are parts of the input, reasoning tokens of the output. ``output`` is None when nobody kept it.
    ``is_provider_away``: it failed through no fault of the app.
    """

    cost: Decimal = ZERO
    input_tokens: int = 0
    cached_input_tokens: int = 0
    cache_write_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0
    latency_ms: int = 0
    error: str = ""
    output: str | None = ""
    example: int | None = None
    model: str = ""
    is_provider_away: bool = False


@dataclass(frozen=True)
class Measured:
    """The calls of a smoke test in figures; cost is None when no call succeeded."""

    calls: int
    failed: int
    cost: Interval | None
    max_cost: Decimal | None
    mean_input_tokens: int | None
    mean_cached_input_tokens: int | None
    mean_cache_write_tokens: int | None
    mean_output_tokens: int | None
    mean_reasoning_tokens: int | None
    p50_latency_ms: int | None
    p95_latency_ms: int | None
    away: int
    first_error: str
    sample_output: str


@dataclass(frozen=True)
class Verdict:
    """A state of a check and why, one sentence a finding."""

    state: str
    findings: tuple[str, ...]


def measure(calls: Sequence[SmokeCall]) -> Measured:
    """Sum up the calls of a smoke test."""
    succeeded = [call for call in calls if not call.error]
    costs = [call.cost for call in succeeded]
    latencies = sorted(call.latency_ms for call in succeeded)
    return Measured(
        calls=len(calls),
        failed=len(calls) - len(succeeded),
        cost=mean_with_interval(costs) if costs else None,
        max_cost=max(costs, default=None),
        mean_input_tokens=_mean([call.input_tokens for call in succeeded]),
        mean_cached_input_tokens=_mean([call.cached_input_tokens for call in succeeded]),
        mean_cache_write_tokens=_mean([call.cache_write_tokens for call in succeeded]),
        mean_output_tokens=_mean([call.output_tokens for call in succeeded]),
        mean_reasoning_tokens=_mean([call.reasoning_tokens for call in succeeded]),
        p50_latency_ms=median_low(latencies) if latencies else None,
        p95_latency_ms=latencies[ceil(len(latencies) * 95 / 100) - 1] if latencies else None,
        away=sum(call.is_provider_away for call in calls if call.error),
        first_error=next((call.error for call in calls if call.error), ""),
        sample_output=next((call.output for call in succeeded if call.output), ""),
    )


def mean_with_interval(costs: Sequence[Decimal]) -> Interval:
    """Give the mean cost and its 95 % interval by Student's t; one call alone has no interval.

    1, 2, 3: mean 2, standard deviation 1, so 2 ± 4.303 x 1 / √3 = 2 ± 2.4843...; never below zero.
    """
    with exact():
        count = len(costs)
        mean = sum(costs, ZERO) / count
        if count == 1:
            return Interval(mean, mean, mean)
        variance = sum(((cost - mean) ** 2 for cost in costs), ZERO) / (count - 1)
        t = _T_95[count - 2] if count - 2 < len(_T_95) else _Z_95
        half = t * (variance / count).sqrt()
        return Interval(max(mean - half, ZERO), mean, mean + half)


def judge(
    measured: Measured,
    *,
    declared_cost: Decimal | None,
    slo_latency_ms: int,
    currency: str,
    stopped_because: str = "",
) -> Verdict:
    """Decide whether a version passes. What could not be checked counts as not passed, whatever was measured."""
    if stopped_because or measured.calls == 0:
        reason = stopped_because or "no call was made"
        return Verdict(COULD_NOT_CHECK, (f"The check could not be finished: {reason} Run it again.",))
    if Decimal(measured.away) > FAIL_FAILED_CALLS * measured.calls:
        return Verdict(COULD_NOT_CHECK, (_away_in_words(measured),))
    found = [
        *_judge_failures(measured),
        *_judge_cost(measured, declared_cost, currency),
        *_judge_latency(measured, slo_latency_ms),
    ]
    state = max((state for state, _ in found), key=_SEVERITY.index, default=PASSED)
    return Verdict(state, tuple(words for _, words in found))


def _away_in_words(measured: Measured) -> str:
    """Say that it is not the app's doing: its maker can change nothing about it."""
    said = f"The first said: {measured.first_error}"
    return f"The check could not be finished: in {measured.away} of {measured.calls} calls no provider of models was there to answer. {said} Run it again."


def _judge_failures(measured: Measured) -> list[tuple[str, str]]:
    if not measured.failed:
        return [(PASSED, f"All {measured.calls} calls succeeded.")]
    is_too_many = Decimal(measured.failed) > FAIL_FAILED_CALLS * measured.calls
    words = f"{measured.failed} of {measured.calls} calls failed. The first said: {measured.first_error}"
    limit = " At most 10 % may fail." if is_too_many else ""
    return [(FAILED if is_too_many else WARNED, words + limit)]


def _judge_cost(measured: Measured, declared: Decimal | None, currency: str) -> list[tuple[str, str]]:
    if measured.cost is None:
        return []
    cost = measured.cost
    low, mean, high = (shown(value, currency) for value in (cost.low, cost.mean, cost.high))
    interval = f"95 % interval {low} to {high} by Student's t over {measured.calls - measured.failed} calls"
    if declared is None:
        return [(PASSED, f"A call costs {mean} ({interval}); no cost was declared.")]
    over = cost.mean - declared
    if over > FAIL_OVER_DECLARED * declared:
        state, words = (
            FAILED,
            "more than double what was declared. Use a smaller model or a shorter prompt, or declare it.",
        )
    elif over > WARN_OVER_DECLARED * declared:
        state, words = (
            WARNED,
            "more than 20 % over what was declared. Declare what it costs, or make it cheaper.",
        )
    else:
        state, words = PASSED, "within what was declared."
    return [
        (state, f"A call costs {mean} ({interval}) against {shown(declared, currency)} declared: {words}")
    ]


def _judge_latency(measured: Measured, slo_latency_ms: int) -> list[tuple[str, str]]:
    if measured.p95_latency_ms is None:
        return []
    took = f"95 % of the calls answered within {measured.p95_latency_ms:,} ms; {slo_latency_ms:,} ms are promised."
    if measured.p95_latency_ms > slo_latency_ms:
        return [(WARNED, f"{took} Promise more time, or use a faster model.")]
    return [(PASSED, took)]


def _mean(counts: Sequence[int]) -> int | None:
    """Round the mean of counts half up."""
    return (2 * sum(counts) + len(counts)) // (2 * len(counts)) if counts else None


def shown(value: Decimal, currency: str) -> str:
    """Show an amount with four telling digits: enough to compare, not so many that nobody reads them."""
    places = max(2, 3 - value.adjusted()) if value else 2
    rounded = value.quantize(Decimal(1).scaleb(-places))
    return format_amount(Decimal(to_text(rounded)), currency)
