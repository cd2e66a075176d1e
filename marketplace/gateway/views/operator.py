"""Pages of the platform's operators: today, jobs, models and prices."""

from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django import forms
from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_POST, require_safe

from marketplace.accounts import access
from marketplace.accounts.access import Role
from marketplace.accounts.requests import PersonRequest
from marketplace.core import jobs as queue
from marketplace.core.errors import Conflict
from marketplace.core.models import Job
from marketplace.gateway import operations
from marketplace.gateway.operations import SPENDERS
from metering.models import LanguageModel
from metering.usage_pages import NEXT_GROUP

SHOWN_JOBS = 5
PAGE_SIZE = 50


class JobFilter(forms.Form):
    """Which jobs the list shows."""

    state = forms.ChoiceField(required=False, label="State", choices=[("", "All states"), *Job.State.choices])
    name = forms.ChoiceField(required=False, label="Work")

    def __init__(self, data: Any, *, names: list[str]) -> None:
        super().__init__(data)
        field = self.fields["name"]
        assert isinstance(field, forms.ChoiceField)
        field.choices = [("", "All work"), *((name, name) for name in names)]

    def lookups(self) -> dict[str, str]:
        """Return the filter as lookups; what is not understood filters nothing."""
        self.is_valid()
        return {name: value for name, value in self.cleaned_data.items() if value}


@login_required
@require_safe
def today(request: PersonRequest) -> HttpResponse:
    """Show who spends most, what failed, what hangs, and how fresh the numbers are."""
    access.require_platform(request.actor, Role.OPERATOR)
    now = timezone.now()
    by = request.GET.get("by", "team")
    by = by if by in SPENDERS else "team"
    spending = operations.spending(by=by, at=now)
    context = {
        "spending": spending,
        "currency": spending.currency or settings.CURRENCY,
        "rows": [(one, _usage_url(one.part.dimension, one.part.id)) for one in spending.top],
        "tabs": [
            {"label": f"By {title.lower()}", "url": f"?by={name}", "is_current": name == by}
            for name, title in SPENDERS.items()
        ],
        "heading": SPENDERS[by],
        "health": operations.health(at=now),
        "failed": operations.failed_jobs()[:SHOWN_JOBS],
        "providers": operations.providers(),
    }
    return render(request, "gateway/today.html", context)


@login_required
@require_safe
def jobs(request: PersonRequest) -> HttpResponse:
    """List background jobs, the newest first."""
    access.require_platform(request.actor, Role.OPERATOR)
    names = list(Job.objects.order_by("name").values_list("name", flat=True).distinct())
    form = JobFilter(request.GET, names=names)
    found = Job.objects.filter(**form.lookups()).select_related("created_by").order_by("-created_at", "-pk")
    page = Paginator(found, PAGE_SIZE).get_page(request.GET.get("page"))
    context = {"form": form, "page": page, "is_filtered": bool(form.lookups())}
    return render(request, "gateway/jobs.html", context)


@login_required
@require_POST
def retry_job(request: PersonRequest, job_id: UUID) -> HttpResponse:
    """Queue a failed job once more."""
    job = _job(request, job_id)
    if not queue.retry(job, at=timezone.now(), by=request.actor.user):
        raise Conflict("Only a failed job can be tried again; this one is not failed any more.")
    messages.success(request, f"{job.name} is queued again.")
    return redirect("gateway:jobs")


@login_required
@require_POST
def cancel_job(request: PersonRequest, job_id: UUID) -> HttpResponse:
    """Cancel a job that nobody has taken yet."""
    job = _job(request, job_id)
    if not queue.cancel(job, at=timezone.now(), by=request.actor.user):
        raise Conflict("Only a job that still waits can be canceled; this one was taken.")
    messages.success(request, f"{job.name} is canceled.")
    return redirect("gateway:jobs")


@login_required
@require_safe
def models(request: PersonRequest) -> HttpResponse:
    """Show the model catalogue with prices in force, instance rates, and who offers what."""
    access.require_platform(request.actor, Role.OPERATOR)
    now = timezone.now()
    context = {
        "rows": operations.model_rows(at=now),
        "rates": [
            (rate, rate.starts_at <= now and (rate.ends_at is None or now < rate.ends_at))
            for rate in operations.instance_rates()
        ],
        "providers": operations.providers(),
    }
    return render(request, "gateway/models.html", context)


@login_required
@require_safe
def model(request: PersonRequest, name: str) -> HttpResponse:
    """Show every price a model ever had."""
    access.require_platform(request.actor, Role.OPERATOR)
    found = access.get(LanguageModel.objects.all(), name=name)
    now = timezone.now()
    cards = [
        (card, card.starts_at <= now and (card.ends_at is None or now < card.ends_at))
        for card in operations.price_history(found)
    ]
    offers = found.offers.select_related("provider").order_by("provider__name")
    usage_url = _usage_url("model", found.name)
    context = {"model": found, "cards": cards, "offers": offers, "usage_url": usage_url}
    return render(request, "gateway/model.html", context)


def _job(request: PersonRequest, job_id: UUID) -> Job:
    access.require_platform(request.actor, Role.OPERATOR)
    return access.get(Job.objects.all(), pk=job_id)


def _usage_url(dimension: str, id_: str | None) -> str:
    """Return the address of the usage a number is made of."""
    if id_ is None:
        return ""
    return f"{reverse('metering:usage')}?{urlencode({'days': 30, dimension: id_, 'group_by': NEXT_GROUP[dimension]})}"
