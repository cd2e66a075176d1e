"""Laws of saving reports, over traffic of any kind."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from marketplace.gateway.savings.calls import Call, Trace
from marketplace.gateway.savings.engine import simulate
from marketplace.gateway.savings.reading import STARTS_AT
from marketplace.gateway.savings.report import Report
from marketplace.gateway.savings.scenario import LEVERS, Scenario, known_scenario

permille = st.integers(0, 1000)
calls = st.lists(
    st.builds(
        Call,
        after_ms=st.integers(0, 7_199_999),
        input_tokens=st.integers(0, 20_000),
        output_tokens=st.integers(0, 2_000),
        count=st.integers(1, 500),
        blocks=st.lists(st.integers(0, 3), max_size=3).map(tuple),
        client=st.sampled_from(["a", "b"]),
    ),
    max_size=40,
)
scenarios = st.builds(
    known_scenario,
    hosting=st.sampled_from(["tokens", "instances"]),
    levers=st.sets(st.sampled_from(LEVERS)).map(lambda chosen: tuple(one for one in LEVERS if one in chosen)),
    seed=st.integers(0, 9),
    repeat_permille=st.none() | permille,
    similar_permille=permille,
    wrong_permille=permille,
    batchable_permille=permille,
    kept_permille=permille,
    requests_per_minute=st.none() | st.integers(1, 50),
)


def run(found: list[Call], scenario: Scenario, *, is_rates: bool) -> Report:
    ordered = tuple(sorted(found, key=lambda one: one.after_ms // 60_000 if is_rates else one.after_ms))
    at_windows = tuple(replace(one, after_ms=one.after_ms // 60_000 * 60_000) for one in ordered)
    trace = Trace(
        "any",
        at_windows if is_rates else ordered,
        STARTS_AT,
        step_ms=60_000,
        length_ms=7_200_000,
        judged_from_ms=3_600_000,
        is_rates=is_rates,
    )
    return simulate(trace, scenario, has_grid=False)


@given(calls, scenarios, st.booleans())
def test_what_levers_save_sums_to_the_whole(found: list[Call], scenario: Scenario, is_rates: bool) -> None:
    report = run(found, scenario, is_rates=is_rates)

    assert sum(one.saving_atto for one in report.levers) == report.saving_atto
    assert [one.before_atto for one in report.levers[1:]] == [one.after_atto for one in report.levers[:-1]]
    assert not report.levers or report.levers[0].before_atto == report.base_atto


@given(calls, scenarios, st.booleans())
def test_no_lever_saves_nothing(found: list[Call], scenario: Scenario, is_rates: bool) -> None:
    assert run(found, replace(scenario, levers=()), is_rates=is_rates).saving_atto == 0


@given(calls, scenarios, st.booleans())
def test_refused_calls_never_save(found: list[Call], scenario: Scenario, is_rates: bool) -> None:
    report = run(found, replace(scenario, levers=("limits",)), is_rates=is_rates)

    assert report.saving_atto == 0


@given(calls, scenarios, permille, permille, st.booleans())
def test_more_repeats_never_lower_what_the_cache_saves(
    found: list[Call], scenario: Scenario, one: int, other: int, is_rates: bool
) -> None:
    def saved(repeats: int) -> int:
        assumed = replace(scenario, repeat_permille=repeats, similar_permille=0, levers=LEVERS)
        report = run(found, assumed, is_rates=is_rates)
        return next(lever.saving_atto for lever in report.levers if lever.name == "cache")

    assert saved(min(one, other)) <= saved(max(one, other))


@given(calls, scenarios, st.booleans())
def test_the_cache_batches_and_pools_never_cost_more(
    found: list[Call], scenario: Scenario, is_rates: bool
) -> None:
    report = run(found, replace(scenario, levers=LEVERS), is_rates=is_rates)

    saved = {one.name: one.saving_atto for one in report.levers}
    assert min(saved["cache"], saved["prompt_cache"], saved["batching"], saved["pools"]) >= 0
