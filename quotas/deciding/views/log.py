"""The log of decisions, as a page and as a file."""

from typing import Any

from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.http import HttpResponse, StreamingHttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_safe

from marketplace.accounts import access
from marketplace.accounts.requests import PersonRequest
from marketplace.core.csv import CONTENT_TYPE, to_csv
from quotas import desk
from quotas.deciding.forms import LogForm
from quotas.deciding.tabs import tabs
from quotas.decision_log import COLUMNS, DecisionLog
from quotas.deputies import hats

PAGE_SIZE = 50


@login_required
@require_safe
def log(request: PersonRequest) -> HttpResponse:
    """List every decision, searchable by person, outcome, kind and words."""
    _require_decider(request)
    form = LogForm(request.GET)
    found: Any = DecisionLog(request.actor, form.sought)
    page = Paginator(found, PAGE_SIZE).get_page(request.GET.get("page"))
    context = {"form": form, "page": page, "tabs": tabs("log"), "query": request.GET.urlencode()}
    return render(request, "quotas/deciding/log.html", context)


@login_required
@require_safe
def log_csv(request: PersonRequest) -> StreamingHttpResponse:
    """Give the same decisions as a file."""
    _require_decider(request)
    rows = (entry.cells() for entry in DecisionLog(request.actor, LogForm(request.GET).sought))
    answer = StreamingHttpResponse(to_csv(COLUMNS, rows), content_type=CONTENT_TYPE)
    answer["Content-Disposition"] = f'attachment; filename="decisions-{timezone.now():%Y-%m-%d}.csv"'
    return answer


def _require_decider(request: PersonRequest) -> None:
    access.require(
        desk.may_decide_anything(hats(request.actor, at=timezone.now())),
        message="This is for those who decide.",
    )
