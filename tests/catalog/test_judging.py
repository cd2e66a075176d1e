from decimal import Decimal

import pytest

from marketplace.catalog.judging import SmokeCall, judge, mean_with_interval, measure
from marketplace.catalog.projections import Interval

D = Decimal


def calls(*costs: str, failed: int = 0, latency_ms: int = 100) -> list[SmokeCall]:
    good = [
        SmokeCall(cost=D(cost), input_tokens=10, output_tokens=5, latency_ms=latency_ms) for cost in costs
    ]
    return good + [SmokeCall(error="the provider did not answer")] * failed


def verdict(made: list[SmokeCall], *, declared: str | None = None, stopped: str = "") -> tuple[str, str]:
    measured = measure(made)
    judged = judge(
        measured,
        declared_cost=None if declared is None else D(declared),
        slo_latency_ms=1_000,
        currency="USD",
        stopped_because=stopped,
    )
    return judged.state, " ".join(judged.findings)


class TestMeanWithInterval:
    def test_uses_student_t(self) -> None:
        # Mean 2, standard deviation 1, t(2) = 4.303: half the width is 4.303 / sqrt(3) = 2.48433820...
        interval = mean_with_interval([D(1), D(2), D(3)])

        assert interval.mean == 2
        assert interval.high.quantize(D("1E-8")) == D("4.48433821")
        assert interval.low == 0

    def test_has_no_width_when_all_calls_cost_the_same(self) -> None:
        assert mean_with_interval([D("0.5")] * 20) == Interval(D("0.5"), D("0.5"), D("0.5"))

    def test_gives_one_call_no_interval(self) -> None:
        assert mean_with_interval([D("0.7")]) == Interval(D("0.7"), D("0.7"), D("0.7"))

    def test_uses_the_normal_beyond_the_table(self) -> None:
        # 20 times 0 and 20 times 2: mean 1, variance 40 / 39; 1.96 x sqrt(1 / 39) = 0.31385...
        interval = mean_with_interval([D(0), D(2)] * 20)

        assert (interval.high - 1).quantize(D("1E-5")) == D("0.31385")


class TestMeasure:
    def test_sums_up_what_succeeded(self) -> None:
        made = [
            SmokeCall(
                cost=D("0.01"),
                input_tokens=10,
                cached_input_tokens=4,
                cache_write_tokens=2,
                output_tokens=5,
                reasoning_tokens=3,
                latency_ms=latency,
            )
            for latency in range(1, 21)
        ]

        measured = measure([*made, SmokeCall(error="timed out")])

        assert (measured.calls, measured.failed, measured.first_error) == (21, 1, "timed out")
        # Nearest rank of 1..20: the 10th and the 19th.
        assert (measured.p50_latency_ms, measured.p95_latency_ms) == (10, 19)
        assert (measured.mean_input_tokens, measured.mean_output_tokens) == (10, 5)
        assert (measured.mean_cached_input_tokens, measured.mean_cache_write_tokens) == (4, 2)
        assert measured.mean_reasoning_tokens == 3
        assert measured.max_cost == D("0.01")

    def test_says_nothing_of_cost_when_nothing_succeeded(self) -> None:
        measured = measure([SmokeCall(error="timed out")])

        assert measured.cost is None
        assert measured.p95_latency_ms is None


class TestJudge:
    @pytest.mark.parametrize(
        ("cost", "state"),
        [
            ("0.012", "passed"),
            ("0.0121", "warned"),
            ("0.020", "warned"),
            ("0.0201", "failed"),
            ("0.001", "passed"),
        ],
    )
    def test_compares_with_the_declared_cost(self, cost: str, state: str) -> None:
        # Declared 0.01: warned above 0.012, failed above 0.02.
        assert verdict(calls(cost, cost), declared="0.01")[0] == state

    def test_takes_any_cost_when_none_was_declared(self) -> None:
        assert verdict(calls("5", "5"))[0] == "passed"

    @pytest.mark.parametrize(("failed", "state"), [(0, "passed"), (1, "warned"), (2, "failed")])
    def test_lets_at_most_a_tenth_of_the_calls_fail(self, failed: int, state: str) -> None:
        made = calls(*["0.01"] * (10 - failed), failed=failed)

        assert verdict(made)[0] == state

    def test_fails_when_every_call_failed(self) -> None:
        state, words = verdict(calls(failed=20))

        assert state == "failed"
        assert "20 of 20 calls failed" in words

    def test_warns_when_answers_are_slower_than_promised(self) -> None:
        assert verdict(calls("0.01", latency_ms=1_001))[0] == "warned"

    def test_says_that_no_provider_was_there_when_that_is_why(self) -> None:
        away = [SmokeCall(error="Provider a cannot be reached.", is_provider_away=True)]

        # One of ten is a tenth and only warns; two are more than the app can be judged by.
        assert verdict([*calls(*["0.01"] * 9), *away])[0] == "warned"
        state, words = verdict([*calls(*["0.01"] * 8), *away, *away])
        assert state == "could_not_check"
        assert "2 of 10 calls no provider" in words
        assert "Provider a cannot be reached." in words

    def test_names_the_interval_and_how_it_was_worked_out(self) -> None:
        # Mean 0.02, sd 0.01, t(2) = 4.303: 0.02 ± 0.0248..., not below zero.
        assert (
            "(95 % interval $0.00 to $0.04484 by Student's t over 3 calls)"
            in verdict(calls("0.01", "0.02", "0.03"), declared="0.02")[1]
        )

    def test_counts_what_could_not_be_checked_as_not_passed(self) -> None:
        assert verdict(calls("0.01"), stopped="The sandbox credit is used up.")[0] == "could_not_check"
        assert verdict([])[0] == "could_not_check"
