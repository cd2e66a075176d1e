"""Pages of the ledger, and of the comparison of all totals."""

from typing import Any

from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_safe

from billing import background, exports, queries
from billing.closing import discrepancies
from billing.ledger.balances import trial_balance
from billing.models import BillingPeriod
from billing.views.invoices import csv_file
from marketplace.accounts import access
from marketplace.accounts.access import Role
from marketplace.accounts.requests import PersonRequest
from marketplace.core.models import Job

PAGE_SIZE = 10


@login_required
@require_safe
def ledger(request: PersonRequest) -> HttpResponse:
    """Show the trial balance and the journal, of all time or of one month."""
    access.require_platform(request.actor, Role.FINANCE)
    name = _period_asked(request)
    page = Paginator(queries.entries(period=name), PAGE_SIZE).get_page(request.GET.get("page"))
    context = {
        "balance": trial_balance(period=name),
        "page": page,
        "period": name,
        "periods": BillingPeriod.objects.order_by("-name").values_list("name", flat=True),
    }
    return render(request, "billing/ledger.html", context)


@login_required
@require_safe
def journal_csv(request: PersonRequest) -> HttpResponse:
    """Give the journal as a file, a row for each posting."""
    access.require_platform(request.actor, Role.FINANCE)
    rows = exports.journal_rows(queries.postings(period=_period_asked(request)))
    return csv_file("journal.csv", exports.JOURNAL_COLUMNS, rows)


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def verification(request: PersonRequest) -> HttpResponse:
    """Show the last comparison of all totals; a POST asks for a new one."""
    access.require_platform(request.actor, Role.FINANCE)
    if request.method == "POST":
        background.request_verification(at=timezone.now(), by=request.actor.user)
        return redirect("billing:verify")
    context: dict[str, Any] = {"job": background.verification_job(), "last": background.last_verification()}
    context["differing"] = _differing(context["last"])
    context["incident"] = discrepancies.current()
    is_poll = request.htmx and request.htmx.target == "verification"
    response = render(request, "billing/_verification.html" if is_poll else "billing/verify.html", context)
    if is_poll and (context["job"] is None or context["job"].ended_at is not None):
        response["HX-Refresh"] = "true"
    return response


def _differing(last: Job | None) -> int:
    verdicts = last.result or [] if last else []
    return sum(not finding["is_ok"] for verdict in verdicts for finding in verdict["findings"])


def _period_asked(request: PersonRequest) -> str:
    return request.GET.get("period", "")[:7]
