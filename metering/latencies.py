"""Percentiles of latency, read off counts in buckets. Counts of any groups add up; percentiles never do.

Bucket b counts latencies from 2^(b/4) up to 2^((b+1)/4) milliseconds and is told by its geometric middle. So what is read
is at most 2^(1/8) - 1 = 9.1 % off the latency of that rank, and half a millisecond by rounding (``ERROR``).
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cache

BUCKETS_A_DOUBLING = 4
ERROR = Decimal("0.091")
PERCENTILES = (50, 95, 99)


@dataclass(frozen=True)
class Histogram:
    """How many events fell into each bucket."""

    counts: Mapping[int, int] = field(default_factory=dict)

    @property
    def events(self) -> int:
        return sum(self.counts.values())

    @property
    def p50(self) -> int | None:
        return self.percentile(50)

    @property
    def p95(self) -> int | None:
        return self.percentile(95)

    @property
    def p99(self) -> int | None:
        return self.percentile(99)

    def percentile(self, percent: int) -> int | None:
        """Return the latency in ms that at least so many percent of the events did not exceed; None without events.

        The nearest rank: of 200 events, the 99th percentile is the latency of the 198th.
        """
        rank = -(-self.events * percent // 100)
        seen = 0
        for bucket in sorted(self.counts):
            seen += self.counts[bucket]
            if seen >= max(rank, 1):
                return middle(bucket)
        return None


def merge(parts: Iterable[Histogram]) -> Histogram:
    """Add up counts; the order and the grouping of the parts change nothing."""
    counts: Counter[int] = Counter()
    for part in parts:
        counts.update(part.counts)
    return Histogram(dict(counts))


@cache
def middle(bucket: int) -> int:
    """Return the geometric middle of a bucket in whole milliseconds: bucket 0 is from 1 to 1.19 ms, so 1."""
    exponent = Decimal(2 * bucket + 1) / (2 * BUCKETS_A_DOUBLING)
    return round(Decimal(2) ** exponent)
