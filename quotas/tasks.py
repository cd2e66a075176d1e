"""Routines of limits."""

from celery import shared_task
from django.utils import timezone

from quotas import detecting, holds


@shared_task(name="quotas.sweep_holds", expires=30)
def sweep_holds() -> None:
    """Book holds whose process died."""
    holds.sweep(at=timezone.now())


@shared_task(name="quotas.purge_counters", expires=3000)
def purge_counters() -> None:
    """Remove ended holds and counters of past minutes."""
    holds.purge(at=timezone.now())


@shared_task(name="quotas.detect_incidents", expires=500)
def detect_incidents() -> None:
    """Judge the hours that are over, tell of incidents that nobody looks after, end those that are over."""
    detecting.run(at=timezone.now())
