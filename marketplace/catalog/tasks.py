"""Routines of the catalogue: apps change hands when their date has come, people hear of what their searches find."""

from celery import shared_task
from django.http import QueryDict
from django.utils import timezone

from marketplace.catalog import ownership, saved_searches
from marketplace.catalog.forms.filters import filters_of


@shared_task(name="catalog.move_apps", expires=50)
def move_apps() -> None:
    """Let every app say who owns it now. Attribution does not wait for this: it goes by the dated rows."""
    ownership.catch_up(at=timezone.now())


@shared_task(name="catalog.tell_of_new_matches", expires=600)
def tell_of_new_matches() -> None:
    """Tell people of apps that match their saved searches anew."""
    for saved in saved_searches.telling():
        saved_searches.tell_new(saved, filters_of(QueryDict(saved.query)), at=timezone.now())
