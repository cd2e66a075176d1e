"""How fast a job goes on, and when it will be done if it goes on like that."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from marketplace.core.jobs import LEASE
from marketplace.core.models import Job


@dataclass(frozen=True)
class Pace:
    """Steps a minute since a worker took the job, and when the rest is done; None before a step is done."""

    per_minute: int
    done_at: datetime | None


def of_job(job: Job, *, at: datetime) -> Pace | None:
    """Tell the pace of a running job; None when it does not run."""
    if job.state != Job.State.RUNNING or job.locked_until is None:
        return None
    elapsed = at - (job.locked_until - LEASE)
    if job.done_steps <= 0 or elapsed <= timedelta(0):
        return Pace(0, None)
    left = max(0, job.total_steps - job.done_steps)
    return Pace(int(job.done_steps * timedelta(minutes=1) / elapsed), at + elapsed * left / job.done_steps)
