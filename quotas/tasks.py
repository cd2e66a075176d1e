"""Routines of limits."""

from celery import shared_task
from django.utils import timezone

from quotas import grants, holds, increase_routine


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
