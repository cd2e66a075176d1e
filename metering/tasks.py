"""Work of metering in the background: partitions, archive, what people have to be told of, re-ratings."""

import logging
from datetime import date
from pathlib import Path
from typing import Any
from uuid import UUID

from celery import shared_task
from django.conf import settings
from django.utils import timezone

from marketplace.accounts.models import User
from marketplace.core import jobs
from marketplace.core.errors import Conflict, Unavailable
from marketplace.core.models import Job
from metering import app_service, archive, conflicts, declared_months, free_usage, inbox_routine, partitions
from metering.kept import mails, schedules
from metering.reratings import applying, previewing, proposing

logger = logging.getLogger(__name__)
HOUR_S = 3600


@shared_task(name="metering.make_partitions", expires=HOUR_S)
def make_partitions() -> None:
    """Make the partitions of the next months, and move events there that came before their partition."""
    try:
        partitions.make_around(timezone.now())
    except Unavailable as error:
        logger.warning("no partitions made, tomorrow again: %s", error)


# A large month takes longer than the time that other tasks have; a killed one begins again the next night.
@shared_task(
    name="metering.archive_events", expires=HOUR_S, soft_time_limit=6 * HOUR_S, time_limit=7 * HOUR_S
)
def archive_events() -> None:
    """Archive every closed month that is older than the retention, oldest first."""
    if not settings.EVENT_RETENTION_MONTHS or not settings.ARCHIVE_DIR:
        return
    for one in archive.candidates(at=timezone.now(), keep_months=settings.EVENT_RETENTION_MONTHS):
        if one.why_not:
            logger.info("events of %s are not archived: %s", f"{one.period:%Y-%m}", one.why_not)
            continue
        try:
            row = archive.archive(
                one.period,
                at=timezone.now(),
                folder=Path(settings.ARCHIVE_DIR),
                made_by=settings.VERSION,
            )
        except (Conflict, Unavailable) as error:
            logger.warning("events of %s are not archived, tomorrow again: %s", f"{one.period:%Y-%m}", error)
        else:
            logger.info("archived the events of %s: %s", row, row.folder)


@shared_task(name="metering.find_free_usage", expires=HOUR_S - 600)
def find_free_usage() -> None:
    """Tell operators of tokens that cost nothing."""
    free_usage.tell_operators(at=timezone.now())


@shared_task(name="metering.tell_of_conflicts", expires=HOUR_S - 600)
def tell_of_conflicts() -> None:
    """Tell makers of reports under known ids with other content."""
    conflicts.tell_makers(at=timezone.now())


@shared_task(name="metering.purge_conflicts", expires=HOUR_S)
def purge_conflicts() -> None:
    """Delete conflicts that were kept for long enough."""
    conflicts.purge(at=timezone.now())


@shared_task(name="metering.tend_inboxes", expires=HOUR_S - 600)
def tend_inboxes() -> None:
    """Tell owners of usage that nobody is named for, and count what was overlooked."""
    inbox_routine.tend(at=timezone.now())


@shared_task(name="metering.tell_catalogue", expires=HOUR_S - 600)
def tell_catalogue() -> None:
    """Tell the catalogue what was measured of apps."""
    app_service.tell_catalogue(at=timezone.now())


@shared_task(name="metering.compare_declared", expires=HOUR_S)
def compare_declared() -> None:
    """Compare what was declared of apps with their last full month; each month once."""
    declared_months.tell(at=timezone.now())


@jobs.work(proposing.PREVIEW)
def preview_rerating(*, job: Job, rerating_id: int) -> None:
    """Work out what a re-rating would change; safe to run twice."""
    previewing.work_out(rerating_id, at=timezone.now())


@jobs.work(proposing.APPLY)
def apply_rerating(*, job: Job, rerating_id: int) -> dict[str, Any]:
    """Write an approved re-rating; goes on where an earlier run stopped."""
    rerating = applying.apply(
        rerating_id,
        at=timezone.now(),
        on_progress=lambda done, total: jobs.progress(job, done=done, total=total),
    )
    return {"events": rerating.applied_events}


@shared_task(name="metering.queue_reports", expires=HOUR_S)
def queue_reports() -> None:
    """Queue the reports by mail that are due."""
    schedules.queue_due(at=timezone.now())


@jobs.work(mails.SEND_REPORT)
def send_report(*, job: Job, person_id: int, title: str, query: str) -> bool:
    """Mail a report to the person who asked for it."""
    person = User.objects.get(pk=person_id)
    return mails.send(person, name=title, query=query, at=timezone.now(), sender=_sender())


@jobs.work(schedules.SEND_SCHEDULED)
def send_scheduled_report(*, job: Job, schedule_id: str, on: str) -> bool:
    """Mail a report that somebody gets every week or month."""
    day = date.fromisoformat(on)
    return mails.send_scheduled(UUID(schedule_id), on=day, at=timezone.now(), sender=_sender())


def _sender() -> mails.Sender:
    return mails.Sender(
        address=settings.DEFAULT_FROM_EMAIL,
        public_url=settings.PUBLIC_URL.rstrip("/"),
        brand=settings.MARKETPLACE_NAME,
        currency=settings.CURRENCY,
    )
