"""Smoke tests, trying an app, and asynchronous runs: calls that start inside the product."""

from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal

import pytest
from django.test import Client

from marketplace.catalog import submissions
from marketplace.catalog.models import App, Listing, Review, SmokeRun, Subscription, Version
from marketplace.core import jobs
from marketplace.core.models import Job
from marketplace.gateway import background, tasks
from metering.models import RateCard, UsageEvent
from metering.ratecards import change_price
from quotas.models import Hold, Limit
from tests import factories
from tests.catalog.making import pass_scans
from tests.conftest import Cast
from tests.factories import LONG_AGO, NOW
from tests.gateway.live import make_models

assert tasks, "registers the work of jobs"
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
    job = jobs.run(Job.objects.get(name="gateway.run_smoke").pk, at=NOW)
    assert job is not None
    return job


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
        assert Review.objects.get().state == "open"
        assert not Hold.objects.filter(state="held").exists()

    def test_sends_a_version_back_whose_calls_fail(self, cast: Cast, demo_provider: str) -> None:
        version = submitted(cast, demo_provider, prompt_template="[[demo:500]] {{ text }}")

        run_smoke_job()

        version.refresh_from_db()
        assert SmokeRun.objects.get().state == "failed"
        assert version.state == "changes_requested"
        assert not UsageEvent.objects.exists()

    def test_could_not_check_when_the_credit_is_used_up(self, cast: Cast, demo_provider: str) -> None:
        version = submitted(cast, demo_provider)
        factories.make_subscription(
            version.app, cast.creator_team, environment="sandbox", sandbox_credit=Decimal("0.0000000001")
        )

        run_smoke_job()

        version.refresh_from_db()
        assert SmokeRun.objects.get().state == "could_not_check"
        assert version.state == "checking"


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
