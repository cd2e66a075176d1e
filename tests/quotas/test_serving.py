from decimal import Decimal

import pytest

from quotas.serving import Committed, Profile, Rate, add_up, commit, percent_of, room

D = Decimal
# 300 calls to a, 100 to b; 3,000 + 1,000 tokens: 10 a call.
PROFILE = Profile(
    requests={"a": D(300), "b": D(100)},
    tokens={"a": D(3000), "b": D(1000)},
    cost_per_request=D("0.02"),
    latency_ms=500,
)


class TestRequestsAMinute:
    @pytest.mark.parametrize(
        ("measure", "window", "value", "wanted"),
        [
            ("requests", "minute", "60", "60"),
            ("requests", "day", "2880", "2"),
            ("requests", "month", "86400", "2"),
            # 14,400 tokens a day are 10 a minute, one call.
            ("tokens", "day", "14400", "1"),
            # 28.80 a day at 0.02 are 1,440 calls, one a minute.
            ("cost", "day", "28.80", "1"),
            # Four at a time, each for half a second: 8 a second.
            ("concurrency", "minute", "4", "480"),
        ],
    )
    def test_are_what_the_limit_allows_when_used_evenly(
        self, measure: str, window: str, value: str, wanted: str
    ) -> None:
        assert PROFILE.requests_a_minute(measure=measure, window=window, value=D(value)) == D(wanted)

    def test_are_not_known_without_anything_to_tell(self) -> None:
        nothing = Profile(requests={}, tokens={})

        for measure in ("tokens", "cost", "concurrency"):
            assert nothing.requests_a_minute(measure=measure, window="day", value=D(1)) is None
        assert nothing.by_model(measure="requests", window="day", value=D(1)) is None


class TestByModel:
    def test_divides_by_where_calls_went(self) -> None:
        # 4 a minute: three to a with 30 tokens, one to b with 10.
        found = PROFILE.by_model(measure="requests", window="minute", value=D(4))

        assert found == {"a": Rate(D(3), D(30)), "b": Rate(D(1), D(10))}


class TestRoom:
    COMMITTED = {"a": Committed(D(100), None), "b": Committed(None, D(1000))}
    PEAKS = {"a": Rate(D(60), D(600)), "b": Rate(D(5), D(50))}
    EXTRA = {"a": Rate(D(15), D(150)), "b": Rate(D(1), D(100))}

    def test_is_what_the_busiest_hour_and_grants_leave(self) -> None:
        found = room(
            self.EXTRA, pending=[{"a": Rate(D(20), D(0))}], committed=self.COMMITTED, peaks=self.PEAKS
        )

        # a: 100 − 60 − 15 = 25, and 25 − 20 = 5 requests. b: 1,000 − 50 − 100 = 850 tokens.
        assert [(row.model, row.unit, row.after_this, row.after_all_pending) for row in found.rows] == [
            ("a", "requests", D(25), D(5)),
            ("b", "tokens", D(850), D(850)),
        ]
        assert (found.after_this, found.after_all_pending) == (D(25), D(5))

    def test_may_be_less_than_nothing(self) -> None:
        found = room({"a": Rate(D(50))}, pending=[], committed=self.COMMITTED, peaks=self.PEAKS)

        assert found.after_this == D(-10)

    def test_is_not_known_when_one_model_has_no_capacity(self) -> None:
        found = room(
            {"a": Rate(D(1)), "c": Rate(D(1))}, pending=[], committed=self.COMMITTED, peaks=self.PEAKS
        )

        assert (found.after_this, found.after_all_pending) == (None, None)
        assert found.why == "No capacity is set for c."
        assert [row.model for row in found.rows] == ["a"]

    def test_is_not_known_where_nothing_tells_the_models(self) -> None:
        found = room(None, pending=[], committed=self.COMMITTED, peaks=self.PEAKS)

        assert (found.after_this, found.why) == (
            None,
            "Nothing tells which models these calls would go to.",
        )


class TestCommit:
    def test_sums_providers_and_keeps_what_nobody_said(self) -> None:
        found = commit([("a", 100, None), ("a", 50, 900), ("b", None, 10)])

        assert found == {"a": Committed(D(150), D(900)), "b": Committed(None, D(10))}


class TestPercentOf:
    def test_is_cut_so_that_a_bound_is_not_passed_by_rounding(self) -> None:
        assert percent_of(D(2), D(3)) == D("66.66")
        assert percent_of(D(-1), D(3)) == D("-33.34")
        assert percent_of(D(0), D(0)) == D(0)


class TestAddUp:
    def test_sums_by_model(self) -> None:
        assert add_up([{"a": Rate(D(1), D(2))}, {"a": Rate(D(3), D(4)), "b": Rate(D(5))}]) == {
            "a": Rate(D(4), D(6)),
            "b": Rate(D(5)),
        }
