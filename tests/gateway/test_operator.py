from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.test import Client
from pytest_django import DjangoAssertNumQueries

from marketplace.accounts.models import User
from marketplace.core import audit, jobs
from marketplace.core.models import Job
from marketplace.gateway import operations
from marketplace.gateway.models import Provider, ProviderModel
from marketplace.gateway.views import operator as views
from metering import ingest, ratecards
from metering.models import LanguageModel, RateCard
from tests import factories
from tests.conftest import Cast
from tests.factories import NOW
from tests.metering.usage_world import World, used

BUDGET = 12
PAGES = ("/operator/", "/operator/jobs/", "/operator/models/", "/operator/models/llm-8b/")


class Clock:
    """Noon of the day on which the world used most of what it did."""

    @staticmethod
    def now() -> datetime:
        return NOW


@pytest.fixture(autouse=True)
def _stop_the_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(views, "timezone", Clock)


@pytest.fixture
def look(client: Client) -> Any:
    def get(person: User, path: str) -> Any:
        client.force_login(person)
        return client.get(path)

    return get


def text(answer: Any) -> str:
    assert answer.status_code == 200, answer.status_code
    content: str = answer.content.decode()
    return content


def make_job(name: str = "gateway.run_smoke", **fields: Any) -> Job:
    values = {"idempotency_key": f"{name}:{fields.get('state', 'queued')}", "run_at": NOW, "created_at": NOW}
    return Job.objects.create(name=name, **values | fields)


def make_provider(**fields: Any) -> Provider:
    values = {
        "name": "demo",
        "title": "Demo provider",
        "base_url": "http://127.0.0.1:8001/v1",
        "is_demo": True,
    }
    return Provider.objects.create(**values | fields)


class TestAccess:
    @pytest.mark.parametrize("path", PAGES)
    def test_is_for_operators_of_the_platform_only(
        self, cast: Cast, world: World, look: Any, path: str
    ) -> None:
        text(look(cast.operator, path))
        for person in (cast.consumer, cast.creator, cast.finance, cast.approver, cast.stranger):
            assert look(person, path).status_code == 403

    def test_leaves_the_strangers_navigation_without_it(self, cast: Cast, look: Any) -> None:
        # The stranger is an operator, but of another organization.
        assert 'href="/operator/"' not in text(look(cast.stranger, "/usage/"))
        assert 'href="/operator/"' in text(look(cast.operator, "/usage/"))


class TestSpending:
    def test_compares_seven_full_days_with_the_seven_before(self, cast: Cast, world: World) -> None:
        before = NOW - timedelta(days=10)
        ingest.record([used(world.subscription, "b1", at=before, input_tokens=500_000)], at=NOW)

        shown = operations.spending(by="team", at=NOW)

        ops = next(one for one in shown.top if one.part.id == "team-ops")
        # Today 0.16 and 0.01 in the sandbox; yesterday 0.20; ten days ago 0.10: twice as much.
        assert (ops.today, ops.week, ops.week_before) == (Decimal("0.17"), Decimal("0.20"), Decimal("0.10"))
        assert (ops.change, ops.change_text) == (1, "+100 %")

    def test_ranks_and_marks_who_is_new(self, cast: Cast, world: World) -> None:
        shown = operations.spending(by="team", at=NOW)

        assert [one.part.id for one in shown.top] == ["strangers", "team-people", "team-ops"]
        assert all(one.is_new for one in shown.top)
        assert shown.total.today == Decimal("1.37")

    def test_sums_what_it_does_not_list(
        self, cast: Cast, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(operations, "TOP", 1)

        shown = operations.spending(by="app", at=NOW)

        assert (len(shown.top), shown.others, shown.total.today) == (1, 1, Decimal("1.37"))


class TestToday:
    def test_shows_spenders_failed_jobs_freshness_and_demo_providers(
        self, cast: Cast, world: World, look: Any
    ) -> None:
        make_job(state="failed", last_error="The provider is away.", ended_at=NOW)
        make_provider()

        page = text(look(cast.operator, "/operator/"))

        assert "$1.37" in page
        assert "The provider is away." in page
        assert "15 Nov, 11:00 UTC" in page
        assert "Demo: answers are made up" in page

    @pytest.mark.parametrize("by", ["team", "app", "cost_center", "subscription", "nonsense"])
    def test_ranks_by_what_it_is_asked(self, cast: Cast, world: World, look: Any, by: str) -> None:
        text(look(cast.operator, f"/operator/?by={by}"))

    def test_is_quiet_in_an_empty_world(self, cast: Cast, look: Any) -> None:
        page = text(look(cast.operator, "/operator/"))

        assert "All quiet" in page
        assert "Nothing was used in two weeks" in page

    def test_keeps_to_its_budget_of_queries(
        self, cast: Cast, world: World, client: Client, django_assert_max_num_queries: DjangoAssertNumQueries
    ) -> None:
        make_provider()
        client.force_login(cast.operator)

        with django_assert_max_num_queries(BUDGET):
            client.get("/operator/")


class TestJobs:
    def test_shows_attempts_error_and_key(self, cast: Cast, look: Any) -> None:
        make_job(state="failed", attempts=5, last_error="boom", ended_at=NOW)

        page = text(look(cast.operator, "/operator/jobs/"))

        assert "5 of 5" in page
        assert "boom" in page
        assert "gateway.run_smoke:failed" in page

    def test_filters_by_state_and_work(self, cast: Cast, look: Any) -> None:
        make_job("one", state="failed")
        make_job("two", state="done")

        for query, shown in (("state=failed", "one:failed"), ("name=two", "two:done")):
            page = text(look(cast.operator, f"/operator/jobs/?{query}"))
            assert shown in page
            assert ("one:failed" in page) + ("two:done" in page) == 1
        assert "No jobs like that" in text(look(cast.operator, "/operator/jobs/?state=running"))

    def test_keeps_to_its_budget_of_queries(
        self, cast: Cast, client: Client, django_assert_max_num_queries: DjangoAssertNumQueries
    ) -> None:
        for number in range(20):
            make_job(idempotency_key=str(number), created_by=cast.creator)
        client.force_login(cast.operator)

        with django_assert_max_num_queries(BUDGET):
            client.get("/operator/jobs/")


class TestRetryJob:
    def test_queues_it_with_all_its_attempts(self, cast: Cast, client: Client) -> None:
        job = make_job(state="failed", attempts=5, ended_at=NOW)
        client.force_login(cast.operator)

        client.post(f"/operator/jobs/{job.pk}/retry/")

        job.refresh_from_db()
        assert (job.state, job.attempts, job.ended_at) == ("queued", 0, None)
        assert audit.history(job)[-1].actor == cast.operator

    def test_happens_once(self, cast: Cast) -> None:
        job = make_job(state="failed")

        assert [jobs.retry(job, at=NOW), jobs.retry(job, at=NOW)] == [True, False]

    def test_does_nothing_to_a_job_that_is_done(self, cast: Cast, client: Client) -> None:
        job = make_job(state="done")
        client.force_login(cast.operator)

        assert client.post(f"/operator/jobs/{job.pk}/retry/").status_code == 409

        job.refresh_from_db()
        assert job.state == "done"

    def test_is_not_for_others(self, cast: Cast, client: Client) -> None:
        job = make_job(state="failed")
        for person in (cast.creator, cast.finance, cast.stranger):
            client.force_login(person)
            assert client.post(f"/operator/jobs/{job.pk}/retry/").status_code == 403

        job.refresh_from_db()
        assert job.state == "failed"


class TestCancelJob:
    def test_cancels_what_waits(self, cast: Cast, client: Client) -> None:
        job = make_job()
        client.force_login(cast.operator)

        client.post(f"/operator/jobs/{job.pk}/cancel/")

        job.refresh_from_db()
        assert job.state == "canceled"
        assert audit.history(job)[-1].action == "core.job.canceled"

    def test_says_that_it_is_too_late(self, cast: Cast, client: Client) -> None:
        job = make_job(state="running")
        client.force_login(cast.operator)

        assert client.post(f"/operator/jobs/{job.pk}/cancel/").status_code == 409

    def test_is_not_for_the_stranger(self, cast: Cast, client: Client) -> None:
        job = make_job()
        client.force_login(cast.stranger)

        assert client.post(f"/operator/jobs/{job.pk}/cancel/").status_code == 403


class TestModels:
    def test_shows_prices_in_force_and_who_offers(self, cast: Cast, world: World, look: Any) -> None:
        model = LanguageModel.objects.get(name="llm-8b")
        ProviderModel.objects.create(provider=make_provider(), model=model, upstream_name="llm-8b")
        factories.make_instance_rate("g4dn.xlarge", price_per_hour="0.526")
        LanguageModel.objects.create(name="unpriced", title="Unpriced", model_class="tiny")

        page = text(look(cast.operator, "/operator/models/"))

        assert "$0.20" in page
        assert "Demo provider" in page
        assert "$0.526" in page
        assert "No price: calls are refused" in page

    def test_shows_every_price_a_model_had(self, cast: Cast, world: World, look: Any) -> None:
        model = LanguageModel.objects.get(name="llm-8b")
        prices = {
            f"{name}_per_mtok": Decimal("0.11")
            for name in ("input", "cached_input", "cache_write", "output", "reasoning")
        }
        ratecards.change_price(RateCard(model=model, source="list of May", **prices), starts_at=NOW)

        page = text(look(cast.operator, "/operator/models/llm-8b/"))

        assert page.count("In force") == 1
        assert "$0.11" in page
        assert "$0.20" in page
        assert "list of May" in page

    def test_does_not_know_others(self, cast: Cast, look: Any) -> None:
        assert look(cast.operator, "/operator/models/nothing/").status_code == 404

    def test_keeps_to_its_budget_of_queries(
        self, cast: Cast, world: World, client: Client, django_assert_max_num_queries: DjangoAssertNumQueries
    ) -> None:
        for number in range(5):
            model = factories.make_model(f"model-{number}")
            provider = make_provider(name=f"provider-{number}")
            ProviderModel.objects.create(provider=provider, model=model, upstream_name="x")
        client.force_login(cast.operator)

        for path in ("/operator/models/", "/operator/models/model-1/"):
            with django_assert_max_num_queries(BUDGET):
                client.get(path)
