from datetime import timedelta
from decimal import Decimal

import pytest
from django.test import Client
from django.urls import reverse
from pytest_django import DjangoAssertNumQueries

from marketplace.catalog import check_runs, checks, smoke_calls, submissions, waivers
from marketplace.catalog.judging import SmokeCall
from marketplace.catalog.models import Review, SmokeRun
from marketplace.catalog.scans.findings import Found, Report
from marketplace.catalog.smoke_models import SmokeTestCall
from tests.catalog.making import GOOD_CALLS, finish_calls, make_draft, make_submitted, pass_scans
from tests.conftest import Cast
from tests.factories import NOW

D = Decimal
BUDGET = 12


def begun(run: SmokeRun, *results: SmokeCall) -> list[SmokeTestCall]:
    """Begin calls of a running test and end the first of them as told; the rest is under way."""
    calls = smoke_calls.begin(run, attempt=1, most=4, at=NOW)
    for call, result in zip(calls, results, strict=False):
        smoke_calls.end(call, result, at=NOW)
    return calls


class TestCalls:
    def test_are_listed_with_tokens_by_class_while_it_runs(self, client: Client, cast: Cast) -> None:
        run = checks.start(make_submitted(cast).pk, at=NOW)
        paid = SmokeCall(
            cost=D("0.0012"), input_tokens=1_234, cached_input_tokens=1_000, output_tokens=56, reasoning_tokens=40,
            latency_ms=700, model="llm-8b", output="Here you are.",
        )  # fmt: skip
        begun(run, paid, SmokeCall(error="The app refuses this input (422)."))
        client.force_login(cast.creator)

        page = client.get(reverse("catalog:check", args=[run.pk])).content.decode()

        for words in (
            "$0.0012",
            "1,234",
            "1,000 cached",
            "40 thinking",
            "llm-8b",
            "refuses this input (422)",
            "under way",
        ):
            assert words in page
        assert "Cancel the calls" in page

    def test_fit_the_budget(
        self, client: Client, cast: Cast, django_assert_max_num_queries: DjangoAssertNumQueries
    ) -> None:
        run = checks.start(make_submitted(cast).pk, at=NOW)
        begun(run, *GOOD_CALLS[:4])
        client.force_login(cast.creator)

        with django_assert_max_num_queries(BUDGET):
            client.get(reverse("catalog:check", args=[run.pk]), headers={"HX-Request": "true"})

    def test_end_once(self, cast: Cast) -> None:
        run = checks.start(make_submitted(cast).pk, at=NOW)
        first, *_ = begun(run, GOOD_CALLS[0])

        assert not smoke_calls.end(first, SmokeCall(cost=D(9)), at=NOW)
        assert not smoke_calls.lose(first, "gone", at=NOW)
        with pytest.raises(Exception, match="smoke_call_ended_stays"):
            SmokeTestCall.objects.filter(pk=first.pk).update(cost=D(9))


class TestRemainingTurns:
    def test_takes_the_examples_in_turn_and_replaces_what_was_lost(self, cast: Cast) -> None:
        draft = make_draft(cast)
        one = {"input": dict(draft.example_input), "expect": [{"kind": "contains", "value": "x"}]}
        run = SmokeRun.objects.create(version=draft, created_at=NOW, state="running", attempt=1)
        run.version.examples = [one]
        assert smoke_calls.remaining_turns(run) == [None] * 10 + [0] * 10

        made = [
            SmokeTestCall(run=run, number=n, example=0, state="answered", cost=0, output=None, begun_at=NOW)
            for n in range(10)
        ]
        lost = [
            SmokeTestCall(run=run, number=n, state="lost", error="gone", begun_at=NOW) for n in range(10, 13)
        ]
        SmokeTestCall.objects.bulk_create([*made, *lost])

        # All ten with the example were paid for, but nobody kept an answer that it could be judged by.
        assert smoke_calls.remaining_turns(run) == [None] * 10 + [0]


class TestCancel:
    def test_ends_the_calls(self, client: Client, cast: Cast) -> None:
        run = checks.start(make_submitted(cast).pk, at=NOW)
        client.force_login(cast.creator)

        page = client.post(reverse("catalog:check-cancel", args=[run.pk]), follow=True).content.decode()

        run.refresh_from_db()
        assert run.state == "could_not_check"
        assert f"Canceled by {cast.creator}." in page
        assert "Run it again" in page
        assert (
            "cannot become"
            in client.post(reverse("catalog:check-cancel", args=[run.pk]), follow=True).content.decode()
        )

    @pytest.mark.parametrize("who", ["stranger", "consumer"])
    def test_is_unknown_to_others(self, client: Client, cast: Cast, who: str) -> None:
        run = checks.start(make_submitted(cast).pk, at=NOW)
        client.force_login(getattr(cast, who))

        assert client.post(reverse("catalog:check-cancel", args=[run.pk])).status_code == 404
        run.refresh_from_db()
        assert run.state == "running"


class TestEvidence:
    def review(self, cast: Cast, *found: Found, calls: list[SmokeCall] | None = None) -> Review:
        run = checks.start(make_submitted_with(cast, *found).pk, at=NOW)
        finish_calls(run, calls or GOOD_CALLS, at=NOW)
        return Review.objects.get(version=run.version)

    def page(self, client: Client, cast: Cast, review: Review) -> str:
        client.force_login(cast.approver)
        return client.get(reverse("catalog:review", args=[review.pk])).content.decode()

    def test_is_calm_about_a_clean_app(self, client: Client, cast: Cast) -> None:
        page = self.page(client, cast, self.review(cast))

        assert "Nothing stands out" in page
        assert "Look at this first" not in page

    def test_sets_declared_beside_measured_with_its_interval(self, client: Client, cast: Cast) -> None:
        # Ten at 0.0005 and ten at 0.0007: mean 0.0006, t(19) = 2.093, half a width of 0.000048.
        calls = [*GOOD_CALLS[:10], *[SmokeCall(cost=D("0.0007"), latency_ms=300)] * 10]

        page = self.page(client, cast, self.review(cast, calls=calls))

        for words in (
            "Declared and measured",
            "$0.000552",
            "$0.000648",
            "a call costs",
            "more than declared",
        ):
            assert words in page

    def test_shows_each_plan_and_where_it_breaks_even(self, client: Client, cast: Cast) -> None:
        page = self.page(client, cast, self.review(cast))

        for words in ("What each plan leaves", "$11.85", "$1.97", "by default"):
            assert words in page

    def test_shows_findings_and_what_a_second_person_accepted(self, client: Client, cast: Cast) -> None:
        found = Found("secrets.guess", "medium", "prompt", "What looks like a secret: 8 characters.", "a")
        review = self.review(cast, found)
        assert "1 warning" in self.page(client, cast, review)

        finding = review.version.check_runs.get(name="secrets").findings.get()
        month = timedelta(days=30)
        waiver = waivers.propose(finding, by=cast.creator, at=NOW, reason="An example.", ends_at=NOW + month)
        page = self.page(client, cast, review)

        for words in (
            "What looks like a secret: 8 characters.",
            "A waiver is asked for",
            f"/waivers/{waiver.pk}/",
        ):
            assert words in page


def make_submitted_with(cast: Cast, *found: Found) -> SmokeRun:
    """A submitted version whose check of secrets found these."""
    if not found:
        return make_submitted(cast)
    run = submissions.submit(make_draft(cast), by=cast.creator, at=NOW)
    secrets = run.version.check_runs.get(name="secrets")
    check_runs.finish(check_runs.start(secrets.pk, at=NOW), Report(found, "test"), at=NOW)
    pass_scans(run.version)
    return run
