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


@shared_task(name="catalog.tend_versions", expires=250)
def tend_versions() -> None:
    """Carry out what has a date: rejections and takedowns that were not fixed, prices that rise, apps that end."""
    now = timezone.now()
    reviews.reject_overdue(at=now)
    takedowns.carry_out(at=now)
    price_changes.apply_due(at=now)
    deprecations.remind(at=now)
    deprecations.end_due(at=now)


@shared_task(name="catalog.forget_runs", expires=3_000)
def forget_runs() -> None:
    """Delete kept runs whose time is over."""
    kept_runs.forget_expired(at=timezone.now())
