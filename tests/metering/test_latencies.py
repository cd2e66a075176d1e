from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metering import ingest
from metering.latencies import ERROR, PERCENTILES, Histogram, merge, middle
from metering.models import LatencyHistogram
from tests.factories import NOW
from tests.metering.conftest import make_usage

# Whole milliseconds from nothing to a day.
latencies = st.integers(0, 86_400_000)
counts = st.dictionaries(st.integers(0, 110), st.integers(1, 10**6), max_size=8).map(Histogram)


def counted(values: list[int]) -> Histogram:
    """Count as the database does, but with whole numbers: bucket b is from 2^(b/4), which is from 2^b for the fourth power."""
    found: dict[int, int] = {}
    for value in values:
        bucket = (max(value, 1) ** 4).bit_length() - 1
        found[bucket] = found.get(bucket, 0) + 1
    return Histogram(found)


def exact_percentile(values: list[int], percent: int) -> int:
    return sorted(values)[max(-(-len(values) * percent // 100), 1) - 1]


class TestPercentile:
    def test_is_the_middle_of_the_bucket_of_the_nearest_rank(self) -> None:
        # 100 events: the 50th is in bucket 0 (1 to 1.19 ms), the 95th in bucket 26 (2^6.5 = 91 to 108 ms), and 99 in 40
        histogram = Histogram({0: 50, 26: 45, 40: 5})

        assert (histogram.p50, histogram.p95, histogram.p99) == (1, 99, 1117)

    def test_is_nothing_without_events(self) -> None:
        assert Histogram().p50 is None

    @given(st.lists(latencies, min_size=1, max_size=200), st.sampled_from([1, *PERCENTILES, 100]))
    def test_is_within_its_bound_of_the_exact_one(self, values: list[int], percent: int) -> None:
        exact = max(exact_percentile(values, percent), 1)

        read = counted(values).percentile(percent)

        assert read is not None
        # 9.1 % and half a millisecond of rounding, in thousandths
        assert abs(read - exact) * 1000 <= exact * int(ERROR * 1000) + 500

    @given(counts)
    def test_grows_with_the_percent(self, histogram: Histogram) -> None:
        read = [histogram.percentile(percent) or 0 for percent in (1, *PERCENTILES, 100)]

        assert read == sorted(read)


class TestMerge:
    @given(st.lists(counts, max_size=5), st.data())
    def test_does_not_depend_on_order_and_grouping(self, parts: list[Histogram], data: st.DataObject) -> None:
        cut = data.draw(st.integers(0, len(parts)))
        shuffled = data.draw(st.permutations(parts))

        grouped = merge([merge(parts[:cut]), merge(parts[cut:])])

        assert grouped == merge(parts) == merge(shuffled)

    @given(st.lists(st.lists(latencies, max_size=30), max_size=5))
    def test_counts_what_all_together_would(self, parts: list[list[int]]) -> None:
        assert merge(map(counted, parts)) == counted([value for part in parts for value in part])


class TestBuckets:
    def test_of_the_database_are_those_that_are_read(self, who: object) -> None:
        values = [0, 1, 2, 3, 90, 91, 1000, 1024, 65_536, 86_400_000]
        ingest.record(
            [make_usage(who, f"e{number}", latency_ms=value) for number, value in enumerate(values)],  # type: ignore[arg-type]
            at=NOW,
        )

        rows = LatencyHistogram.objects.filter(day=date(NOW.year, NOW.month, NOW.day))
        found = {row.bucket: row.events for row in rows}

        assert found == counted(values).counts

    @pytest.mark.parametrize(("bucket", "ms"), [(0, 1), (4, 2), (26, 99), (40, 1117)])
    def test_have_a_geometric_middle(self, bucket: int, ms: int) -> None:
        assert middle(bucket) == ms
