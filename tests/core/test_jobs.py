"""The queue of jobs in its table: what happens to work whose worker is lost again and again."""

from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from celery import current_app
from kombu.utils import functional

from marketplace.core import jobs
from marketplace.core.models import AuditEntry, Job, Notice
from tests import factories
from tests.factories import NOW

pytestmark = pytest.mark.django_db
AFTER_LEASE = jobs.LEASE + timedelta(seconds=1)


def queue(**fields: Any) -> Job:
    return jobs.enqueue("tests.work", idempotency_key="once", at=NOW, **fields)


def lose_workers(job: Job, times: int) -> datetime:
    """Take the job so many times and never end it; return when the last lease has run out."""
    at = NOW
    for _ in range(times):
        assert jobs.take(job.pk, at=at)
        at += AFTER_LEASE
    return at


class TestTake:
    def test_takes_again_what_a_lost_worker_left(self) -> None:
        job = queue()
        at = lose_workers(job, 1)

        taken = jobs.take(job.pk, at=at)

        assert taken and (taken.state, taken.attempts) == ("running", 2)

    def test_leaves_what_another_worker_has(self) -> None:
        job = queue()
        jobs.take(job.pk, at=NOW)

        assert jobs.take(job.pk, at=NOW + jobs.LEASE) is None

    def test_gives_up_after_the_last_attempt(self) -> None:
        job = queue()
        # Five attempts are the most that a job has.
        at = lose_workers(job, 5)

        assert jobs.take(job.pk, at=at) is None

        job.refresh_from_db()
        assert (job.state, job.attempts, job.ended_at, job.locked_until) == ("failed", 5, at, None)
        assert job.last_error == jobs.WORKER_LOST
        assert AuditEntry.objects.get().action == "core.job.given_up"

    def test_does_not_give_up_what_still_runs(self) -> None:
        job = queue()
        at = lose_workers(job, 4)
        jobs.take(job.pk, at=at)

        assert jobs.take(job.pk, at=at + jobs.LEASE) is None

        job.refresh_from_db()
        assert (job.state, job.attempts) == ("running", 5)

    def test_tells_whoever_queued_it(self) -> None:
        person = factories.make_user()
        job = queue(by=person)
        at = lose_workers(job, 5)

        jobs.take(job.pk, at=at)

        notice = Notice.objects.get()
        assert notice.recipient == person
        assert "tests.work" in notice.text and "given up" in notice.text

    def test_lets_an_operator_try_again_with_all_attempts(self) -> None:
        job = queue()
        at = lose_workers(job, 5)
        jobs.take(job.pk, at=at)
        job.refresh_from_db()

        assert jobs.retry(job, at=at)

        taken = jobs.take(job.pk, at=at)
        assert taken and taken.attempts == 1


class TestRun:
    def test_never_begins_work_whose_attempts_are_used_up(self, monkeypatch: pytest.MonkeyPatch) -> None:
        begun: list[Job] = []
        monkeypatch.setitem(jobs._registry, "tests.work", lambda job: begun.append(job))
        job = queue()
        at = lose_workers(job, 5)

        for job_id in jobs.due(at=at):
            jobs.run(job_id, at=at)

        assert begun == []
        assert jobs.due(at=at + AFTER_LEASE) == []


class TestNudge:
    def test_gives_up_at_once_when_the_broker_is_away(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        waits: list[float] = []
        monkeypatch.setattr(functional, "sleep", waits.append)
        monkeypatch.setattr(current_app.conf, "broker_write_url", f"redis+socket://{tmp_path}/nothing.sock")
        with current_app.connection_for_write() as away, away.Producer() as producer:
            monkeypatch.setattr(current_app, "send_task", partial(current_app.send_task, producer=producer))

            jobs.nudge(queue().pk)

        assert "the sweep will find job" in caplog.text
        assert waits == []
