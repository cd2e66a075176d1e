"""What a simulation found, as values; amounts in atto, written as decimal text. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from metering.rating import from_atto

PERMILLE = 1000


@dataclass(frozen=True, slots=True)
class LeverSaving:
    """What a lever saved of what the ones before it had left."""

    name: str
    before_atto: int
    after_atto: int

    @property
    def saving_atto(self) -> int:
        return self.before_atto - self.after_atto

    def as_json(self, base_atto: int) -> dict[str, Any]:
        """Write it, with its part of the whole cost in thousandths."""
        return {
            "lever": self.name,
            "saving": amount(self.saving_atto),
            "left": amount(self.after_atto),
            "permille_of_base": share(self.saving_atto, base_atto),
        }


@dataclass(frozen=True, slots=True)
class Quality:
    """Right answers, as the labeled questions say: of the strong model alone, and with the routing."""

    calls: int
    right_before: int
    right_after: int

    @property
    def kept_permille(self) -> int:
        return share(self.right_after, self.right_before)

    def as_json(self) -> dict[str, Any]:
        """Write both accuracies and what is lost, in thousandths."""
        return {
            "calls": self.calls,
            "accuracy_before_permille": share(self.right_before, self.calls),
            "accuracy_after_permille": share(self.right_after, self.calls),
            "kept_permille": self.kept_permille,
            "lost_permille": PERMILLE - self.kept_permille,
        }


@dataclass(frozen=True, slots=True)
class Latency:
    """Milliseconds of calls that somebody waits for."""

    p50_ms: int
    p95_ms: int


@dataclass(frozen=True, slots=True)
class PoolOutcome:
    """How the pool of one model did: what was kept, and how often it was too little."""

    model: str
    flat_replicas: int
    replica_ms: int
    flat_ms: int
    windows: int
    short_windows: int
    late_permille: int

    def as_json(self) -> dict[str, Any]:
        """Write it, with what it saves of the time of replicas, in thousandths."""
        return {
            "model": self.model,
            "flat_replicas": self.flat_replicas,
            "replica_hours": hours(self.replica_ms),
            "flat_replica_hours": hours(self.flat_ms),
            "saved_permille": share(self.flat_ms - self.replica_ms, self.flat_ms),
            "windows": self.windows,
            "short_windows": self.short_windows,
            "short_permille": share(self.short_windows, self.windows),
            "late_permille": self.late_permille,
        }


@dataclass(frozen=True, slots=True)
class Counts:
    """How many calls there were, and what became of them. ``refused_atto`` is what the refused would have cost."""

    calls: int
    refused: int
    refused_atto: int
    routed: int
    hits: int
    wrong_hits: int
    prompt_tokens: int
    cached_prompt_tokens: int
    batched: int


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell of the grid: assumed shares of repeats and of calls that may wait, and the whole saving then."""

    repeat_permille: int
    batchable_permille: int
    saving_atto: int
    base_atto: int

    @property
    def saved_permille(self) -> int:
        return share(self.saving_atto, self.base_atto)


@dataclass(frozen=True, slots=True)
class Stretch:
    """What a part of the time cost before and after all levers."""

    after_ms: int
    before_atto: int
    after_atto: int


@dataclass(frozen=True)
class Report:
    """A whole simulation. The savings of the levers sum to the saving of all of them."""

    trace: str
    assumptions: dict[str, Any]
    notes: tuple[str, ...]
    currency: str
    base_atto: int
    levers: tuple[LeverSaving, ...]
    counts: Counts
    quality: Quality
    latency_before: Latency
    latency_after: Latency
    pools: tuple[PoolOutcome, ...]
    stretches: tuple[Stretch, ...]
    starts_at: str
    length_ms: int
    grid: tuple[Cell, ...] = ()

    @property
    def saving_atto(self) -> int:
        return self.base_atto - (self.levers[-1].after_atto if self.levers else self.base_atto)

    @property
    def saved_permille(self) -> int:
        return share(self.saving_atto, self.base_atto)

    def as_json(self) -> dict[str, Any]:
        """Write the report; the same trace, assumptions and seed give the same text."""
        counts = self.counts
        return {
            "trace": self.trace,
            "starts_at": self.starts_at,
            "length_ms": self.length_ms,
            "currency": self.currency,
            "cost_before": amount(self.base_atto),
            "cost_after": amount(self.base_atto - self.saving_atto),
            "saving": amount(self.saving_atto),
            "saved_permille": self.saved_permille,
            "levers": [one.as_json(self.base_atto) for one in self.levers],
            "quality": self.quality.as_json(),
            "calls": {
                "all": counts.calls,
                "refused": counts.refused,
                "refused_cost_not_counted": amount(counts.refused_atto),
                "routed": counts.routed,
                "hits": counts.hits,
                "wrong_hits": counts.wrong_hits,
                "prompt_tokens": counts.prompt_tokens,
                "cached_prompt_tokens": counts.cached_prompt_tokens,
                "batched": counts.batched,
            },
            "latency_ms": {
                "before": {"p50": self.latency_before.p50_ms, "p95": self.latency_before.p95_ms},
                "after": {"p50": self.latency_after.p50_ms, "p95": self.latency_after.p95_ms},
            },
            "pools": [one.as_json() for one in self.pools],
            "over_time": [
                {
                    "after_ms": one.after_ms,
                    "cost_before": amount(one.before_atto),
                    "cost_after": amount(one.after_atto),
                }
                for one in self.stretches
            ],
            "grid": [
                {
                    "repeat_permille": one.repeat_permille,
                    "batchable_permille": one.batchable_permille,
                    "saving": amount(one.saving_atto),
                    "saved_permille": one.saved_permille,
                }
                for one in self.grid
            ],
            "assumptions": self.assumptions,
            "notes": list(self.notes),
        }


def amount(atto: int) -> str:
    """Write atto as decimal text, exactly."""
    return f"{from_atto(atto).normalize():f}"


def share(part: int, whole: int) -> int:
    """Return a part in thousandths of the whole, rounded half away from zero; 0 of nothing."""
    if not whole:
        return 0
    sign = -1 if part < 0 else 1
    return sign * ((abs(part) * PERMILLE * 2 + whole) // (2 * whole))


def hours(milliseconds: int) -> str:
    """Write a time in hours with one decimal."""
    tenths = (milliseconds * 10 + 1_800_000) // 3_600_000
    return f"{tenths // 10}.{tenths % 10}"


def percentile(weighted: Sequence[tuple[int, int]], percent: int) -> int:
    """Return a percentile of values that occur so many times each; 0 of none."""
    whole = sum(count for _, count in weighted)
    passed = 0
    for value, count in sorted(weighted):
        passed += count
        if passed * 100 >= whole * percent:
            return value
    return 0
