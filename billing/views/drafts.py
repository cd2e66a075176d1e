"""Pages of drafts: what will be billed for a month that is over, looked at and changed before it is final."""

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from billing import added_lines, background, monthly_run, parking, queries
from billing import drafts as domain
from billing.house import house_terms
from billing.models import Invoice
from billing.run_forms import AddLineForm, HoldForm
from marketplace.accounts import access
from marketplace.accounts.access import Role
from marketplace.accounts.requests import PersonRequest
from marketplace.core.errors import Conflict, InvalidInput

PAGE_SIZE = 50


@login_required
@require_safe
def listed(request: PersonRequest, name: str) -> HttpResponse:
    """List the drafts of a month that a person may see, the biggest first."""
    month = queries.month_called(name, at=timezone.now())
    found = queries.drafts(request.actor).filter(period=month.name)
    page = Paginator(found.order_by("-total_minor", "pk"), PAGE_SIZE).get_page(request.GET.get("page"))
    is_platform = request.actor.is_platform(Role.FINANCE)
    context = {
        "month": month,
        "page": page,
        "totals": queries.totals(found),
        "is_platform": is_platform,
        "grace_ends_at": month.month.ends_at + grace if (grace := house_terms().grace) is not None else None,
        "held": parking.payers_parked(month.name),
    }
    return render(request, "billing/drafts.html", context)


@login_required
@require_POST
def refresh(request: PersonRequest, name: str) -> HttpResponse:
    """Work out every draft of a month anew, in this request: it takes seconds, not minutes."""
    access.require_platform(request.actor, Role.FINANCE)
    try:
        state = monthly_run.refresh_drafts(name, at=timezone.now(), terms=house_terms())
    except Conflict as error:
        messages.error(request, error.message)
        return redirect("billing:period", name)
    messages.success(request, f"{state.drafts} drafts are current.")
    return redirect("billing:drafts", name)


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def draft(request: PersonRequest, draft_id: UUID) -> HttpResponse:
    """Show a draft with its lines; a POST of finance adds one."""
    issued = queries.invoices(request.actor).filter(pk=draft_id).first()
    if issued is not None:
        return redirect("billing:invoice", issued.number)
    shown = access.get(queries.drafts(request.actor), pk=draft_id)
    is_platform = request.actor.is_platform(Role.FINANCE)
    form = AddLineForm(request.POST or None, currency=shown.currency)
    if request.method == "POST":
        access.require(is_platform, message="This is for finance only.")
        if form.is_valid() and _added(request, shown, form):
            return redirect("billing:draft", draft_id)
    return render(request, "billing/draft.html", _context(shown, form=form, is_platform=is_platform))


def _added(request: PersonRequest, shown: Invoice, form: AddLineForm) -> bool:
    typed = form.cleaned_data
    try:
        domain.add_line(
            shown,
            description=typed["description"],
            amount_minor=form.amount_minor(),
            reason=typed["reason"],
            request_key=typed["key"],
            terms=house_terms(),
            at=timezone.now(),
            by=request.actor.user,
        )
    except InvalidInput as error:
        form.refuse(error)
        return False
    except Conflict as error:
        form.add_error(None, error.message)
        return False
    messages.success(request, "The line is on the draft.")
    return True


def _context(shown: Invoice, *, form: AddLineForm, is_platform: bool) -> dict[str, Any]:
    return {
        "draft": shown,
        "lines": queries.lines(shown),
        "shares": queries.shares(shown),
        "added": added_lines.of_draft(shown),
        "held": domain.held(shown),
        "form": form,
        "hold_form": HoldForm(),
        "is_platform": is_platform,
    }


@login_required
@require_POST
def remove_line(request: PersonRequest, draft_id: UUID) -> HttpResponse:
    """Take an added line off a draft."""
    shown = _of_platform(request, draft_id)
    line_id = int(request.POST.get("line", "")) if request.POST.get("line", "").isdecimal() else 0
    try:
        domain.remove_line(
            shown, line_id=line_id, terms=house_terms(), at=timezone.now(), by=request.actor.user
        )
    except Conflict as error:
        messages.error(request, error.message)
    return redirect("billing:draft", draft_id)


@login_required
@require_POST
def hold(request: PersonRequest, draft_id: UUID) -> HttpResponse:
    """Hold a draft back, with a reason."""
    shown = _of_platform(request, draft_id)
    try:
        parking.hold(shown, reason=request.POST.get("reason", ""), at=timezone.now(), by=request.actor.user)
    except (InvalidInput, Conflict) as error:
        messages.error(request, error.message)
    return redirect("billing:draft", draft_id)


@login_required
@require_POST
def release(request: PersonRequest, draft_id: UUID) -> HttpResponse:
    """Let a draft go that was held back; a month that waits for it goes on."""
    shown = _of_platform(request, draft_id)
    held = domain.held(shown)
    if held is not None:
        background.request_retry(held, at=timezone.now(), by=request.actor.user)
    return redirect("billing:draft", draft_id)


def _of_platform(request: PersonRequest, draft_id: UUID) -> Invoice:
    access.require_platform(request.actor, Role.FINANCE)
    return access.get(queries.drafts(request.actor), pk=draft_id)
