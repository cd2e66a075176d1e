"""Pages of payouts: the list with its approvals and bank files, and one payout with what finance does with it."""

from collections.abc import Callable
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.db.models import Count, Sum
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from billing.creators import bank_files, paying, queries
from billing.creators.forms import BankFileForm, PayoutForm
from billing.house import debtor, payout_terms
from billing.models import Payout
from marketplace.accounts import access
from marketplace.accounts.access import Role
from marketplace.accounts.requests import PersonRequest
from marketplace.core.errors import HalfpennyError

PAGE_SIZE = 50
MOST_FILES = 5


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def payouts(request: PersonRequest) -> HttpResponse:
    """List payouts with sums by state; a POST approves those that were picked."""
    seen = queries.payouts(request.actor)
    if request.method == "POST":
        return _approved(request)
    state = request.GET.get("state", "")
    shown = seen.filter(state=state) if state in Payout.State.values else seen
    sums = seen.order_by().values("state", "currency").annotate(count=Count("pk"), total=Sum("amount_minor"))
    is_finance = request.actor.is_platform(Role.FINANCE)
    context = {
        "page": Paginator(shown.order_by("-due_date", "-pk"), PAGE_SIZE).get_page(request.GET.get("page")),
        "sums": sums.order_by("currency", "state"),
        "state": state,
        "states": Payout.State.values,
        "is_finance": is_finance,
        "files": queries.bank_files(request.actor)[:MOST_FILES] if is_finance else [],
        "file_form": BankFileForm(initial={"currency": payout_terms().currency}),
        "terms": payout_terms(),
    }
    return render(request, "billing/payouts.html", context)


def _approved(request: PersonRequest) -> HttpResponse:
    picked = [one for one in request.POST.getlist("payout") if _is_id(one)]
    found = list(queries.payouts(request.actor).filter(pk__in=picked))
    count = paying.approve(found, by=request.actor, at=timezone.now())
    left = len(found) - count
    more = f" {left} waited for no approval of yours." if left else ""
    messages.success(request, f"{count} payout{'' if count == 1 else 's'} approved.{more}")
    return redirect("billing:payouts")


def _is_id(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def payout(request: PersonRequest, payout_id: UUID) -> HttpResponse:
    """Show a payout; a POST approves, holds, releases, fails, retries or confirms it."""
    found = access.get(queries.payouts(request.actor), pk=payout_id)
    form = PayoutForm(request.POST or None)
    if form.is_valid() and _done(request, found, form):
        return redirect("billing:payout", found.pk)
    is_finance = request.actor.is_platform(Role.FINANCE)
    context = {
        "payout": found,
        "form": form,
        "is_finance": is_finance,
        "actions": _actions(found, request) if is_finance else [],
        "postings": found.entry.postings.order_by("pk") if found.entry else [],
    }
    return render(request, "billing/payout.html", context)


def _actions(found: Payout, request: PersonRequest) -> list[tuple[str, str, str]]:
    """Name what can be done now: action, label, variant."""
    state, person = found.state, request.actor.user.pk
    if state == Payout.State.HELD:
        return [("fail", "It cannot be paid", "danger"), ("release", "Let it go on", "primary")]
    if state == Payout.State.FAILED:
        return [("retry", "Try again", "primary")]
    if state == Payout.State.PAID:
        return []
    actions = [("hold", "Hold", "secondary")]
    if found.file_id:
        actions += [("fail", "It failed", "danger"), ("confirm", "The bank paid it", "primary")]
    elif not found.is_approved and found.approved_by_id != person:
        actions.append(("approve", "Approve", "primary"))
    return actions


def _done(request: PersonRequest, found: Payout, form: PayoutForm) -> bool:
    note, by, at = form.cleaned_data["note"], request.actor, timezone.now()
    actions: dict[str, Callable[[], None]] = {
        "approve": lambda: paying.approve_one(found, by=by, at=at),
        "hold": lambda: paying.hold(found, reason=note, by=by, at=at),
        "release": lambda: paying.release(found, by=by, at=at),
        "fail": lambda: paying.fail(found, reason=note, by=by, at=at),
        "retry": lambda: paying.retry(found, reason=note, by=by, at=at),
        "confirm": lambda: paying.confirm(found, reference=note, by=by, at=at),
    }
    access.require_platform(request.actor, Role.FINANCE)
    try:
        actions[form.cleaned_data["what"]]()
    except HalfpennyError as error:
        form.add_error("note" if getattr(error, "field", "") else None, error.message)
        return False
    return True


@login_required
@require_POST
def make_file(request: PersonRequest) -> HttpResponse:
    """Put approved bank transfers into a file."""
    access.require_platform(request.actor, Role.FINANCE)
    form = BankFileForm(request.POST)
    if not form.is_valid():
        messages.error(request, "Choose a day and a currency.")
        return redirect("billing:payouts")
    now = timezone.now()
    try:
        made = bank_files.make(
            currency=form.cleaned_data["currency"].upper(),
            execution_date=form.cleaned_data["execution_date"],
            debtor=debtor(at=now),
            by=request.actor,
            at=now,
        )
    except HalfpennyError as error:
        messages.error(request, error.message)
    else:
        messages.success(request, f"{made.message_id} is made: give it to the bank.")
    return redirect("billing:payouts")


@login_required
@require_safe
def bank_file(request: PersonRequest, file_id: UUID) -> HttpResponse:
    """Give a file of bank transfers as it was made."""
    found = access.get(queries.bank_files(request.actor), pk=file_id)
    headers = {"Content-Disposition": f'attachment; filename="{found.message_id}.xml"'}
    return HttpResponse(found.content, content_type="application/xml", headers=headers)
