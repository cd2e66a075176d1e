"""Routines of limits."""

from celery import shared_task
from django.utils import timezone

from quotas import holds, limit_alerts


@shared_task(name="quotas.sweep_holds", expires=30)
def sweep_holds() -> None:
    """Book holds whose process died."""
    holds.sweep(at=timezone.now())


@shared_task(name="quotas.purge_counters", expires=3000)
def purge_counters() -> None:
    """Remove ended holds and counters of past minutes."""
    holds.purge(at=timezone.now())


@shared_task(name="quotas.tell_of_limits", expires=50)
def tell_of_limits() -> None:
    """Tell people of thresholds of budgets and subscriptions that were passed."""
    limit_alerts.tell(at=timezone.now())
