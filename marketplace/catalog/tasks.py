"""Routines of the catalogue: apps change hands when their date has come."""

from celery import shared_task
from django.utils import timezone

from marketplace.catalog import ownership


@shared_task(name="catalog.move_apps", expires=50)
def move_apps() -> None:
    """Let every app say who owns it now. Attribution does not wait for this: it goes by the dated rows."""
    ownership.catch_up(at=timezone.now())
