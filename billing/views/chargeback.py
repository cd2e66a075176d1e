"""Pages of statements, disputes, journal batches, and of how cost centers are charged."""

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.http import HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_safe

from billing.allocation import tree
from billing.allocation_forms import (
    DecisionForm,
    DisputeDecisionForm,
    DisputeForm,
    ReasonForm,
    SwitchForm,
    next_month_name,
)
from billing.chargeback import batch_queries, batches, disputes, statements, switching
from billing.chargeback.statement_documents import statement_pdf
from billing.credit_asks import read_minor
from billing.house import house_terms
from billing.models import (
    AllocationRow,
    BillingPeriod,
    CostStatement,
    DisputeFile,
    JournalBatch,
    RecoverySwitch,
    StatementDispute,
)
from billing.queries import is_finance
from billing.views.invoices import csv_file
from marketplace.accounts import access
from marketplace.accounts.access import Role
from marketplace.accounts.models import Organization
from marketplace.accounts.requests import PersonRequest
from marketplace.catalog.attachments import Upload
from marketplace.core.errors import HalfpennyError

PAGE_SIZE = 50
GET_OR_POST = ["GET", "HEAD", "POST"]
Kind = AllocationRow.Kind


@login_required
@require_safe
def listed(request: PersonRequest) -> HttpResponse:
    """List the statements of the cost centers that concern a person."""
    found = statements.statements(request.actor).filter(state=CostStatement.State.PUBLISHED)
    period = request.GET.get("period", "")[:7]
    if period:
        found = found.filter(period=period)
    page = Paginator(found.order_by("-period_id", "cost_center__code"), PAGE_SIZE).get_page(
        request.GET.get("page")
    )
    context = {"page": page, "period": period, "is_finance": is_finance(request.actor)}
    return render(request, "billing/statements.html", context)


@login_required
@require_safe
def statement(request: PersonRequest, statement_id: UUID) -> HttpResponse:
    """Show a statement: what was used, what is shared with the ratio, corrections, disputes."""
    shown = access.get(statements.statements(request.actor), pk=statement_id)
    rows = list(statements.rows(shown))
    direct = [row for row in rows if row.kind == Kind.DIRECT]
    context = {
        "statement": shown,
        "nodes": tree.grouped(direct, "app"),
        "shared": [(row, tree.ratio_text(row)) for row in rows if row.kind == Kind.SHARED],
        "corrections": [row for row in rows if row.kind == Kind.CORRECTION],
        "disputes": list(shown.disputes.select_related("app", "opened_by").order_by("-opened_at")),
        "may_dispute": disputes.may_dispute(shown, actor=request.actor, at=timezone.now()),
        "is_finance": is_finance(request.actor),
    }
    return render(request, "billing/statement.html", context)


@login_required
@require_safe
def statement_document(request: PersonRequest, statement_id: UUID) -> HttpResponse:
    """Give a statement as PDF."""
    shown = access.get(statements.statements(request.actor), pk=statement_id)
    name = f"statement-{shown.period_id}-{shown.revision}.pdf"
    headers = {"Content-Disposition": f'inline; filename="{name}"'}
    return HttpResponse(statement_pdf(shown), content_type="application/pdf", headers=headers)


@login_required
@require_http_methods(GET_OR_POST)
def dispute_open(request: PersonRequest, statement_id: UUID) -> HttpResponse:
    """Show the form of a dispute; a POST opens it."""
    shown = access.get(statements.statements(request.actor), pk=statement_id)
    app_ids = {row.app_id for row in statements.rows(shown) if row.app_id and row.kind == Kind.DIRECT}
    form = DisputeForm(request.POST or None, app_ids=app_ids, currency=shown.currency)
    if form.is_valid():
        try:
            claim = disputes.Claim(
                amount_minor=form.amount_minor(),
                reason=form.cleaned_data["reason"],
                app=form.cleaned_data["app"],
                event_ids=form.events(),
                files=tuple(Upload(one.name or "", one.read()) for one in request.FILES.getlist("attached")),
            )
            opened = disputes.open_dispute(
                shown, claim=claim, by=request.actor, at=timezone.now(), terms=house_terms()
            )
        except HalfpennyError as error:
            form.refuse(error)
        else:
            messages.success(request, "Finance is told.")
            return redirect("billing:dispute", opened.pk)
    may = disputes.may_dispute(shown, actor=request.actor, at=timezone.now())
    return render(request, "billing/dispute_open.html", {"statement": shown, "form": form, "may": may})


@login_required
@require_safe
def dispute_list(request: PersonRequest) -> HttpResponse:
    """List disputes, the most urgent first."""
    found = disputes.disputes(request.actor)
    state = request.GET.get("state", "")
    if state in StatementDispute.State.values:
        found = found.filter(state=state)
    page = Paginator(found.order_by("-state", "due_at", "pk").distinct(), PAGE_SIZE).get_page(
        request.GET.get("page")
    )
    context = {
        "page": page,
        "state": state,
        "states": StatementDispute.State.values,
        "is_finance": is_finance(request.actor),
    }
    return render(request, "billing/disputes.html", context)


@login_required
@require_http_methods(GET_OR_POST)
def dispute(request: PersonRequest, dispute_id: UUID) -> HttpResponse:
    """Show a dispute with its evidence and clock; a POST decides on it, or takes it back."""
    shown = access.get(disputes.disputes(request.actor).distinct(), pk=dispute_id)
    form = DisputeDecisionForm(
        request.POST or None,
        organization_id=shown.statement.organization_id,
        without=shown.statement.cost_center_id,
    )
    if request.method == "POST" and form.is_valid() and _decided(request, shown, form):
        return redirect("billing:dispute", shown.pk)
    is_open = shown.state == StatementDispute.State.OPEN
    context = {
        "dispute": shown,
        "form": form,
        "files": list(shown.files.defer("content")),
        "corrections": list(shown.corrections.select_related("cost_center", "period")),
        "may_decide": disputes.may_decide(shown, actor=request.actor),
        "may_withdraw": is_open and shown.opened_by_id == request.actor.user.pk,
        "is_open": is_open,
        "is_late": is_open and timezone.now() > shown.due_at,
        "is_finance": is_finance(request.actor),
    }
    return render(request, "billing/dispute.html", context)


def _decided(request: PersonRequest, shown: StatementDispute, form: DisputeDecisionForm) -> bool:
    typed, now = form.cleaned_data, timezone.now()
    try:
        if typed["decision"] == "withdraw":
            disputes.withdraw(shown, by=request.actor, at=now)
        elif typed["decision"] == "reject":
            disputes.reject(shown, note=typed["note"], by=request.actor, at=now)
        else:
            amount = typed["amount"]
            minor = (
                None
                if amount is None
                else read_minor(amount, field="amount", currency=shown.statement.currency)
            )
            disputes.accept(
                shown,
                note=typed["note"],
                by=request.actor,
                at=now,
                amount_minor=minor,
                charge_to=typed["charge_to"],
            )
    except HalfpennyError as error:
        form.refuse(error)
        return False
    return True


@login_required
@require_safe
def dispute_file(request: PersonRequest, dispute_id: UUID, file_id: int) -> HttpResponse:
    """Give a file of a dispute; always as a download, so nothing in it runs."""
    shown = access.get(disputes.disputes(request.actor).distinct(), pk=dispute_id)
    found = access.get(DisputeFile.objects.filter(dispute=shown), pk=file_id)
    headers = {"Content-Disposition": f'attachment; filename="{found.file_name}"'}
    return HttpResponse(bytes(found.content), content_type=found.content_type, headers=headers)


# --- journal batches -------------------------------------------------------------------------------------


@login_required
@require_safe
def journal_batches(request: PersonRequest) -> HttpResponse:
    """List batches, and the months that have charged statements."""
    access.require_platform(request.actor, Role.FINANCE)
    found = batch_queries.batches()
    period = request.GET.get("period", "")[:7]
    if period:
        found = found.filter(period=period)
    page = Paginator(found, PAGE_SIZE).get_page(request.GET.get("page"))
    context = {"page": page, "period": period, "waiting": batch_queries.waiting()}
    return render(request, "billing/journal_batches.html", context)


@login_required
@require_http_methods(GET_OR_POST)
def journal_batch_preview(request: PersonRequest, name: str, slug: str, currency: str) -> HttpResponse:
    """Show what a batch would hold and what keeps it; a POST posts it."""
    access.require_platform(request.actor, Role.FINANCE)
    period = access.get(BillingPeriod.objects.all(), pk=name)
    organization = access.get(Organization.objects.all(), slug=slug)
    now, problem = timezone.now(), ""
    if request.method == "POST":
        try:
            batch = batches.post(
                period, organization=organization, currency=currency, by=request.actor, at=now
            )
        except HalfpennyError as error:
            problem = error.message
        else:
            return redirect("billing:journal-batch", batch.external_id)
    context = {
        "period": period,
        "organization": organization,
        "currency": currency,
        "preview": batches.preview(period, organization=organization, currency=currency, at=now),
        "names": batch_queries.names(organization),
        "problem": problem,
    }
    return render(request, "billing/journal_batch_preview.html", context)


@login_required
@require_http_methods(GET_OR_POST)
def journal_batch(request: PersonRequest, external_id: str) -> HttpResponse:
    """Show a batch with its lines and the budgets it debited; a POST reverses it."""
    access.require_platform(request.actor, Role.FINANCE)
    batch = access.get(batch_queries.batches(), external_id=external_id)
    form = ReasonForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            reason = form.cleaned_data["reason"]
            opposite = batches.reverse(batch, reason=reason, by=request.actor, at=timezone.now())
        except HalfpennyError as error:
            form.refuse(error)
        else:
            messages.success(request, f"{batch.external_id} is reversed by {opposite.external_id}.")
            return redirect("billing:journal-batch", batch.external_id)
    context = {
        "batch": batch,
        "lines": list(batch_queries.lines(batch)),
        "debited": batch_queries.debited(batch),
        "form": form,
        "may_reverse": batch.state == JournalBatch.State.POSTED and batch.reverses_id is None,
    }
    return render(request, "billing/journal_batch.html", context)


@login_required
@require_safe
def journal_batch_csv(request: PersonRequest, external_id: str) -> HttpResponse:
    """Give a batch for an import: a row a line, its external id on each."""
    access.require_platform(request.actor, Role.FINANCE)
    batch = access.get(batch_queries.batches(), external_id=external_id)
    return csv_file(f"{batch.external_id}.csv", batch_queries.COLUMNS, batch_queries.rows(batch))


@login_required
@require_safe
def journal_batch_json(request: PersonRequest, external_id: str) -> HttpResponse:
    """Give a batch as JSON."""
    access.require_platform(request.actor, Role.FINANCE)
    batch = access.get(batch_queries.batches(), external_id=external_id)
    return JsonResponse(batch_queries.as_json(batch))


# --- how cost centers are charged ------------------------------------------------------------------------


@login_required
@require_safe
def recovery(request: PersonRequest) -> HttpResponse:
    """List cost centers with how each is charged, and the switches that wait or are decided."""
    centers = access.cost_centers(request.actor).filter(organization__billing="chargeback")
    found = switching.switches(request.actor).order_by("-proposed_at")
    context = {
        "centers": list(centers.order_by("organization__name", "code")),
        "waiting": [one for one in found if one.state == RecoverySwitch.State.PROPOSED],
        "decided": [one for one in found if one.state != RecoverySwitch.State.PROPOSED][:PAGE_SIZE],
        "is_platform": request.actor.is_platform(Role.FINANCE),
    }
    return render(request, "billing/recovery.html", context)


@login_required
@require_http_methods(GET_OR_POST)
def recovery_propose(request: PersonRequest, center_id: int) -> HttpResponse:
    """Show what should be so before a cost center is charged otherwise; a POST proposes it to its owner."""
    access.require_platform(request.actor, Role.FINANCE)
    center = access.get(access.cost_centers(request.actor), pk=center_id)
    initial = {"starts_month": next_month_name(timezone.now()), "to_mode": center.mode}
    form = SwitchForm(request.POST or None, initial=initial)
    if form.is_valid():
        try:
            switch = switching.propose(center, **form.cleaned_data, by=request.actor, at=timezone.now())
        except HalfpennyError as error:
            form.refuse(error)
        else:
            messages.success(request, f"{center.owner} is asked to sign off.")
            return redirect("billing:recovery-switch", switch.pk)
    context: dict[str, Any] = {"center": center, "form": form, "readiness": switching.readiness(center)}
    return render(request, "billing/recovery_propose.html", context)


@login_required
@require_http_methods(GET_OR_POST)
def recovery_switch(request: PersonRequest, switch_id: int) -> HttpResponse:
    """Show a switch with what was so when it was proposed; a POST signs it off, rejects it or takes it back."""
    switch = access.get(switching.switches(request.actor), pk=switch_id)
    form = DecisionForm(request.POST or None)
    if request.method == "POST" and form.is_valid() and _signed(request, switch, form):
        return redirect("billing:recovery-switch", switch.pk)
    is_waiting = switch.state == RecoverySwitch.State.PROPOSED
    person = request.actor.user.pk
    context = {
        "switch": switch,
        "form": form,
        "is_waiting": is_waiting,
        "may_decide": is_waiting and person == switch.cost_center.owner_id != switch.proposed_by_id,
        "is_own": person == switch.proposed_by_id,
    }
    return render(request, "billing/recovery_switch.html", context)


def _signed(request: PersonRequest, switch: RecoverySwitch, form: DecisionForm) -> bool:
    decision, note = form.cleaned_data["decision"], form.cleaned_data["note"]
    now = timezone.now()
    try:
        if decision == "approve":
            switching.sign_off(switch, by=request.actor, at=now, note=note)
        elif decision == "reject":
            switching.reject(switch, by=request.actor, at=now, note=note)
        else:
            switching.withdraw(switch, by=request.actor, at=now)
    except HalfpennyError as error:
        form.refuse(error)
        return False
    return True
