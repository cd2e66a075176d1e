"""The test bench: cost before it starts, calls in the sandbox, verdicts as the check gives them."""

from collections.abc import Iterator
from decimal import Decimal

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from marketplace.catalog import benches, examples
from marketplace.catalog.bench_models import BenchResult, BenchRun
from marketplace.catalog.models import Version
from marketplace.core import jobs
from marketplace.core.errors import InvalidInput
from marketplace.core.models import Job
from marketplace.gateway import background, bench, tasks
from metering.models import UsageEvent
from tests import factories
from tests.catalog.making import make_draft
from tests.conftest import Cast
from tests.factories import NOW
from tests.gateway.live import make_models

assert tasks, "registers the work of jobs"
EXPECTED = [
    {"kind": "contains", "value": "report"},
    {"kind": "max_length", "value": 1},
    {"kind": "max_cost", "value": "0.000000001"},
]


def draft(cast: Cast, provider: str = "http://127.0.0.1:9") -> Version:
    """A draft with one example: its answer repeats a word, and is neither short nor nearly free."""
    make_models(provider)
    version = make_draft(cast)
    example = {"input": {**version.example_input, "text": "Send me the report."}, "expect": EXPECTED}
    examples.add(version, example, by=cast.creator, at=NOW)
    return version


class TestMostCost:
    @pytest.mark.django_db
    def test_takes_every_answer_at_its_longest(self, cast: Cast) -> None:
        version = draft(cast)
        Version.objects.filter(pk=version.pk).update(max_output_tokens=1_000_000, examples=[])
        version.refresh_from_db()

        # A million tokens of output at 0.60, and a short prompt at 0.20 for a million: a little above 0.60.
        assert Decimal("0.60") < bench.most_cost(version, ["llm-8b"], at=NOW) < Decimal("0.6001")


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
class TestRun:
    @pytest.fixture(autouse=True)
    def background_gateway(self, transactional_db: None) -> Iterator[None]:
        yield
        background.close()

    def test_compares_models_in_the_sandbox(self, cast: Cast, demo_provider: str, client: Client) -> None:
        version = draft(cast, demo_provider)
        client.force_login(cast.creator)
        address = reverse("gateway:bench", args=[version.app.slug])

        shown = client.get(address, {"models": ["llm-8b", "llm-70b"]}).content.decode()
        client.post(address, {"models": ["llm-8b", "llm-70b"]})
        job = jobs.run(Job.objects.get(name="gateway.run_bench").pk, at=timezone.now())

        assert "for 4 calls to llm-8b, llm-70b" in shown
        assert job is not None
        assert (job.state, job.last_error) == ("done", "")
        run = BenchRun.objects.get()
        first, second = benches.columns(run)
        assert (first.model, second.model) == ("llm-8b", "llm-70b")
        assert (first.passed, first.judged, first.failed) == (0, 1, 0)
        assert [cell.missed is None for cell in first.cells if cell] == [True, False]
        missed = BenchResult.objects.get(model="llm-8b", case=1).missed
        assert [message.split(": ")[1].split(". ")[0] for message in missed] == [
            "at most 1 characters",
            "costs at most 0.000000001",
        ]
        events = UsageEvent.objects.all()
        assert (
            sum(event.cost for event in events) == sum(one.cost for one in run.results.all()) <= run.most_cost
        )
        assert {event.attribution.environment for event in events} == {"sandbox"}
        page = client.get(address).content.decode()
        assert "0 of 1 kept" in page

    def test_stops_when_the_credit_is_used_up(self, cast: Cast, demo_provider: str) -> None:
        version = draft(cast, demo_provider)
        factories.make_subscription(
            version.app, cast.creator_team, environment="sandbox", sandbox_credit=Decimal("0.0000000001")
        )
        benches.start(
            version, models=["llm-8b"], most_cost=Decimal(1), currency="USD", by=cast.creator, at=NOW
        )

        jobs.run(Job.objects.get(name="gateway.run_bench").pk, at=NOW)

        run = BenchRun.objects.get()
        assert "sandbox credit of the team is used up" in run.stopped_because
        assert run.ended_at is not None
        assert not UsageEvent.objects.exists()


@pytest.mark.django_db
class TestStart:
    def test_refuses_a_second_one_meanwhile(self, cast: Cast) -> None:
        version = draft(cast)
        terms = {
            "models": ["llm-8b"],
            "most_cost": Decimal(1),
            "currency": "USD",
            "by": cast.creator,
            "at": NOW,
        }
        benches.start(version, **terms)

        with pytest.raises(benches.BenchUnderWay):
            benches.start(version, **terms)

    def test_makes_no_call_twice_when_its_job_runs_again(self, cast: Cast) -> None:
        version = draft(cast)
        run = benches.start(
            version, models=["llm-8b"], most_cost=Decimal(1), currency="USD", by=cast.creator, at=NOW
        )
        BenchResult.objects.create(run=run, model="llm-8b", case=1)

        assert benches.missing(run) == [("llm-8b", 0)]

    @pytest.mark.parametrize("names", [[], ["a", "b", "c", "d", "e", "f"]])
    def test_wants_one_to_five_models(self, cast: Cast, names: list[str]) -> None:
        with pytest.raises(InvalidInput):
            benches.check_models(make_draft(cast), names)

    def test_is_for_its_makers(self, cast: Cast, client: Client) -> None:
        version = draft(cast)
        address = reverse("gateway:bench", args=[version.app.slug])
        for other in (cast.stranger, cast.consumer):
            client.force_login(other)
            assert client.get(address).status_code == 404
            assert client.post(address, {"models": ["llm-8b"]}).status_code == 404
        assert not BenchRun.objects.exists()
