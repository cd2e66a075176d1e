"""Routines of limits."""

from celery import shared_task
from django.utils import timezone

from quotas import alarms, holds, usual


@shared_task(name="quotas.sweep_holds", expires=30)
def sweep_holds() -> None:
    """Book holds whose process died."""
    holds.sweep(at=timezone.now())


@shared_task(name="quotas.purge_counters", expires=3000)
def purge_counters() -> None:
    """Remove ended holds and counters of past minutes."""
    holds.purge(at=timezone.now())


@shared_task(name="quotas.learn_usual_use", expires=3000)
def learn_usual_use() -> None:
    """Learn what calls usually come to."""
    usual.learn(at=timezone.now())


@shared_task(name="quotas.tell_of_limits", expires=55)
def tell_of_limits() -> None:
    """Tell people of limits that are reached and of usage beyond what was held."""
    alarms.tell(at=timezone.now())
