"""How providers stand: what processes report, what operators see and reset, what monitoring reads."""

from datetime import timedelta
from typing import Any

import pytest
from django.db import IntegrityError, transaction
from django.test import Client
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from marketplace.core import audit
from marketplace.gateway import health_queries, health_reports, metrics, offering
from marketplace.gateway.health_models import SourceHealth
from marketplace.gateway.models import Provider, ProviderModel
from marketplace.gateway.offers import load_offer_book
from marketplace.gateway.sources import SourceReport
from tests import factories
from tests.conftest import Cast
from tests.factories import NOW

BUDGET = 12
PATH = "/operator/provider-health/"


@pytest.fixture
def provider(db: None) -> Provider:
    provider = Provider.objects.create(name="demo", title="Demo", base_url="http://127.0.0.1:9/v1")
    for name in ("big", "small"):
        model = factories.make_model(name)
        ProviderModel.objects.create(provider=provider, model=model, upstream_name=name)
    return provider


def report(model: str = "small", **fields: Any) -> SourceReport:
    values = {
        "state": "closed",
        "retry_at": None,
        "calls": 8,
        "failures": 2,
        "calls_total": 80,
        "failures_total": 3,
        "latencies": {16: 6},
        "last_error": "Provider demo failed (500).",
        "last_error_at": NOW - timedelta(minutes=1),
    }
    return SourceReport(provider="demo", model=model, **(values | fields))  # type: ignore[arg-type]


def store(*reports: SourceReport, process: str = "a:1/1", ago: timedelta = timedelta()) -> None:
    health_reports.store(reports, process=process, at=NOW - ago)


def small() -> health_queries.SourceStanding:
    (standing,) = health_queries.standings(at=NOW)
    return next(source for source in standing.sources if source.model == "small")


class TestStore:
    def test_keeps_the_last_word_of_each_process(self, provider: Provider) -> None:
        store(report(calls=1, failures=0), ago=timedelta(seconds=9))
        store(report())
        store(report(), process="b:2/1")

        assert list(SourceHealth.objects.order_by("process").values_list("process", "calls")) == [
            ("a:1/1", 8),
            ("b:2/1", 8),
        ]

    def test_forgets_processes_that_said_nothing_for_a_day(self, provider: Provider) -> None:
        store(report(), process="gone", ago=timedelta(days=1, seconds=1))

        store(report())

        assert SourceHealth.objects.get().process == "a:1/1"

    def test_leaves_out_what_is_not_offered_any_more(self, provider: Provider) -> None:
        store(report("unknown"), report())

        assert SourceHealth.objects.get().offer.model.name == "small"

    def test_cannot_say_that_more_failed_than_were_called(self, provider: Provider) -> None:
        with pytest.raises(IntegrityError, match="source_health_failures_are_calls"), transaction.atomic():
            store(report(calls=1, failures=2))


class TestStandings:
    def test_add_up_what_all_processes_saw(self, provider: Provider) -> None:
        store(report(), process="a")
        store(
            report(calls=2, failures=0, latencies={16: 1, 40: 1}, last_error="", last_error_at=None),
            process="b",
        )

        standing = small()

        # Of 10 calls 2 failed; of 8 answers 7 are in the bucket of 16 ms (17 is its middle), one in that of 1024.
        assert (standing.calls, standing.failures, standing.failed_percent) == (10, 2, "20.0")
        assert (standing.latencies.p50, standing.latencies.p95) == (17, 1117)
        assert (standing.state, standing.processes, standing.resting_in) == ("closed", 2, 0)
        assert standing.last_error == "Provider demo failed (500)."

    def test_show_the_worst_state_and_when_it_is_tried_again(self, provider: Provider) -> None:
        store(report(), process="a")
        store(report(state="open", retry_at=NOW + timedelta(seconds=20)), process="b")

        assert (small().state, small().resting_in, small().processes) == ("open", 1, 2)
        assert small().retry_at == NOW + timedelta(seconds=20)

    def test_say_that_it_is_tried_when_its_rest_is_over(self, provider: Provider) -> None:
        store(report(state="open", retry_at=NOW - timedelta(seconds=1)))

        assert small().state == "half_open"

    def test_do_not_count_what_was_said_long_ago(self, provider: Provider) -> None:
        store(report(state="open", retry_at=NOW), ago=timedelta(minutes=15))

        assert (small().state, small().calls, small().processes) == ("closed", 0, 0)


class TestReset:
    def test_reaches_every_process_with_its_next_call(self, cast: Cast, provider: Provider) -> None:
        assert load_offer_book().resets == {}

        offering.reset_health(provider, by=cast.operator, at=NOW)

        assert load_offer_book().resets == {"demo": NOW}
        (entry,) = audit.history(provider)
        assert (entry.action, entry.actor) == ("gateway.provider.health_reset", cast.operator)


class TestPage:
    def test_is_for_operators_only(self, cast: Cast, client: Client, provider: Provider) -> None:
        for person in (cast.consumer, cast.creator, cast.finance, cast.approver, cast.stranger):
            client.force_login(person)
            assert client.get(PATH).status_code == 403
            assert client.post("/operator/providers/demo/reset/").status_code == 403
            assert client.post("/operator/providers/demo/test/").status_code == 403
        provider.refresh_from_db()
        assert provider.health_reset_at is None

    def test_shows_state_and_last_error_and_lets_it_be_called_again(
        self,
        cast: Cast,
        client: Client,
        provider: Provider,
        django_assert_max_num_queries: DjangoAssertNumQueries,
    ) -> None:
        health_reports.store([report(state="open")], process="a", at=timezone.now())
        client.force_login(cast.operator)

        with django_assert_max_num_queries(BUDGET):
            page = client.get(PATH).content.decode()
        assert "Left alone" in page and "Provider demo failed (500)." in page and "25.0" in page

        client.post("/operator/providers/demo/reset/")
        provider.refresh_from_db()
        assert provider.health_reset_at is not None
        assert "Left alone" not in client.get(PATH).content.decode()


class TestMetrics:
    def test_tell_of_every_source_in_every_process(self, provider: Provider) -> None:
        store(report(state="open"))

        text = metrics.provider_metrics(at=NOW)

        labels = 'provider="demo",model="small",process="a:1/1"'
        assert f"halfpenny_provider_state{{{labels}}} 2\n" in text
        assert f"halfpenny_provider_calls_total{{{labels}}} 80\n" in text
        assert f"halfpenny_provider_failures_total{{{labels}}} 3\n" in text
        assert f"halfpenny_provider_latency_p50_ms{{{labels}}} 17\n" in text

    def test_are_not_public(self, client: Client, provider: Provider, settings: Any) -> None:
        assert client.get("/metrics").status_code == 404
        settings.METRICS_KEY = "m-key"
        assert client.get("/metrics", headers={"authorization": "Bearer other"}).status_code == 404

        answer = client.get("/metrics", headers={"authorization": "Bearer m-key"})

        assert answer.status_code == 200 and answer.headers["content-type"].startswith("text/plain")
        assert answer.content.startswith(b"# HELP halfpenny_provider_state")
