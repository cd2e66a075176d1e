from decimal import Decimal

import pytest

from marketplace.catalog.judging import SmokeCall, judge, judge_margin, mean_with_interval, measure
from marketplace.catalog.plan_terms import PlanTerms
from marketplace.catalog.projections import Interval, from_json, project

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


def margin(made: list[SmokeCall], terms: PlanTerms) -> tuple[str, str]:
    cost = measure(made).cost
    assert cost is not None
    return judge_margin(
        project(terms, monthly_calls=1_000, cost_per_call=cost, share=D("0.20"), currency="USD")
    )


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
            SmokeCall(cost=D("0.01"), input_tokens=10, output_tokens=5, latency_ms=latency)
            for latency in range(1, 21)
        ]

        measured = measure([*made, SmokeCall(error="timed out")])

        assert (measured.calls, measured.failed, measured.first_error) == (21, 1, "timed out")
        # Nearest rank of 1..20: the 10th and the 19th.
        assert (measured.p50_latency_ms, measured.p95_latency_ms) == (10, 19)
        assert (measured.mean_input_tokens, measured.mean_output_tokens) == (10, 5)
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

    def test_fails_a_price_below_cost_and_says_why(self) -> None:
        # 1,000 calls cost 10 and bring 1,000 x 0.004 = 4: the platform loses 6.
        state, words = margin(calls("0.01", "0.01"), PlanTerms(price_per_call=D("0.004")))

        assert state == "failed"
        assert "the platform loses $6.00 a month" in words

    def test_warns_when_only_the_upper_end_loses_money(self) -> None:
        # Mean 0.01, sd 0.0014142..., t(1) = 12.706: the upper end is above 0.02, the price 0.011.
        state, words = margin(calls("0.009", "0.011"), PlanTerms(price_per_call=D("0.011")))

        assert state == "warned"
        assert "upper end" in words

    def test_counts_what_could_not_be_checked_as_not_passed(self) -> None:
        assert verdict(calls("0.01"), stopped="The sandbox credit is used up.")[0] == "could_not_check"
        assert verdict([])[0] == "could_not_check"


class TestProject:
    def test_works_out_a_markup(self) -> None:
        # Cost 0.01, markup 0.30, 1,000 calls: cost 10, price 13; creator 3 x 0.80 = 2.40, platform keeps 0.60;
        # on gross it would break even at 10 / 13.
        projection = project(
            PlanTerms(markup=D("0.30")),
            monthly_calls=1_000,
            cost_per_call=Interval(D("0.008"), D("0.01"), D("0.012")),
            share=D("0.20"),
            currency="USD",
        )

        assert (projection.cost.low, projection.cost.mean, projection.cost.high) == (8, 10, 12)
        assert (projection.price, projection.creator_amount, projection.margin) == (13, D("2.4"), D("0.6"))
        assert projection.break_even_share is not None
        assert projection.break_even_share.quantize(D("0.0001")) == D("0.7692")

    def test_has_no_break_even_below_cost(self) -> None:
        projection = project(
            PlanTerms(price_per_call=D("0.004"), free_calls=500),
            monthly_calls=1_000,
            cost_per_call=Interval(D("0.01"), D("0.01"), D("0.01")),
            share=D("0.20"),
            currency="USD",
        )

        # 500 paid calls x 0.004 = 2 against a cost of 10.
        assert (projection.price, projection.margin, projection.break_even_share) == (2, -8, None)
        assert not projection.is_sustainable

    def test_survives_being_stored(self) -> None:
        projection = project(
            PlanTerms(fee=D("50"), markup=D("0.30")),
            monthly_calls=10_000,
            cost_per_call=Interval(D("0.01"), D("0.01"), D("0.01")),
            share=D("0.20"),
            currency="USD",
        )

        # The worked two-part tariff: 50 + 10,000 x 0.013 = 180.
        assert projection.price == 180
        assert from_json(projection.as_json()) == projection

    def test_reads_nothing_from_nothing(self) -> None:
        assert from_json({}) is None
