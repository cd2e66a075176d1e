"""Celery's side of the job queue."""

from uuid import UUID

from celery import shared_task
from django.utils import timezone

from marketplace.core import heartbeats, jobs


@shared_task(name="core.run_job")
def run_job(*, job_id: str) -> None:
    """Run one job by id; safe to send twice."""
    jobs.run(UUID(job_id), at=timezone.now())


@shared_task(name="core.sweep_jobs", expires=30)
def sweep_jobs() -> None:
    """Run what a lost message or a killed worker left behind. That it runs at all shows that both live."""
    heartbeats.beat("worker", "beat")
    for job_id in jobs.due(at=timezone.now()):
        jobs.run(job_id, at=timezone.now())
