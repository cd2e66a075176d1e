from datetime import timedelta
from decimal import Decimal

import pytest

from marketplace.catalog import checks, drafts, submissions
from marketplace.catalog.judging import SmokeCall
from marketplace.catalog.models import Review, Version
from marketplace.core.audit import history
from marketplace.core.errors import NotFound
from marketplace.core.models import Notice
from marketplace.core.transitions import IllegalTransition
from tests.catalog.making import GOOD_CALLS, finish_calls, make_submitted
from tests.conftest import Cast
from tests.factories import NOW

D = Decimal
LATER = NOW + timedelta(seconds=30)


class TestStart:
    def test_claims_a_queued_check(self, cast: Cast) -> None:
        run = checks.start(make_submitted(cast).pk, at=NOW)

        assert (run.state, run.started_at) == ("running", NOW)
        assert run.version.app.owner_team == cast.creator_team

    def test_takes_over_from_a_worker_that_died(self, cast: Cast) -> None:
        first = checks.start(make_submitted(cast).pk, at=NOW)

        again = checks.start(first.pk, at=LATER)

        assert (again.state, again.started_at) == ("running", NOW)

    def test_refuses_one_that_has_ended(self, cast: Cast) -> None:
        run = checks.start(make_submitted(cast).pk, at=NOW)
        finish_calls(run, GOOD_CALLS, at=NOW)

        with pytest.raises(checks.CheckEnded, match="Passed"):
            checks.start(run.pk, at=LATER)

    def test_refuses_an_unknown_one(self, db: None) -> None:
        with pytest.raises(NotFound):
            checks.start("0192aaaa-0000-7000-8000-000000000000", at=NOW)


class TestProgress:
    def test_shows_how_far_it_is_while_it_runs(self, cast: Cast) -> None:
        run = checks.start(make_submitted(cast).pk, at=NOW)

        assert checks.progress(run, done_calls=7, failed_calls=1)

        run.refresh_from_db()
        assert (run.done_calls, run.failed_calls) == (7, 1)

    def test_says_when_the_calls_can_stop(self, cast: Cast) -> None:
        assert not checks.progress(make_submitted(cast), done_calls=1, failed_calls=0)


class TestFinish:
    def test_sends_a_passed_version_to_review(self, cast: Cast) -> None:
        run = checks.start(make_submitted(cast).pk, at=NOW)

        verdict = finish_calls(run, GOOD_CALLS, at=LATER)

        run.refresh_from_db()
        assert verdict.state == run.state == "passed"
        assert (run.done_calls, run.failed_calls, run.ended_at) == (20, 0, LATER)
        assert (run.mean_cost, run.low_cost, run.high_cost) == (D("0.0005"), D("0.0005"), D("0.0005"))
        assert (run.mean_input_tokens, run.mean_output_tokens, run.p95_latency_ms) == (120, 40, 300)
        assert run.sample_output == "Here you are."
        review = Review.objects.get(version=run.version)
        assert (review.state, review.submitted_by, review.smoke_run) == ("open", cast.creator, run)
        assert Version.objects.get(pk=run.version_id).state == "in_review"

    def test_stores_the_projection_an_approver_will_see(self, cast: Cast) -> None:
        run = checks.start(make_submitted(cast).pk, at=NOW)

        finish_calls(run, GOOD_CALLS, at=LATER)

        # 4,000 calls at 0.0005 cost 2; (4,000 - 50) x 0.003 = 11.85; 20 % of the 9.85 between them is 1.97.
        projection = Review.objects.get().projection
        assert projection["monthly_cost"] == {"low": "2", "expected": "2", "high": "2"}
        assert (projection["monthly_price"], projection["platform_margin"]) == ("11.85", "1.97")

    def test_tells_the_maker_and_the_approvers(self, cast: Cast) -> None:
        run = checks.start(make_submitted(cast).pk, at=NOW)

        finish_calls(run, GOOD_CALLS, at=LATER)

        texts = dict(Notice.objects.values_list("recipient__email", "text"))
        assert set(texts) == {"creator@demo.example", "approver@demo.example"}
        assert "waits for your decision" in texts["approver@demo.example"]

    def test_sends_a_failed_version_back(self, cast: Cast) -> None:
        run = checks.start(make_submitted(cast).pk, at=NOW)
        dear = [SmokeCall(cost=D("0.01"), latency_ms=10)] * 20

        verdict = finish_calls(run, dear, at=LATER)

        assert verdict.state == "failed"
        assert Version.objects.get(pk=run.version_id).state == "changes_requested"
        assert not Review.objects.exists()
        assert "more than double" in history(run)[-1].reason

    def test_can_be_submitted_again_after_a_change(self, cast: Cast) -> None:
        run = checks.start(make_submitted(cast).pk, at=NOW)
        finish_calls(run, [SmokeCall(error="no answer")] * 20, at=NOW)

        drafts.edit(run.version, by=cast.creator, at=NOW, changes={"allowed_models": ["llm-1b"]})
        submissions.submit(run.version, by=cast.creator, at=LATER)

        assert Version.objects.get(pk=run.version_id).state == "checking"

    def test_fails_when_all_calls_failed_and_leaves_no_check_open(self, cast: Cast) -> None:
        run = checks.start(make_submitted(cast).pk, at=NOW)

        finish_calls(run, [SmokeCall(error="The app refuses this input (422).")] * 8, at=LATER)

        margin = run.version.check_runs.get(name="sustainability")
        assert (margin.state, margin.reason) == (
            "could_not_check",
            "No call succeeded, so nothing is known of its cost.",
        )
        assert Version.objects.get(pk=run.version_id).state == "changes_requested"

    def test_keeps_a_version_waiting_when_no_provider_was_there(self, cast: Cast) -> None:
        run = checks.start(make_submitted(cast).pk, at=NOW)

        away = SmokeCall(error="Provider a cannot be reached.", is_provider_away=True)
        verdict = finish_calls(run, [away] * 8, at=LATER)

        assert verdict.state == "could_not_check"
        assert Version.objects.get(pk=run.version_id).state == "checking"

    def test_keeps_a_version_waiting_when_it_could_not_be_checked(self, cast: Cast) -> None:
        run = checks.start(make_submitted(cast).pk, at=NOW)

        verdict = finish_calls(
            run,
            GOOD_CALLS[:3],
            at=LATER,
            stopped_because="The sandbox credit is used up.",
        )

        run.refresh_from_db()
        assert verdict.state == run.state == "could_not_check"
        assert run.done_calls == 3
        assert "credit is used up" in run.finding
        assert Version.objects.get(pk=run.version_id).state == "checking"

    def test_happens_once(self, cast: Cast) -> None:
        run = checks.start(make_submitted(cast).pk, at=NOW)
        finish_calls(run, GOOD_CALLS, at=NOW)

        with pytest.raises(IllegalTransition):
            finish_calls(run, GOOD_CALLS, at=LATER)

        assert Review.objects.count() == 1

    def test_leaves_a_withdrawn_version_alone(self, cast: Cast) -> None:
        run = checks.start(make_submitted(cast).pk, at=NOW)
        submissions.withdraw(run.version, by=cast.creator, at=NOW)

        with pytest.raises(IllegalTransition):
            checks.finish(run, GOOD_CALLS, at=LATER)

        assert Version.objects.get(pk=run.version_id).state == "withdrawn"
        assert not Review.objects.exists()

    def test_ends_with_the_version_that_is_withdrawn(self, cast: Cast) -> None:
        run = checks.start(make_submitted(cast).pk, at=NOW)

        submissions.withdraw(run.version, by=cast.creator, at=LATER)

        run.refresh_from_db()
        assert (run.state, run.ended_at) == ("could_not_check", LATER)
        assert not checks.progress(run, done_calls=1, failed_calls=0)

    def test_stores_what_a_strangers_service_answers(self, cast: Cast) -> None:
        run = checks.start(make_submitted(cast).pk, at=NOW)
        odd = [SmokeCall(cost=D("0.0005"), latency_ms=1, output="a\x00b" + "x" * 9_000)] * 19

        finish_calls(run, [*odd, SmokeCall(error="\x00")], at=LATER)

        run.refresh_from_db()
        assert run.sample_output.startswith("abx")
        assert len(run.sample_output) == 4_000
        assert run.state == "warned"


class TestCancel:
    def test_ends_the_calls_and_what_waits_for_them(self, cast: Cast) -> None:
        run = checks.start(make_submitted(cast).pk, at=NOW)

        checks.cancel(run, by=cast.creator, at=LATER)

        margin = run.version.check_runs.get(name="sustainability")
        assert (run.state, run.finding, run.ended_at) == (
            "could_not_check",
            f"Canceled by {cast.creator}.",
            LATER,
        )
        assert (margin.state, margin.reason) == ("could_not_check", f"Canceled by {cast.creator}.")
        assert history(run)[-1].actor == cast.creator
        assert not checks.progress(run, done_calls=5, failed_calls=0)

    def test_lets_another_one_follow(self, cast: Cast) -> None:
        run = make_submitted(cast)
        checks.cancel(run, by=cast.creator, at=LATER)

        again = submissions.check_again(run.version, by=cast.creator, at=LATER)
        finish_calls(checks.start(again.pk, at=LATER), GOOD_CALLS, at=LATER)

        assert Version.objects.get(pk=run.version_id).state == "in_review"

    def test_comes_too_late_for_one_that_has_ended(self, cast: Cast) -> None:
        run = checks.start(make_submitted(cast).pk, at=NOW)
        finish_calls(run, GOOD_CALLS, at=NOW)

        with pytest.raises(IllegalTransition):
            checks.cancel(run, by=cast.creator, at=LATER)
