"""Routines of limits."""

from uuid import UUID

from celery import shared_task
from django.conf import settings
from django.utils import timezone

from marketplace.core import jobs
from marketplace.core.models import Job
from quotas import (
    alarms,
    decision_mails,
    detecting,
    grants,
    holds,
    increase_routine,
    limit_alerts,
    service,
    usual,
)


@shared_task(name="quotas.sweep_holds", expires=30)
def sweep_holds() -> None:
    """Book holds whose process died."""
    holds.sweep(at=timezone.now())


@shared_task(name="quotas.purge_counters", expires=3000)
def purge_counters() -> None:
    """Remove ended holds and counters of past minutes."""
    holds.purge(at=timezone.now())


@shared_task(name="quotas.tend_increases", expires=60)
def tend_increases() -> None:
    """Remind of undecided requests, escalate and expire them; let grants begin and end, and tell before they do."""
    now = timezone.now()
    grants.follow_time(at=now)
    grants.warn_of_ends(at=now)
    increase_routine.tend(at=now)


@jobs.work(decision_mails.SEND)
def mail_decider(*, job: Job, request_id: str, person_id: int, level: str) -> bool:
    """Mail somebody that a request waits for them, with a link to decide it."""
    sender = decision_mails.Sender(
        address=settings.DEFAULT_FROM_EMAIL,
        public_url=settings.PUBLIC_URL.rstrip("/"),
        brand=settings.MARKETPLACE_NAME,
    )
    return decision_mails.send(
        request_id=UUID(request_id), person_id=person_id, level=level, at=timezone.now(), sender=sender
    )


@shared_task(name="quotas.learn_usual_use", expires=3000)
def learn_usual_use() -> None:
    """Learn what calls usually come to."""
    usual.learn(at=timezone.now())


@shared_task(name="quotas.tell_of_limits", expires=55)
def tell_of_limits() -> None:
    """Tell people of limits that are reached, of usage beyond what was held, and of thresholds that were passed."""
    alarms.tell(at=timezone.now())
    limit_alerts.tell(at=timezone.now())


@shared_task(name="quotas.detect_incidents", expires=500)
def detect_incidents() -> None:
    """Judge the hours that are over, tell of incidents that nobody looks after, end those that are over."""
    detecting.run(at=timezone.now())


@shared_task(name="quotas.count_service", expires=3000)
def count_service() -> None:
    """Tell the catalogue how many calls of each app were answered."""
    service.count_days(at=timezone.now())


@shared_task(name="quotas.tell_of_incidents", expires=55)
def tell_of_incidents() -> None:
    """Tell the catalogue how apps stand."""
    service.tell_incidents(at=timezone.now())
