"""Runs that nobody waits for: asked for by key, made by a job, told of, canceled, made again."""

import json
from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
import urllib3
from django.db import IntegrityError, transaction
from django.test import Client
from django.utils import timezone

from marketplace.accounts.models import User
from marketplace.core import jobs
from marketplace.core.models import Job, NoticeChannel, NoticeDelivery
from marketplace.core.transitions import IllegalTransition
from marketplace.gateway import background, tasks
from marketplace.gateway.async_models import AsyncRun
from marketplace.gateway.async_runs import making, working
from marketplace.gateway.async_runs.making import Asked
from marketplace.gateway.models import Provider
from marketplace.gateway.outbox import shapes
from marketplace.gateway.pipeline import Gateway
from metering.models import UsageEvent
from quotas import holds
from quotas.models import Hold, Limit
from tests import factories
from tests.conftest import Cast
from tests.gateway.live import World, make_models, make_world, running_application

assert tasks, "registers the work of jobs"
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]
INPUT = {"text": "Send me the report."}


@pytest.fixture
def world(transactional_db: None, cast: Cast, demo_provider: str) -> Iterator[World]:
    make_models(demo_provider)
    yield make_world(cast, "")
    background.close()


def ask(world: World, **fields: Any) -> AsyncRun:
    asked = Asked(world.subscription.pk, INPUT, **fields)
    return making.ask(asked, keep_days=30, at=timezone.now())


def do(run: AsyncRun) -> AsyncRun:
    """Do the job of a run, as a worker does."""
    jobs.run(run.pk, at=timezone.now())
    run.refresh_from_db()
    return run


def do_again(run: AsyncRun) -> AsyncRun:
    """Let the lease of the job end and another worker take it."""
    Job.objects.filter(pk=run.pk).update(
        state="running", attempts=1, locked_until=timezone.now() - timedelta(seconds=1)
    )
    return do(run)


def left(world: World, monkeypatch: pytest.MonkeyPatch, *, dies_at: str) -> AsyncRun:
    """A run whose worker died: before its provider was called, or before what was kept was settled."""
    run = ask(world)

    class Died(Exception):
        pass

    async def die(self: Gateway, *_: object, **__: object) -> None:
        raise Died

    async def held(self: Gateway, *_: object, **__: object) -> None:
        return None

    with monkeypatch.context() as patched:
        patched.setattr(Gateway, dies_at, die)
        if dies_at == "_first_answer":
            # A worker that is killed releases nothing.
            patched.setattr(Gateway, "_end", held)
        do(run)
    assert Hold.objects.get().state == "held"
    AsyncRun.objects.update(state="running")
    run.refresh_from_db()
    return run


class TestRun:
    def test_brings_what_a_run_that_is_waited_for_answers(self, world: World) -> None:
        run = do(ask(world))

        assert (run.state, run.error_message) == ("done", "")
        event = UsageEvent.objects.get()
        assert event.event_id == str(working.call_id(run))
        assert (run.cost, run.input_tokens, run.output_tokens) == (
            event.cost, event.input_tokens, event.output_tokens,
        )  # fmt: skip
        assert run.output
        assert (run.used, run.answer) == (None, None)

    def test_settles_what_came_back_before_its_worker_died(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        run = left(world, monkeypatch, dies_at="_settle")
        # Nobody is asked once more.
        Provider.objects.update(base_url="http://127.0.0.1:9/v1")

        do_again(run)

        assert (run.state, run.attempt, bool(run.output)) == ("done", 1, True)
        assert run.cost == UsageEvent.objects.get().cost > 0

    def test_is_made_again_when_nothing_came_back(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        run = left(world, monkeypatch, dies_at="_first_answer")

        do_again(run)

        assert (run.state, run.attempt) == ("done", 2)
        assert sorted(Hold.objects.values_list("state", flat=True)) == ["released", "settled"]
        assert UsageEvent.objects.get().event_id == str(working.call_id(run))

    def test_is_not_repeated_when_the_sweep_has_booked_it(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        run = left(world, monkeypatch, dies_at="_first_answer")
        holds.sweep(at=timezone.now() + timedelta(days=1))

        do_again(run)

        assert (run.state, run.error_code) == ("failed", "worker_lost")
        assert run.cost == UsageEvent.objects.get().cost

    def test_of_an_app_elsewhere_is_not_repeated(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        run = left(world, monkeypatch, dies_at="_first_answer")
        type(world.app).objects.update(kind="http")

        do_again(run)

        assert (run.state, run.error_code, run.cost) == ("failed", "worker_lost", 0)
        assert not UsageEvent.objects.exists()

    def test_is_refused_at_a_limit_like_any_call(self, world: World) -> None:
        Limit.objects.filter(subscription=world.subscription, measure="requests").update(limit_value=0)

        run = do(ask(world))

        assert (run.state, run.error_code) == ("failed", "quota_exceeded")
        assert "of this subscription is reached" in run.error_message
        assert not UsageEvent.objects.exists()

    def test_waits_for_a_provider_that_is_away(self, world: World) -> None:
        Provider.objects.update(base_url="http://127.0.0.1:9/v1")
        run = do(ask(world))
        job = Job.objects.get(pk=run.pk)
        assert (run.state, job.state, job.attempts) == ("queued", "queued", 1)

    def test_fails_with_its_job(self, world: World) -> None:
        run = ask(world)
        Job.objects.update(state="failed")
        assert working.tend(at=timezone.now()) == 1
        run.refresh_from_db()
        assert (run.state, run.error_code) == ("failed", "given_up")

    def test_is_told_of_with_what_programs_read(self, cast: Cast, world: World) -> None:
        channel = NoticeChannel.objects.create(
            organization=cast.company,
            team=cast.consumer_team,
            name="jobs",
            form="webhook",
            host="hooks.example",
            url_sealed="x",
            secret_sealed="x",
            kinds=["work"],
            created_at=timezone.now(),
        )
        run = do(ask(world))
        delivery = NoticeDelivery.objects.get(channel=channel)
        assert delivery.facts["job"] == f"/jobs/{run.pk}"
        message = shapes.Message(
            "1", "work", delivery.text, "", "", "Halfpenny", timezone.now(), delivery.facts
        )
        subject = json.loads(shapes.body_of(message, form="webhook"))["data"]["subject"]
        assert (subject["state"], subject["app"], Decimal(subject["cost"])) == ("done", "where2eat", run.cost)


class TestCancel:
    def test_takes_back_what_was_not_begun(self, cast: Cast, world: World) -> None:
        run = ask(world)
        making.cancel(run, at=timezone.now(), by=cast.consumer)
        assert Job.objects.get(pk=run.pk).state == "canceled"
        do(run)
        assert not Hold.objects.exists()
        with pytest.raises(IllegalTransition):
            making.cancel(run, at=timezone.now())

    def test_charges_nothing_for_what_comes_back_later(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        run = ask(world)
        keep = working._keep

        def canceled_meanwhile(*args: Any) -> None:
            making.cancel(AsyncRun.objects.get(), at=timezone.now())
            keep(*args)

        monkeypatch.setattr(working, "_keep", canceled_meanwhile)
        do(run)

        assert (run.state, run.output, run.cost) == ("canceled", None, 0)
        assert Hold.objects.get().state == "released"


class TestHttp:
    def test_follows_and_cancels_a_job(self, world: World) -> None:
        with running_application() as url:
            headers = {"Authorization": f"Bearer {world.sub_key}", "X-Halfpenny-Feature": "nightly"}

            def call(method: str, path: str, **fields: Any) -> tuple[int, dict[str, Any]]:
                answer = urllib3.request(method, url + path, headers=headers, retries=False, **fields)
                return answer.status, answer.json()

            status, made = call("POST", "/apps/where2eat/run?async=1", json={"input": INPUT})
            assert (status, made["state"]) == (202, "queued")
            status, shown = call("GET", made["job"])
            assert (shown["progress"], shown["result"]) == ({"done": 0, "total": 1}, None)
            do(AsyncRun.objects.get())
            _, shown = call("GET", made["job"])
            assert (shown["state"], shown["error"]) == ("done", None)
            assert set(shown["result"]) == {"output", "usage", "cost", "model", "request_id"}
            assert shown["cost"] == shown["result"]["cost"]
            assert UsageEvent.objects.get().attribution.feature == "nightly"
            assert call("POST", f"{made['job']}/cancel")[0] == 409
            _, second = call("POST", "/apps/where2eat/run?async=1", json={"input": INPUT})
            assert call("POST", f"{second['job']}/cancel")[1]["state"] == "canceled"
            headers["Authorization"] = f"Bearer {world.sub_key[:-1]}x"
            assert call("GET", made["job"])[0] == 401

    def test_does_not_know_the_job_of_another_subscription(self, cast: Cast, world: World) -> None:
        other = factories.make_subscription(world.app, cast.stranger_team)
        run = making.ask(Asked(other.pk, INPUT), keep_days=30, at=timezone.now())
        with running_application() as url:
            headers = {"Authorization": f"Bearer {world.sub_key}"}
            for method, path in (("GET", ""), ("POST", "/cancel")):
                answer = urllib3.request(method, f"{url}/jobs/{run.pk}{path}", headers=headers, retries=False)
                assert answer.status == 404


class TestPages:
    def signed_in(self, person: User) -> Client:
        client = Client()
        client.force_login(person)
        return client

    def test_show_a_run_to_its_team_and_to_nobody_else(self, cast: Cast, world: World) -> None:
        run = do(ask(world))
        consumer = self.signed_in(cast.consumer)
        assert f"/background-runs/{run.pk}/" in consumer.get("/background-runs/").content.decode()
        page = consumer.get(f"/background-runs/{run.pk}/").content.decode()
        assert "Send me the report." in page
        assert "Run again" in page
        for person in (cast.stranger, cast.creator, cast.finance):
            assert self.signed_in(person).get(f"/background-runs/{run.pk}/").status_code == 404
            assert str(run.pk) not in self.signed_in(person).get("/background-runs/").content.decode()

    def test_repeat_and_cancel(self, cast: Cast, world: World) -> None:
        run = do(ask(world))
        consumer, stranger = self.signed_in(cast.consumer), self.signed_in(cast.stranger)
        assert stranger.post(f"/background-runs/{run.pk}/again/").status_code == 404
        consumer.post(f"/background-runs/{run.pk}/again/")
        again = AsyncRun.objects.get(again_of=run)
        assert (again.data, again.person, again.state) == (INPUT, cast.consumer, "queued")
        page = consumer.get(f"/background-runs/{again.pk}/", headers={"HX-Request": "true"})
        assert 'hx-trigger="every 2s"' in page.content.decode()
        assert stranger.post(f"/background-runs/{again.pk}/cancel/").status_code == 404
        consumer.post(f"/background-runs/{again.pk}/cancel/")
        again.refresh_from_db()
        assert again.state == "canceled"

    def test_show_all_to_operators_without_what_they_say(self, cast: Cast, world: World) -> None:
        run = ask(world)
        operator = self.signed_in(cast.operator)
        page = operator.get("/operator/background-runs/").content.decode()
        assert str(run.pk) in page
        assert "Send me the report." not in page
        assert self.signed_in(cast.consumer).get("/operator/background-runs/").status_code == 403
        assert (
            self.signed_in(cast.stranger).post(f"/operator/background-runs/{run.pk}/cancel/").status_code
            == 403
        )
        operator.post(f"/operator/background-runs/{run.pk}/cancel/")
        run.refresh_from_db()
        assert run.state == "canceled"


class TestPurge:
    def test_forgets_what_expired_and_keeps_its_usage(self, world: World) -> None:
        do(ask(world))
        waiting = ask(world)
        assert making.purge(at=timezone.now()) == 0
        assert making.purge(at=timezone.now() + timedelta(days=31)) == 1
        assert AsyncRun.objects.get() == waiting
        assert UsageEvent.objects.exists()


class TestRow:
    def test_says_why_it_failed(self, world: World) -> None:
        ask(world)
        with pytest.raises(IntegrityError, match="async_run_ended_says_how"), transaction.atomic():
            AsyncRun.objects.update(state="failed", ended_at=timezone.now())
