"""Pages of saving reports, for makers of apps and for operators: asking for one, and reading it."""

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_safe

from marketplace.accounts import access
from marketplace.accounts.access import Role
from marketplace.accounts.requests import PersonRequest
from marketplace.core.errors import InvalidInput
from marketplace.core.models import Job
from marketplace.gateway.savings import keeping, pages
from marketplace.gateway.savings.forms import SavingForm

PAGE = 25


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def reports(request: PersonRequest) -> HttpResponse:
    """List the reports and offer the form; a POST asks for another one."""
    may_ask = request.actor.is_platform(Role.OPERATOR) or bool(request.actor.teams_as(Role.CREATOR))
    access.require(may_ask, message="Savings are for makers of apps and for operators.")
    now = timezone.now()
    form = SavingForm(request.POST or None, apps=keeping.apps(request.actor), at=now)
    if form.is_valid():
        try:
            made = keeping.ask(form.cleaned_data["app"], asked=form.asked(), by=request.actor, at=now)
        except InvalidInput as error:
            for one in error.errors:
                form.add_error(pages.FIELDS.get(one.field, None), one.message)
        else:
            messages.success(request, "It is being worked out. You may leave this page.")
            return redirect("gateway:saving-report", made.pk)
    page = Paginator(keeping.reports(request.actor).order_by("-asked_at"), PAGE).get_page(
        request.GET.get("page")
    )
    context = {"form": form, "page": page, "rows": [pages.row(one) for one in page]}
    return render(request, "gateway/savings/list.html", context)


@login_required
@require_safe
def report(request: PersonRequest, report_id: UUID) -> HttpResponse:
    """Show a report, or how far it is."""
    found = access.get(keeping.reports(request.actor), pk=report_id)
    context: dict[str, Any] = {"report": found, "job": found.job}
    if found.found is not None:
        context["view"] = pages.view_of(found.found)
    else:
        context["is_failed"] = found.job is None or found.job.state in (Job.State.FAILED, Job.State.CANCELED)
    is_fragment = request.htmx and not request.htmx.boosted and found.found is None
    template = "gateway/savings/_progress.html" if is_fragment else "gateway/savings/report.html"
    answer = render(request, template, context)
    if request.htmx and found.found is not None:
        # The fragment asked how far it is, and it is done: show the whole page.
        answer["HX-Refresh"] = "true"
    return answer
