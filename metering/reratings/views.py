"""Pages of re-ratings: what was and is rated anew, proposing it, deciding on it, following it."""

from typing import Any

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_safe

from marketplace.accounts import access
from marketplace.accounts.access import PLATFORM_ROLES
from marketplace.accounts.requests import PersonRequest
from marketplace.core.csv import CONTENT_TYPE, to_csv
from marketplace.core.errors import Conflict, HalfpennyError, InvalidInput
from metering.models import Rerating
from metering.proposals import PROPOSERS
from metering.reratings import pages, proposing
from metering.reratings.forms import DecisionForm, ReratingForm

State = Rerating.State
PAGE_SIZE = 50


@login_required
@require_safe
def reratings(request: PersonRequest) -> HttpResponse:
    """List every re-rating with what it changes."""
    _require_reader(request)
    page = Paginator(pages.listed(), PAGE_SIZE).get_page(request.GET.get("page"))
    context = {
        "page": page,
        "rows": [
            (one, sums, one.state == State.PROPOSED and proposing.may_decide(one, actor=request.actor))
            for one, sums in pages.with_sums(page)
        ],
        "can_propose": request.actor.is_platform(*PROPOSERS),
    }
    return render(request, "metering/reratings.html", context)


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def propose(request: PersonRequest) -> HttpResponse:
    """Show the form for a re-rating; a POST proposes it. The address says of what: ``kind``, and ``subject``."""
    access.require_platform(request.actor, *PROPOSERS)
    kind = request.GET.get("kind", Rerating.Kind.MODEL)
    kind = kind if kind in Rerating.Kind.values else Rerating.Kind.MODEL
    form = ReratingForm(request.POST or None, kind=kind, subject=request.GET.get("subject", "")[:80])
    if form.is_valid() and (made := _propose(request, form)):
        messages.success(request, "It is proposed. What it would change is being worked out.")
        return redirect("metering:rerating", made.pk)
    context = {"form": form, "kind": kind, "currency": settings.CURRENCY}
    return render(request, "metering/propose_rerating.html", context)


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def rerating(request: PersonRequest, rerating_id: int) -> HttpResponse:
    """Show a re-rating with what it changes; a POST approves, rejects or withdraws it."""
    shown = _find(request, rerating_id)
    form = DecisionForm(request.POST or None)
    if request.method == "POST" and form.is_valid() and _decided(request, shown, form):
        return redirect("metering:rerating", shown.pk)
    rows = pages.parts(shown)
    is_own = shown.proposed_by_id == request.actor.user.pk
    is_proposed = shown.state == State.PROPOSED
    context = {
        "rerating": shown,
        "form": form,
        "prices": pages.prices(shown),
        "totals": pages.totals(shown),
        "rows": rows[: pages.SHOWN_PARTS],
        "more": max(0, len(rows) - pages.SHOWN_PARTS),
        "written": pages.written(shown),
        "job": pages.job_of(shown),
        "is_own": is_own,
        "may_decide": is_proposed and proposing.may_decide(shown, actor=request.actor),
        "may_withdraw": is_own and shown.state in (State.PREVIEWING, State.PROPOSED),
    }
    return render(request, "metering/rerating.html", context)


@login_required
@require_safe
def rerating_csv(request: PersonRequest, rerating_id: int) -> HttpResponse:
    """Give what a re-rating would change, as it was decided on, as a file."""
    shown = _find(request, rerating_id)
    headers = {"Content-Disposition": f'attachment; filename="re-rating-{shown.pk}.csv"'}
    lines = to_csv(pages.CSV_COLUMNS, pages.csv_rows(shown))
    return HttpResponse(lines, content_type=CONTENT_TYPE, headers=headers)


@login_required
@require_safe
def progress(request: PersonRequest, rerating_id: int) -> HttpResponse:
    """Show how far the work on a re-rating is (fragment, polled); when it has ended the page is loaded anew."""
    shown = _find(request, rerating_id)
    job = pages.job_of(shown)
    response = render(request, "metering/_rerating_progress.html", {"rerating": shown, "job": job})
    if job is None or job.ended_at is not None:
        response["HX-Refresh"] = "true"
    return response


def _find(request: PersonRequest, rerating_id: int) -> Rerating:
    _require_reader(request)
    return access.get(pages.listed(), pk=rerating_id)


def _require_reader(request: PersonRequest) -> None:
    access.require_platform(request.actor, *sorted(PLATFORM_ROLES))


def _propose(request: PersonRequest, form: ReratingForm) -> Rerating | None:
    """Propose what the form says; what the domain refuses goes to its field."""
    try:
        asked = form.rerating(currency=settings.CURRENCY)
        return proposing.propose(asked, by=request.actor, at=timezone.now())
    except (InvalidInput, Conflict) as error:
        _tell(form, error)
    return None


def _decided(request: PersonRequest, shown: Rerating, form: DecisionForm) -> bool:
    """Do what the pressed button says; what the domain refuses goes to the form."""
    said: dict[str, Any] = {"by": request.actor, "at": timezone.now()}
    note, decision = form.cleaned_data["note"], request.POST.get("decision")
    try:
        if decision == "approve":
            proposing.approve(shown, note=note, **said)
            messages.success(request, "It is approved, and is being written.")
        elif decision == "reject":
            proposing.reject(shown, note=note, **said)
            messages.success(request, "The re-rating is rejected.")
        elif decision == "withdraw":
            proposing.withdraw(shown, **said)
            messages.success(request, "The re-rating is taken back.")
        else:
            raise InvalidInput("", "Approve, reject or take back.")
    except (InvalidInput, Conflict) as error:
        _tell(form, error)
        # What somebody else decided meanwhile is what the page shows.
        shown.refresh_from_db()
        return False
    return True


def _tell(form: Any, error: HalfpennyError) -> None:
    if not isinstance(error, InvalidInput):
        form.add_error(None, error.message)
        return
    for one in error.errors:
        form.add_error(one.field if one.field in form.fields else None, one.message)
