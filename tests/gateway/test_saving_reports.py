"""Saving reports that are asked for, worked out by a job, and read."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import IntegrityError, transaction
from django.test import Client
from msgspec.structs import replace

from marketplace.accounts.access import actor_for
from marketplace.core import jobs
from marketplace.core.errors import InvalidInput, NotFound
from marketplace.core.models import Job
from marketplace.gateway import tasks
from marketplace.gateway.saving_report_models import SavingReport
from marketplace.gateway.savings import keeping
from marketplace.gateway.savings.keeping import Asked
from metering import ingest
from tests import factories
from tests.conftest import Cast
from tests.factories import NOW
from tests.metering.conftest import world
from tests.metering.usage_world import World, used

__all__ = ["tasks", "world"]

DAY = datetime(2026, 11, 14, tzinfo=UTC)
ASKED = Asked(
    from_at=DAY, to_at=DAY + timedelta(days=2), repeat_permille=0, batchable_permille=0, kept_permille=0
)


@pytest.fixture
def dear(world: World) -> World:
    """The app used a dear model, too, and may use the cheap one: 10 calls of 1,000 tokens in and 100 out."""
    factories.make_model("llm-70b", model_class="large", input_price="2.00", output_price="4.00")
    calls = [
        used(
            world.subscription, f"dear-{n}", at=DAY + timedelta(hours=3), input_tokens=1000, output_tokens=100
        )
        for n in range(10)
    ]
    ingest.record([replace(one, model="llm-70b") for one in calls], at=NOW)
    return world


class TestAsk:
    def test_is_worked_out_by_a_job_and_kept(self, cast: Cast, dear: World) -> None:
        report = keeping.ask(dear.app, asked=ASKED, by=actor_for(cast.creator), at=NOW)
        assert report.job is not None

        jobs.run(report.job.pk, at=NOW)

        report.refresh_from_db()
        job = Job.objects.get(pk=report.job.pk)
        assert (job.state, job.done_steps, job.total_steps) == ("done", 21, 21)
        assert report.found is not None
        assert [one["lever"] for one in report.found["levers"]][1] == "routing"

    def test_is_refused_for_an_app_of_others(self, cast: Cast, dear: World) -> None:
        for person in (cast.consumer, cast.stranger):
            with pytest.raises(NotFound):
                keeping.ask(dear.app, asked=ASKED, by=actor_for(person), at=NOW)

    def test_is_refused_where_nothing_was_used(self, cast: Cast, dear: World) -> None:
        early = Asked(from_at=DAY - timedelta(days=9), to_at=DAY - timedelta(days=8))

        with pytest.raises(InvalidInput, match="was not used"):
            keeping.ask(dear.app, asked=early, by=actor_for(cast.creator), at=NOW)

    def test_wants_a_time_with_what_was_found(self, db: None) -> None:
        with pytest.raises(IntegrityError, match="saving_report_found_says_when"), transaction.atomic():
            SavingReport.objects.create(title="x", asked_at=NOW, found={"a": 1})


class TestPages:
    def test_ask_show_progress_and_the_report(self, cast: Cast, dear: World, client: Client) -> None:
        client.force_login(cast.creator)
        typed = {
            "app": dear.app.pk, "from_date": "2026-11-14", "to_date": "2026-11-15", "hosting": "tokens", "kept": "90",
            "repeats": "1", "batchable": "20",
        }  # fmt: skip

        asked = client.post("/savings/", typed)
        waiting = client.get(asked["Location"]).content.decode()
        report = SavingReport.objects.get()
        assert report.job is not None
        jobs.run(report.job.pk, at=report.asked_at)
        shown = client.get(asked["Location"]).content.decode()

        assert "It is being worked out" in waiting
        assert "Lever by lever" in shown
        assert "Right answers lost" in shown
        assert report.title in client.get("/savings/").content.decode()

    def test_say_at_the_field_what_is_wrong(self, cast: Cast, dear: World, client: Client) -> None:
        client.force_login(cast.creator)
        typed = {
            "app": dear.app.pk, "from_date": "2025-11-14", "to_date": "2025-11-15", "hosting": "tokens", "kept": "95",
            "repeats": "1", "batchable": "20",
        }  # fmt: skip

        assert "was not used between" in client.post("/savings/", typed).content.decode()

    def test_are_unknown_to_others(self, cast: Cast, dear: World, client: Client) -> None:
        report = keeping.ask(dear.app, asked=ASKED, by=actor_for(cast.creator), at=NOW)

        for person in (cast.stranger, cast.consumer):
            client.force_login(person)
            assert client.get(f"/savings/{report.pk}/").status_code == 404
            assert client.get(f"/api/v1/saving-reports/{report.pk}").status_code == 404

    def test_ask_as_often_for_many_reports(
        self, cast: Cast, dear: World, client: Client, django_assert_max_num_queries: Any
    ) -> None:
        for _ in range(15):
            keeping.ask(dear.app, asked=ASKED, by=actor_for(cast.creator), at=NOW)
        client.force_login(cast.creator)

        with django_assert_max_num_queries(12):
            client.get("/savings/")


class TestApi:
    def test_asks_and_tells(self, cast: Cast, dear: World, client: Client) -> None:
        client.force_login(cast.creator)
        body = {"app": dear.app.slug, "from": "2026-11-14", "to": "2026-11-16", "kept_permille": 900}

        made = client.post("/api/v1/saving-reports", json.dumps(body), content_type="application/json")
        jobs.run(Job.objects.get(name=keeping.JOB).pk, at=factories.NOW + timedelta(days=9000))
        found = client.get(f"/api/v1/saving-reports/{made.json()['id']}").json()

        assert made.status_code == 202
        assert found["job_state"] == "done"
        assert isinstance(found["found"]["saving"], str)
        assert len(client.get("/api/v1/saving-reports").json()["results"]) == 1

    def test_names_what_is_wrong(self, cast: Cast, dear: World, client: Client) -> None:
        client.force_login(cast.creator)
        body = {"app": dear.app.slug, "from": "2026-11-14", "to": "2026-11-16", "kept_permille": "many"}

        answer = client.post("/api/v1/saving-reports", json.dumps(body), content_type="application/json")

        assert (answer.status_code, answer.json()["errors"][0]["field"]) == (400, "kept_permille")
