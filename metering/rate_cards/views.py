"""Pages of prices: what is in force and to come, proposing a price, deciding on one, what providers charged."""

from datetime import datetime
from typing import Any
from uuid import UUID

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.forms import Form
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from marketplace.accounts import access
from marketplace.accounts.access import PLATFORM_ROLES
from marketplace.accounts.requests import PersonRequest
from marketplace.core.errors import Conflict, HalfpennyError, InvalidInput
from metering import batch_rates, price_impact, proposals, provider_costs
from metering.models import InstanceRate, LanguageModel, RateProposal
from metering.periods import month, next_month
from metering.rate_cards import pages
from metering.rate_cards.forms import DecisionForm, ProposalForm

Kind = RateProposal.Kind
State = RateProposal.State
COMPARED_MONTHS = 6
SHOWN_PROPOSALS = 20


@login_required
@require_safe
def rate_cards(request: PersonRequest) -> HttpResponse:
    """List models and instance types with their prices, and what waits for a decision."""
    _require_reader(request)
    now = timezone.now()
    context = {
        "waiting": [(one, proposals.may_decide(one, actor=request.actor)) for one in pages.open_proposals()],
        "models": pages.model_rows(at=now),
        "instances": pages.instance_rows(at=now),
        "ceiling": pages.ceiling_row(at=now),
        "can_propose": _can_propose(request),
        "batch_rate": batch_rates.in_force(at=now),
    }
    return render(request, "metering/rate_cards.html", context)


@login_required
@require_safe
def rate_card(request: PersonRequest, name: str) -> HttpResponse:
    """Show every price a model ever had or will have; also of the stand-in for unknown models."""
    _require_reader(request)
    model = access.get(LanguageModel.objects.all(), name=name)
    kind, subject = (Kind.CEILING, "") if model.is_ceiling else (Kind.MODEL, model.name)
    prices = model.rate_cards.order_by("-starts_at", "-pk")
    return _history(request, kind=kind, subject=subject, title=model.title, prices=list(prices))


@login_required
@require_safe
def instance_rate(request: PersonRequest, name: str) -> HttpResponse:
    """Show every price an instance type ever had or will have."""
    _require_reader(request)
    newest = InstanceRate.objects.order_by("instance_type", "-starts_at", "-pk").distinct("instance_type")
    access.get(newest, instance_type=name)
    prices = InstanceRate.objects.filter(instance_type=name).order_by("-starts_at", "-pk")
    return _history(request, kind=Kind.INSTANCE_TYPE, subject=name, title=name, prices=list(prices))


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def propose(request: PersonRequest) -> HttpResponse:
    """Show the form for a price, filled with the one in force; a POST proposes it, or previews what it would change.

    The address says of what: ``kind``, and ``subject`` unless it is new.
    """
    access.require_platform(request.actor, *proposals.PROPOSERS)
    kind = request.GET.get("kind", Kind.MODEL)
    kind = kind if kind in Kind.values else Kind.MODEL
    subject = "" if kind == Kind.CEILING else request.GET.get("subject", "")[:80].replace("\0", "")
    asked = RateProposal(kind=kind, subject=subject)
    form = ProposalForm(
        request.POST or None,
        kind=kind,
        subject=subject,
        replaces=proposals.replaced(asked, at=timezone.now()),
        is_new_model=proposals.is_new_model(asked),
    )
    impact = None
    if "preview" in request.POST:
        impact = _preview(form) if form.is_valid() else None
    elif form.is_valid() and (made := _propose(request, form)):
        messages.success(request, "It is proposed. It holds once a second person has approved it.")
        return redirect("metering:rate-proposal", made.pk)
    context = {
        "form": form,
        "kind": kind,
        "subject": subject,
        "currency": settings.CURRENCY,
        "impact": impact,
        "is_of_tokens": kind != Kind.INSTANCE_TYPE,
    }
    return render(request, "metering/propose_rate.html", context)


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def rate_proposal(request: PersonRequest, proposal_id: UUID) -> HttpResponse:
    """Show a proposal with what it changes; a POST approves, rejects or withdraws it."""
    _require_reader(request)
    proposal = access.get(
        RateProposal.objects.select_related("proposed_by", "decided_by", "rate_card", "instance_rate"),
        pk=proposal_id,
    )
    form = DecisionForm(request.POST or None)
    if request.method == "POST" and form.is_valid() and _decided(request, proposal, form):
        return redirect("metering:rate-proposal", proposal.pk)
    now = timezone.now()
    is_open = proposal.state == State.PROPOSED
    old = proposals.replaced(proposal, at=now)
    context = {
        "proposal": proposal,
        "form": form,
        "is_open": is_open,
        "is_own": proposal.proposed_by_id == request.actor.user.pk,
        "may_decide": is_open and proposals.may_decide(proposal, actor=request.actor),
        "changes": pages.difference(old, proposal),
        "impact": _impact(proposal, at=now),
        "is_new_model": is_open and proposals.is_new_model(proposal),
        "is_of_tokens": proposal.is_of_tokens,
        "price": proposal.rate_card or proposal.instance_rate,
    }
    return render(request, "metering/rate_proposal.html", context)


@login_required
@require_POST
def end_ceiling(request: PersonRequest) -> HttpResponse:
    """Refuse usage of unknown models again."""
    ends_at = proposals.end_ceiling(by=request.actor, at=timezone.now())
    messages.success(request, f"Usage of unknown models is refused again from {ends_at:%H:%M} UTC on.")
    return redirect("metering:rate-cards")


@login_required
@require_safe
def provider_cost(request: PersonRequest) -> HttpResponse:
    """Show what providers say they charged beside what was rated, by model and month."""
    _require_reader(request)
    from_at, to_at = compared_time(timezone.now())
    found = provider_costs.deviations(from_at=from_at, to_at=to_at, currency=settings.CURRENCY)
    context = {
        "rows": found,
        "total": provider_costs.together(found),
        "currency": settings.CURRENCY,
        "months": COMPARED_MONTHS,
    }
    return render(request, "metering/provider_costs.html", context)


def compared_time(now: datetime) -> tuple[datetime, datetime]:
    """Return the stretch that is compared: whole months up to now."""
    first = next_month(month(now), by=1 - COMPARED_MONTHS)
    return now.replace(
        year=first.year, month=first.month, day=1, hour=0, minute=0, second=0, microsecond=0
    ), now


def _history(
    request: PersonRequest, *, kind: str, subject: str, title: str, prices: list[Any]
) -> HttpResponse:
    now = timezone.now()
    context = {
        "kind": kind,
        "subject": subject,
        "title": title,
        "prices": [(price, pages.standing(price, at=now)) for price in prices],
        "proposals": pages.proposals_of(kind, subject)[:SHOWN_PROPOSALS],
        "can_propose": _can_propose(request),
    }
    return render(request, "metering/rate_card.html", context)


def _propose(request: PersonRequest, form: ProposalForm) -> RateProposal | None:
    """Propose what the form says; what the domain refuses goes to its field."""
    try:
        return proposals.propose(
            form.proposal(currency=settings.CURRENCY), by=request.actor, at=timezone.now()
        )
    except HalfpennyError as error:
        _tell_refusal(form, error)
    return None


def _preview(form: ProposalForm) -> price_impact.Impact | None:
    """Say what the form's price would change; what the domain refuses goes to its field."""
    try:
        return proposals.preview(form.proposal(currency=settings.CURRENCY), at=timezone.now())
    except HalfpennyError as error:
        _tell_refusal(form, error)
    return None


def _tell_refusal(form: Form, error: HalfpennyError) -> None:
    if not isinstance(error, InvalidInput):
        form.add_error(None, error.message)
        return
    for one in error.errors:
        form.add_error(one.field if one.field in form.fields else None, one.message)


def _decided(request: PersonRequest, proposal: RateProposal, form: DecisionForm) -> bool:
    """Do what the pressed button says; what the domain refuses goes to the form."""
    note, now = form.cleaned_data["note"], timezone.now()
    decision = request.POST.get("decision")
    try:
        if decision == "approve":
            price = proposals.approve(proposal, by=request.actor, at=now, note=note)
            messages.success(request, f"The price holds from {price.starts_at:%Y-%m-%d %H:%M} UTC on.")
        elif decision == "reject":
            proposals.reject(proposal, by=request.actor, at=now, note=note)
            messages.success(request, "The proposal is rejected.")
        elif decision == "withdraw":
            proposals.withdraw(proposal, by=request.actor, at=now)
            messages.success(request, "The proposal is taken back.")
        else:
            raise InvalidInput("", "Approve, reject or take back.")
    except (InvalidInput, Conflict) as error:
        _tell_refusal(form, error)
        # What somebody else decided meanwhile is what the page shows.
        proposal.refresh_from_db()
        return False
    return True


def _impact(proposal: RateProposal, *, at: datetime) -> price_impact.Impact:
    """Give what is kept with the decision, or what there is to decide on now."""
    if proposal.projection:
        return price_impact.from_json(proposal.projection)
    return proposals.consequences(proposal, at=at)


def _require_reader(request: PersonRequest) -> None:
    access.require_platform(request.actor, *sorted(PLATFORM_ROLES))


def _can_propose(request: PersonRequest) -> bool:
    return request.actor.is_platform(*proposals.PROPOSERS)
