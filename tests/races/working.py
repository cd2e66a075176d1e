"""What each process of a race does with numbers, jobs and states."""

import random
from datetime import datetime, timedelta
from uuid import UUID

from django.db import transaction

from marketplace.core import jobs, transitions
from marketplace.core.models import AuditEntry, Job
from marketplace.core.numbering import next_number
from tests.races.processes import shuffled

ECHO = "tests.echo"
STEPS = {"queued": frozenset({"running", "canceled"}), "running": frozenset({"done"})}


class Rollback(Exception):
    """The transaction that took a number does not happen."""


@jobs.work(ECHO)
def echo(*, job: Job, number: int) -> dict[str, int]:
    """Leave a trace of having run."""
    return {"number": number, "attempt": job.attempts}


def take_numbers(*, series: list[str], tries: int, seed: int) -> dict[str, list[int]]:
    """Take a number in each of many transactions, of which every third is rolled back; gives those that stayed."""
    dice = random.Random(seed)
    kept: dict[str, list[int]] = {name: [] for name in series}
    for _ in range(tries):
        name = dice.choice(series)
        try:
            with transaction.atomic():
                number = next_number(name)
                if dice.randrange(3) == 0:
                    raise Rollback
        except Rollback:
            continue
        kept[name].append(number)
    return kept


def run_jobs(*, ids: list[UUID], at: datetime, seed: int) -> list[UUID]:
    """Run jobs in an order of this process; gives those that it ran itself."""
    return [job_id for job_id in shuffled(ids, seed) if jobs.run(job_id, at=at) is not None]


def enqueue(*, keys: list[str], at: datetime, seed: int) -> dict[str, UUID]:
    """Queue the same work as the others; gives job ids by idempotency key. They are due only later."""
    later = at + timedelta(hours=1)
    return {
        key: jobs.enqueue(ECHO, idempotency_key=key, at=at, run_at=later, number=1).pk
        for key in shuffled(keys, seed)
    }


def move_all(*, ids: list[UUID], at: datetime, seed: int) -> list[UUID]:
    """Move jobs to running; gives those that this process moved."""
    moved = []
    for job in shuffled(list(Job.objects.filter(pk__in=ids)), seed):
        try:
            transitions.move(job, STEPS, to="running", action="tests.moved", at=at)
        except transitions.IllegalTransition:
            continue
        moved.append(job.pk)
    return moved


def count_moves() -> int:
    """Return how many moves the audit trail tells of."""
    return AuditEntry.objects.filter(action="tests.moved").count()
