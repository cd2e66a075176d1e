"""Work of the catalogue in the background: checks, rescans, saved searches, and whatever has a date."""

from celery import shared_task
from django.conf import settings
from django.http import QueryDict
from django.utils import timezone

from marketplace.catalog import (
    check_runs,
    deprecations,
    kept_runs,
    ownership,
    price_changes,
    rescans,
    reviews,
    saved_searches,
    scanning,
    takedowns,
    waivers,
)
from marketplace.catalog.forms.filters import filters_of
from marketplace.core import jobs
from marketplace.core.models import Job


@shared_task(name="catalog.move_apps", expires=50)
def move_apps() -> None:
    """Let every app say who owns it now. Attribution does not wait for this: it goes by the dated rows."""
    ownership.catch_up(at=timezone.now())


@shared_task(name="catalog.tell_of_new_matches", expires=600)
def tell_of_new_matches() -> None:
    """Tell people of apps that match their saved searches anew."""
    for saved in saved_searches.telling():
        saved_searches.tell_new(saved, filters_of(QueryDict(saved.query)), at=timezone.now())


@jobs.work(check_runs.SCAN_JOB)
def run_check(*, job: Job, check_run_id: str) -> dict[str, str]:
    """Make one check of a version; safe to run again."""
    state = scanning.run(check_run_id, clock=timezone.now, semgrep_command=settings.SEMGREP_COMMAND)
    return {"state": state}


@shared_task(name="catalog.rescan", expires=3_600)
def rescan() -> None:
    """Look at live apps again where rules or advisories changed since."""
    rescans.queue_due(at=timezone.now())


@shared_task(name="catalog.expire_waivers", expires=3_000)
def expire_waivers() -> None:
    """End waivers whose date has come, and tell who relied on them."""
    waivers.expire(at=timezone.now())


# What has a date: each a task of its own, so that one that fails keeps none of the others.
@shared_task(name="catalog.reject_overdue", expires=250)
def reject_overdue() -> None:
    """Reject what was not handed in again by its date."""
    reviews.reject_overdue(at=timezone.now())


@shared_task(name="catalog.carry_out_takedowns", expires=250)
def carry_out_takedowns() -> None:
    """Take down apps that were not fixed by their date."""
    takedowns.carry_out(at=timezone.now())


@shared_task(name="catalog.begin_prices", expires=250)
def begin_prices() -> None:
    """Let prices begin whose date has come."""
    price_changes.apply_due(at=timezone.now())


@shared_task(name="catalog.remind_of_ends", expires=250)
def remind_of_ends() -> None:
    """Tell subscribers again of apps that end soon."""
    deprecations.remind(at=timezone.now())


@shared_task(name="catalog.end_apps", expires=250)
def end_apps() -> None:
    """End apps whose date has come."""
    deprecations.end_due(at=timezone.now())


@shared_task(name="catalog.forget_runs", expires=3_000)
def forget_runs() -> None:
    """Delete kept runs whose time is over."""
    kept_runs.forget_expired(at=timezone.now())
