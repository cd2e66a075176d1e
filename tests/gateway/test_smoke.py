"""Smoke tests, trying an app, and asynchronous runs: calls that start inside the product."""

from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db.models import Count, Sum
from django.test import Client
from django.utils import timezone

from billing import tasks as billing_tasks
from marketplace.catalog import checks, smoke_calls, submissions
from marketplace.catalog.models import App, Listing, Review, SmokeRun, Subscription, Version
from marketplace.core import jobs
from marketplace.core.models import Job
from marketplace.gateway import background, smoke, tasks
from marketplace.gateway.models import Provider
from metering.models import RateCard, UsageEvent
from metering.ratecards import change_price
from quotas.models import Hold, Limit
from tests import factories
from tests.catalog.making import pass_scans
from tests.conftest import Cast
from tests.factories import LONG_AGO, NOW
from tests.gateway.live import make_models

assert tasks and billing_tasks, "registers the work of jobs"
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]


@pytest.fixture(autouse=True)
def background_gateway(transactional_db: None) -> Iterator[None]:
    """End the loop that pages and jobs call through, with its connections."""
    yield
    background.close()


def submitted(cast: Cast, provider: str, **fields: object) -> Version:
    make_models(provider)
    app = factories.make_app(cast.creator_team, created_by=cast.creator)
    plan = factories.make_plan(app)
    about = {
        "name": "Tone",
        "summary": "Politer mails.",
        "description": "",
        "category": "writing",
        "icon": "pen",
    }
    version = factories.make_version(app, state="draft", plan=plan, about=about, **fields)
    submissions.submit(version, by=cast.creator, at=NOW)
    pass_scans(version)
    return version


def run_smoke_job() -> Job:
    """Do the work of the smoke test and of the check of its margin, as a worker does."""
    job = jobs.run(Job.objects.get(name="gateway.run_smoke").pk, at=NOW)
    assert job is not None
    for margin in Job.objects.filter(name="billing.check_sustainability", state="queued"):
        jobs.run(margin.pk, at=timezone.now())
    return job


def spent() -> dict[str, Decimal]:
    """What was charged, by the environment it was charged to."""
    rows = UsageEvent.objects.values("attribution__environment").annotate(cost=Sum("cost"))
    return {row["attribution__environment"]: row["cost"] for row in rows}


class TestSmokeRun:
    def test_calls_the_version_in_the_sandbox_and_opens_a_review(
        self, cast: Cast, demo_provider: str
    ) -> None:
        version = submitted(cast, demo_provider)

        job = run_smoke_job()

        run = SmokeRun.objects.get(version=version)
        assert (job.state, job.last_error) == ("done", "")
        assert (run.state, run.done_calls, run.failed_calls) == ("passed", 20, 0)
        events = UsageEvent.objects.all()
        assert run.mean_cost == sum(e.cost for e in events) / 20
        assert UsageEvent.objects.filter(attribution__environment="sandbox").count() == 20
        calls = run.calls.order_by("number")
        assert [call.number for call in calls] == list(range(1, 21))
        assert {str(call.pk) for call in calls} == {event.event_id for event in events}
        assert {call.state for call in calls} == {"answered"}
        assert Review.objects.get().state == "open"
        assert not Hold.objects.filter(state="held").exists()

    def test_sends_a_version_back_whose_calls_fail(self, cast: Cast, demo_provider: str) -> None:
        version = submitted(cast, demo_provider, prompt_template="[[demo:500]] {{ text }}")

        run_smoke_job()

        version.refresh_from_db()
        assert SmokeRun.objects.get().state == "failed"
        assert version.state == "changes_requested"
        assert not UsageEvent.objects.exists()

    def test_could_not_check_when_the_credit_ends_in_the_middle(self, cast: Cast, demo_provider: str) -> None:
        version = submitted(cast, demo_provider)
        # A call of this app holds about 0.0003 and costs less: some calls have room, not all twenty.
        factories.make_subscription(
            version.app, cast.creator_team, environment="sandbox", sandbox_credit=Decimal("0.0005")
        )

        run_smoke_job()

        version.refresh_from_db()
        run = SmokeRun.objects.get()
        assert (run.state, version.state) == ("could_not_check", "checking")
        assert 0 < run.done_calls < 20
        assert "The sandbox credit of the team is used up" in run.finding
        assert set(spent()) == {"sandbox"}
        assert spent()["sandbox"] <= Decimal("0.0005")
        assert not Hold.objects.filter(state="held").exists()
        assert set(version.check_runs.values_list("state", flat=True)) == {"passed", "could_not_check"}

    def test_could_not_check_when_its_time_is_over(
        self, cast: Cast, demo_provider: str, settings: Any
    ) -> None:
        settings.SMOKE_SECONDS = 1
        version = submitted(cast, demo_provider, prompt_template="[[demo:hang]] {{ text }}")

        run_smoke_job()

        version.refresh_from_db()
        run = SmokeRun.objects.get()
        assert (run.state, version.state) == ("could_not_check", "checking")
        assert "Its time of 1 s is over" in run.finding
        assert spent() == {}
        assert not Hold.objects.filter(state="held").exists()

    def test_could_not_check_when_no_provider_is_there(self, cast: Cast, demo_provider: str) -> None:
        version = submitted(cast, demo_provider)
        Provider.objects.update(base_url="http://127.0.0.1:9/v1")

        run_smoke_job()

        version.refresh_from_db()
        run = SmokeRun.objects.get()
        assert (run.state, version.state) == ("could_not_check", "checking")
        assert (run.done_calls, run.failed_calls) == (8, 8)
        assert "in 8 of 8 calls no provider of models was there" in run.finding
        assert spent() == {}
        assert not Hold.objects.filter(state="held").exists()

    def test_begins_no_more_calls_once_canceled(
        self, cast: Cast, demo_provider: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        submitted(cast, demo_provider)
        keep = smoke._keep

        def cancel_then_keep(run: SmokeRun, *made: Any) -> Any:
            checks.cancel(run, by=cast.creator, at=NOW)
            return keep(run, *made)

        monkeypatch.setattr(smoke, "_keep", cancel_then_keep)

        job = run_smoke_job()

        run = SmokeRun.objects.get()
        assert (job.state, job.result) == ("done", {"state": "could_not_check"})
        assert run.finding == f"Canceled by {cast.creator}."
        assert run.calls.filter(state="answered").count() == UsageEvent.objects.count() == 4
        assert not Hold.objects.filter(state="held").exists()


class TestResume:
    """A worker is killed in the middle: the next attempt of its job goes on where it ended."""

    def killed_in_the_middle(self, monkeypatch: pytest.MonkeyPatch, *, before: bool) -> None:
        """Do a batch of calls and die before they are sent, or after they were answered and before that was noted."""
        call = background.call

        def die(work: Any) -> Any:
            monkeypatch.setattr(background, "call", call)
            if not before:
                call(work)
            raise SystemExit

        monkeypatch.setattr(background, "call", die)
        with pytest.raises(SystemExit):
            run_smoke_job()
        Job.objects.filter(name="gateway.run_smoke").update(locked_until=LONG_AGO)

    def test_counts_what_was_paid_for_and_sends_it_once(
        self, cast: Cast, demo_provider: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        submitted(cast, demo_provider)
        self.killed_in_the_middle(monkeypatch, before=False)
        paid = set(UsageEvent.objects.values_list("event_id", flat=True))
        assert len(paid) == 4

        run_smoke_job()

        run = SmokeRun.objects.get()
        assert (run.state, run.done_calls, run.attempt) == ("passed", 20, 2)
        assert UsageEvent.objects.count() == 20
        assert {str(call.pk) for call in run.calls.filter(output=None)} == paid
        assert run.mean_cost == spent()["sandbox"] / 20

    def test_makes_calls_anew_that_were_never_sent(
        self, cast: Cast, demo_provider: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        submitted(cast, demo_provider)
        self.killed_in_the_middle(monkeypatch, before=True)
        assert not UsageEvent.objects.exists()

        run_smoke_job()

        run = SmokeRun.objects.get()
        assert (run.state, run.done_calls) == ("passed", 20)
        assert dict(run.calls.values_list("state").annotate(Count("pk"))) == {"lost": 4, "answered": 20}
        assert UsageEvent.objects.count() == 20

    def test_lets_the_earlier_worker_begin_nothing_more(self, cast: Cast, demo_provider: str) -> None:
        submitted(cast, demo_provider)
        earlier = checks.start(SmokeRun.objects.get().pk, at=NOW, attempt=1)
        later = checks.start(earlier.pk, at=NOW, attempt=2)

        assert smoke_calls.begin(earlier, attempt=1, most=4, at=NOW) == []
        assert len(smoke_calls.begin(later, attempt=2, most=4, at=NOW)) == 4


class TestTryIt:
    @pytest.fixture
    def app(self, cast: Cast, demo_provider: str) -> App:
        make_models(demo_provider)
        return factories.make_listed_app(cast.creator_team, slug="where2eat")

    def test_answers_from_the_sandbox_credit(self, cast: Cast, app: App, client: Client) -> None:
        client.force_login(cast.consumer)

        answer = client.post(
            "/catalog/where2eat/try/", {"input.text": "Send me the report."}, headers={"HX-Request": "true"}
        )

        assert answer.status_code == 200
        assert "Cost of this call" in answer.content.decode()
        sandbox = Subscription.objects.get(environment="sandbox")
        assert sandbox.team == cast.consumer_team
        assert UsageEvent.objects.get().attribution.subscription_id == sandbox.pk

    def test_uses_the_credit_of_the_chosen_team(self, cast: Cast, app: App, client: Client) -> None:
        # By its name this team comes after the other, so it is not the one taken unasked.
        second = factories.make_team(cast.company, name="Zebra")
        factories.join(cast.consumer, second, "consumer")
        client.force_login(cast.consumer)
        assert "Zebra" in client.get("/catalog/where2eat/").content.decode()

        answer = client.post(
            "/catalog/where2eat/try/",
            {"input.text": "Hello.", "team": str(second.pk)},
            headers={"HX-Request": "true"},
        )

        assert "from the sandbox credit of Zebra" in answer.content.decode()
        assert Subscription.objects.get(environment="sandbox").team == second

    def test_uses_no_credit_of_another_team(self, cast: Cast, app: App, client: Client) -> None:
        client.force_login(cast.consumer)

        for team in (cast.stranger_team.pk, "nonsense"):
            answer = client.post("/catalog/where2eat/try/", {"input.text": "Hello.", "team": str(team)})
            assert "This call was not made" in answer.content.decode()

        assert not UsageEvent.objects.exists()

    def test_tells_the_cost_in_the_currency_of_the_price(self, cast: Cast, app: App, client: Client) -> None:
        for card in RateCard.objects.all():
            card.pk, card.currency = None, "EUR"
            change_price(card, starts_at=LONG_AGO + timedelta(days=1))
        client.force_login(cast.consumer)

        answer = client.post(
            "/catalog/where2eat/try/", {"input.text": "Hello."}, headers={"HX-Request": "true"}
        )

        assert "€" in answer.content.decode() or "EUR" in answer.content.decode()
        assert "$" not in answer.content.decode()

    def test_says_what_is_wrong_with_the_input(self, cast: Cast, app: App, client: Client) -> None:
        client.force_login(cast.consumer)

        answer = client.post("/catalog/where2eat/try/", {}, headers={"HX-Request": "true"})

        assert "text" in answer.content.decode()
        assert not UsageEvent.objects.exists()

    def test_says_when_the_credit_is_used_up(self, cast: Cast, app: App, client: Client) -> None:
        factories.make_subscription(app, cast.consumer_team, environment="sandbox")
        Limit.objects.filter(subscription__environment="sandbox").update(limit_value=0)
        client.force_login(cast.consumer)

        answer = client.post("/catalog/where2eat/try/", {"input.text": "x"}, headers={"HX-Request": "true"})

        assert "This call was not made" in answer.content.decode()

    def test_is_not_there_for_a_stranger_when_the_app_is_internal(
        self, cast: Cast, app: App, client: Client
    ) -> None:
        App.objects.update(is_public=False)
        client.force_login(cast.stranger)

        assert client.post("/catalog/where2eat/try/", {"input.text": "x"}).status_code == 404

    def test_is_refused_when_the_app_is_no_longer_listed(self, cast: Cast, app: App, client: Client) -> None:
        Listing.objects.all().delete()
        client.force_login(cast.consumer)

        assert client.post("/catalog/where2eat/try/", {"input.text": "x"}).status_code == 404
