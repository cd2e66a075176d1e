"""Numbers without gaps, jobs taken once, states moved once."""

from datetime import timedelta
from uuid import UUID

import pytest

from marketplace.core import jobs
from marketplace.core.models import Job, NumberSequence
from tests.factories import NOW
from tests.races.processes import Processes
from tests.races.working import ECHO, count_moves

pytestmark = [pytest.mark.race, pytest.mark.django_db(transaction=True)]


def make_jobs(count: int) -> list[UUID]:
    rows = [
        Job(
            name=ECHO,
            arguments={"number": number},
            idempotency_key=f"job-{number}",
            run_at=NOW,
            created_at=NOW,
        )
        for number in range(count)
    ]
    return [job.pk for job in Job.objects.bulk_create(rows)]


class TestNextNumber:
    def test_leaves_no_gap_when_transactions_are_rolled_back(self, processes: Processes) -> None:
        series = ["invoice:2026", "credit:2026"]

        kept = processes.run(
            "tests.races.working:take_numbers",
            [{"series": series, "tries": 90, "seed": seed} for seed in range(4)],
        )

        for name in series:
            numbers = sorted(number for each in kept for number in each[name])
            assert numbers == list(range(1, len(numbers) + 1))
            assert NumberSequence.objects.get(series=name).last_number == len(numbers) > 60


class TestEnqueue:
    def test_makes_one_job_for_a_key(self, processes: Processes) -> None:
        keys = [f"key-{number}" for number in range(40)]

        found = processes.run(
            "tests.races.working:enqueue", [{"keys": keys, "at": NOW, "seed": seed} for seed in range(4)]
        )

        assert found[0] == found[1] == found[2] == found[3]
        assert Job.objects.count() == 40


class TestRun:
    def test_gives_each_job_to_one_worker(self, processes: Processes) -> None:
        ids = make_jobs(60)

        ran = processes.run(
            "tests.races.working:run_jobs", [{"ids": ids, "at": NOW, "seed": seed} for seed in range(4)]
        )

        assert sorted(job_id for each in ran for job_id in each) == sorted(ids)
        assert set(Job.objects.values_list("state", "attempts")) == {("done", 1)}

    def test_gives_the_jobs_of_a_dead_worker_to_one_other_when_the_lease_ends(
        self, processes: Processes
    ) -> None:
        ids = make_jobs(20)
        dead = [jobs.take(job_id, at=NOW) for job_id in ids]
        in_time = NOW + jobs.LEASE
        too_late = in_time + timedelta(seconds=1)

        early = processes.run(
            "tests.races.working:run_jobs", [{"ids": ids, "at": in_time, "seed": seed} for seed in range(4)]
        )
        late = processes.run(
            "tests.races.working:run_jobs", [{"ids": ids, "at": too_late, "seed": seed} for seed in range(4)]
        )

        assert early == [[], [], [], []]
        assert sorted(job_id for each in late for job_id in each) == sorted(ids)
        assert set(Job.objects.values_list("state", "attempts")) == {("done", 2)}
        # The worker was not dead, only slow: its end changes nothing any more.
        assert dead[0] is not None
        jobs._end(dead[0], Job.State.FAILED, at=too_late, error="too late")
        assert Job.objects.get(pk=dead[0].pk).state == "done"


class TestMove:
    def test_is_won_by_one_process_and_audited_once(self, processes: Processes) -> None:
        ids = make_jobs(30)

        moved = processes.run(
            "tests.races.working:move_all", [{"ids": ids, "at": NOW, "seed": seed} for seed in range(4)]
        )

        assert sorted(job_id for each in moved for job_id in each) == sorted(ids)
        assert count_moves() == 30
