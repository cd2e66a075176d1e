import json
from dataclasses import replace
from decimal import Decimal
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from marketplace.core.errors import InvalidInput
from marketplace.gateway.replay.traces import BadTrace
from marketplace.gateway.savings import reading, verdicts
from marketplace.gateway.savings.calls import Call, Trace, in_pieces
from marketplace.gateway.savings.engine import simulate
from marketplace.gateway.savings.report import Report, percentile, share
from marketplace.gateway.savings.scenario import LEVERS, known_scenario
from marketplace.gateway.savings.verdicts import BadVerdicts, Bucket, Verdicts

HOUR_MS = 3_600_000
# One question, answered rightly by both: everything is easy and nothing is lost.
EASY = Verdicts("easy", (Bucket(1, 0, 0, 0),))
# One that only the strong model answers: nothing may be routed.
HARD = Verdicts("hard", (Bucket(0, 0, 1, 0),))


def trace_of(*calls: Call, **facts: Any) -> Trace:
    values: dict[str, Any] = {"step_ms": 60_000, "length_ms": HOUR_MS}
    return Trace("small", calls, reading.STARTS_AT, **values | facts)


def run(*calls: Call, facts: dict[str, Any] | None = None, **changes: Any) -> Report:
    scenario = known_scenario(**{"verdicts": HARD, "batchable_permille": 0} | changes)
    return simulate(trace_of(*calls, **facts or {}), scenario, has_grid=False)


def saved(report: Report, lever: str) -> Decimal:
    written = {one["lever"]: one["saving"] for one in report.as_json()["levers"]}
    return Decimal(written[lever])


class TestRouting:
    def test_pays_easy_calls_at_the_cheap_model(self) -> None:
        report = run(Call(0, 1_000_000, 100_000), verdicts=EASY)

        # gpt-4o: 2.50 + 0.1 x 10 = 3.50; gpt-4o-mini: 0.15 + 0.1 x 0.60 = 0.21
        assert report.as_json()["cost_before"] == "3.5"
        assert saved(report, "routing") == Decimal("3.29")
        assert (report.counts.routed, report.quality.kept_permille) == (1, 1000)

    def test_leaves_difficult_calls_where_they_are(self) -> None:
        report = run(Call(0, 1_000_000, 0))

        assert (saved(report, "routing"), report.counts.routed) == (0, 0)

    def test_goes_as_far_as_enough_right_answers_are_kept(self) -> None:
        # 10 questions a bucket, the strong model knows all 20; the weak one loses one, then five.
        labeled = Verdicts("two", (Bucket(9, 0, 1, 0), Bucket(5, 0, 5, 0)))

        assert labeled.easy(kept_permille=951) == 0
        assert labeled.easy(kept_permille=950) == 1
        assert labeled.easy(kept_permille=700) == 2

    def test_says_what_is_lost(self) -> None:
        lost = Verdicts("lost", (Bucket(0, 0, 1, 0),))

        report = run(Call(0, 1000, 100), verdicts=lost, kept_permille=0)

        assert report.quality.as_json() == {
            "calls": 1,
            "accuracy_before_permille": 1000,
            "accuracy_after_permille": 0,
            "kept_permille": 0,
            "lost_permille": 1000,
        }


class TestCache:
    def test_answers_an_equal_prompt_while_it_is_kept(self) -> None:
        first, soon, late = (Call(at, 1_000_000, 0, blocks=(1, 2)) for at in (0, 1_799_999, 1_800_000))

        report = run(first, soon, late, levers=("cache",), ttl_s=1800)

        # Three calls of 2.50; the second is a hit, the third comes when the first has expired.
        assert (report.counts.hits, saved(report, "cache")) == (1, Decimal("2.5"))

    def test_never_answers_another_client_or_another_prompt(self) -> None:
        report = run(
            Call(0, 100, 0, blocks=(1, 2), client="a"),
            Call(1, 100, 0, blocks=(1, 2), client="b"),
            Call(2, 100, 0, blocks=(1, 3), client="a"),
            Call(3, 100, 0),
            Call(4, 100, 0),
        )

        assert report.counts.hits == 0

    def test_counts_a_wrong_hit_and_saves_nothing_by_it(self) -> None:
        calls = [Call(at, 1_000_000, 0) for at in range(2)]

        report = run(*calls, similar_permille=1000, wrong_permille=1000)

        assert (report.counts.wrong_hits, report.counts.hits, saved(report, "cache")) == (1, 0, 0)


class TestPromptCache:
    def test_reads_beginnings_that_were_read_before_at_the_lower_price(self) -> None:
        report = run(Call(0, 1536, 0, blocks=(1, 2, 3)), Call(1000, 1536, 0, blocks=(1, 2, 9)))

        # Two blocks of 512 tokens at 1.25 in place of 2.50 per million.
        assert saved(report, "prompt_cache") == Decimal("0.00128")

    def test_needs_the_whole_beginning(self) -> None:
        report = run(Call(0, 1536, 0, blocks=(1, 2, 3)), Call(1000, 1536, 0, blocks=(8, 2, 3)))

        assert saved(report, "prompt_cache") == 0


class TestBatching:
    def test_takes_the_discount_of_what_may_wait(self) -> None:
        report = run(Call(0, 1_000_000, 0), batchable_permille=1000)

        assert (saved(report, "batching"), report.counts.batched) == (Decimal("1.25"), 1)


class TestLimits:
    def test_refuse_and_save_nothing(self) -> None:
        calls = [Call(at, 1_000_000, 0) for at in (0, 1, 2, 60_000)]

        report = run(*calls, requests_per_minute=2)

        # The third of the first minute is refused: three calls of 2.50 are paid, before and after.
        assert (report.counts.refused, report.as_json()["cost_before"]) == (1, "7.5")
        assert report.as_json()["saving"] == "0"
        assert report.as_json()["calls"]["refused_cost_not_counted"] == "2.5"

    def test_count_each_client_alone(self) -> None:
        report = run(Call(0, 1, 0, client="a"), Call(0, 1, 0, client="b"), requests_per_minute=1)

        assert report.counts.refused == 0

    def test_spread_sums_of_a_window_over_its_minutes(self) -> None:
        window = {"is_rates": True, "step_ms": 600_000}

        report = run(
            Call(0, 1, 0, count=100), Call(600_000, 1, 0, count=101), facts=window, requests_per_minute=10
        )

        assert report.counts.refused == 101


class TestPools:
    def test_save_the_time_that_nobody_needs(self) -> None:
        # 64 calls of 22 s at once take one replica for 22 of 60 s; then nothing for 59 minutes.
        busy = [Call(0, 0, 985, count=64 * 10)]

        report = run(*busy, hosting="instances", verdicts=HARD, cooldown_s=60)

        pool = report.pools[0]
        assert pool.flat_ms > pool.replica_ms
        assert saved(report, "pools") == Decimal(report.as_json()["cost_before"]) - Decimal(
            report.as_json()["cost_after"]
        )
        # The burst came without warning: its window was short, and that is said.
        assert (pool.short_windows, pool.windows) == (1, 60)

    def test_are_nothing_to_who_pays_by_tokens(self) -> None:
        report = run(Call(0, 1000, 100))

        assert (saved(report, "pools"), report.pools) == (0, ())


class TestSimulate:
    def test_writes_the_same_bytes_for_the_same_seed(self) -> None:
        calls = [Call(at * 1000, 500 + at, 40, blocks=(at % 7,)) for at in range(200)]
        scenario = known_scenario(similar_permille=50)

        first, second = (json.dumps(simulate(trace_of(*calls), scenario).as_json()) for _ in range(2))

        assert first == second
        assert first != json.dumps(simulate(trace_of(*calls), replace(scenario, seed=2)).as_json())

    def test_saves_nothing_with_all_levers_off(self) -> None:
        report = run(*(Call(at, 1000, 100) for at in range(50)), levers=(), verdicts=EASY)

        assert (report.levers, report.saving_atto) == ((), 0)

    def test_refuses_a_scenario_that_makes_no_sense(self) -> None:
        with pytest.raises(InvalidInput) as caught:
            run(Call(0, 1, 1), levers=("magic",), kept_permille=1001)

        assert {one.field for one in caught.value.errors} == {"levers", "kept_permille"}

    def test_tells_how_far_it_is(self) -> None:
        told: list[tuple[int, int]] = []

        simulate(trace_of(Call(0, 1, 1)), known_scenario(), progress=lambda *step: told.append(step))

        # The report, and a grid of five by four.
        assert (told[0], told[-1]) == ((1, 21), (21, 21))


class TestFigures:
    def test_divide_sums_into_pieces_without_losing_a_call(self) -> None:
        pieces = in_pieces([Call(0, 1, 1, count=60, client="a"), Call(0, 1, 1, count=7, client="b")])

        assert (len(pieces), sum(piece.count for piece in pieces)) == (25, 67)

    def test_round_shares_half_away_from_zero(self) -> None:
        assert (share(1, 2000), share(-1, 2000), share(1, 2001), share(1, 0)) == (1, -1, 0, 0)

    def test_weigh_percentiles(self) -> None:
        assert (percentile([(10, 1), (5, 9)], 50), percentile([(10, 1), (5, 9)], 95)) == (5, 10)


class TestReading:
    def test_reads_rates_of_clients(self, tmp_path: Path) -> None:
        path = tmp_path / "rates.csv"
        path.write_text("client,t_s,requests_per_s\n0,0,0.5\n1,0,0\n0,600,0.01\n1,600,1\n")

        trace = reading.read(path, scenario=known_scenario())

        assert [(one.after_ms, one.client, one.count) for one in trace.calls] == [
            (0, "0", 300),
            (600_000, "0", 6),
            (600_000, "1", 600),
        ]
        assert (trace.step_ms, trace.length_ms, trace.judged_from_ms) == (600_000, 1_200_000, 0)

    def test_keeps_the_blocks_of_prompts(self, tmp_path: Path) -> None:
        path = tmp_path / "mooncake.jsonl"
        path.write_text('{"timestamp": 5, "input_length": 9, "output_length": 2, "hash_ids": [0, 14]}\n')

        assert reading.read(path, scenario=known_scenario()).calls[0].blocks == (0, 14)

    def test_names_the_line_that_is_wrong(self, tmp_path: Path) -> None:
        path = tmp_path / "rates.csv"
        path.write_text("client,t_s,requests_per_s\n0,0,0.5\n0,600,many\n")

        with pytest.raises(BadTrace, match="line 3"):
            reading.read(path, scenario=known_scenario())

    def test_reads_verdicts_and_names_what_is_missing(self, tmp_path: Path) -> None:
        path = tmp_path / "verdicts.csv"
        path.write_text("prompt,weak_correct,strong_correct\nlonger one,False,True\nshort,True,True\n")

        assert verdicts.read(path, buckets=2).buckets == (Bucket(1, 0, 0, 0), Bucket(0, 0, 1, 0))
        path.write_text("prompt,weak_correct\na,True\n")
        with pytest.raises(BadVerdicts, match="strong_correct"):
            verdicts.read(path)


@pytest.mark.django_db
class TestCommand:
    def test_prints_a_report_as_json(self, tmp_path: Path) -> None:
        path = tmp_path / "azure.csv"
        path.write_text("TIMESTAMP,ContextTokens,GeneratedTokens\n2026-11-16 18:15:46,374,44\n")
        out = StringIO()

        call_command("simulate", trace=path, json=True, stdout=out)

        found = json.loads(out.getvalue())
        assert [one["lever"] for one in found["levers"]] == list(LEVERS)
        assert (found["trace"], found["calls"]["all"], len(found["grid"])) == ("azure", 1, 20)

    def test_tells_people_lever_by_lever(self, tmp_path: Path) -> None:
        path = tmp_path / "azure.csv"
        path.write_text("TIMESTAMP,ContextTokens,GeneratedTokens\n2026-11-16 18:15:46,374,44\n")
        out = StringIO()

        call_command("simulate", trace=path, stdout=out)

        assert "Prompt cache" in out.getvalue()
        assert "not counted as saved" in out.getvalue()

    def test_says_what_it_cannot_read(self, tmp_path: Path) -> None:
        with pytest.raises(CommandError, match="cannot be read"):
            call_command("simulate", trace=tmp_path / "nothing.csv")
        with pytest.raises(CommandError, match="no app"):
            call_command("simulate", app="nothing")
