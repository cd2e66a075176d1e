"""Routines of metering."""

from celery import shared_task
from django.utils import timezone

from metering import free_usage


@shared_task(name="metering.find_free_usage", expires=3000)
def find_free_usage() -> None:
    """Tell operators of tokens that cost nothing."""
    free_usage.tell_operators(at=timezone.now())
