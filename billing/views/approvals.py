"""Requests for subscriptions that need approval, and the rules that say which do."""

from decimal import Decimal
from uuid import UUID

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_safe

from billing import plan_comparison, subscribing
from billing.subscribing_forms import DecideForm, RuleForm
from marketplace.accounts import access
from marketplace.accounts.models import Organization
from marketplace.accounts.requests import PersonRequest
from marketplace.catalog import listing_pages, queries, subscription_approvals
from marketplace.catalog.approval_models import SubscriptionRequest
from marketplace.catalog.listing_pages import PlanView
from marketplace.core.money import exact

PAGE_SIZE = 50
State = SubscriptionRequest.State


@login_required
@require_safe
def requests(request: PersonRequest) -> HttpResponse:
    """List requests of one's teams and those one decides, open ones first."""
    found = subscription_approvals.visible_requests(request.actor)
    show = "closed" if request.GET.get("show") == "closed" else "open"
    found = found.filter(state=State.OPEN) if show == "open" else found.exclude(state=State.OPEN)
    context = {
        "page": Paginator(found.order_by("-requested_at", "-pk"), PAGE_SIZE).get_page(
            request.GET.get("page")
        ),
        "tabs": [
            {"label": label, "url": f"?show={name}", "is_current": name == show}
            for name, label in (("open", "Open"), ("closed", "Decided"))
        ],
        "organizations": _ruled(request),
    }
    return render(request, "billing/subscription_requests.html", context)


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def subscription_request(request: PersonRequest, request_id: UUID) -> HttpResponse:
    """Show a request with cost and budget beside the decision; a POST decides it, or takes it back."""
    found = access.get(subscription_approvals.visible_requests(request.actor), pk=request_id)
    is_own = found.requested_by_id == request.actor.user.pk
    may_decide = subscription_approvals.may_decide(found, actor=request.actor)
    form = DecideForm(request.POST or None)
    if form.is_valid():
        _decide(request, found, form.cleaned_data["decision"], form.cleaned_data["reason"].strip())
        return redirect("billing:subscription-request", found.pk)
    now = timezone.now()
    version = queries.listed_version(found.app)
    cost = listing_pages.cost_per_call(version) if version else None
    with exact():
        added = (cost or Decimal(0)) * found.calls
    context = {
        "found": found,
        "is_own": is_own,
        "may_decide": may_decide and found.state == State.OPEN,
        "view": PlanView.of(found.plan),
        "money": subscribing.money_of_start(found.plan, at=now),
        "budgets": plan_comparison.budget_effects(
            team=found.team, cost_center=found.cost_center, added=added, at=now, currency=settings.CURRENCY
        ),
        "form": form,
    }
    return render(request, "billing/subscription_request.html", context)


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def rules(request: PersonRequest, slug: str) -> HttpResponse:
    """Show from which amounts on an organization wants subscriptions approved; a POST sets one."""
    organization = access.get(
        Organization.objects.filter(pk__in=[one.pk for one in _ruled(request)]), slug=slug
    )
    form = RuleForm(request.POST or None)
    if form.is_valid():
        app_slug = form.cleaned_data["app"]
        app = queries.listing_for(request.actor, slug=app_slug).app if app_slug else None
        subscription_approvals.set_rule(
            organization,
            app=app,
            from_amount=form.cleaned_data["from_amount"],
            currency=organization.currency,
            by=request.actor,
            at=timezone.now(),
        )
        messages.success(request, "The rule holds from now on.")
        return redirect("billing:subscription-rules", slug)
    found = (
        subscription_approvals.rules(organization).select_related("app", "set_by").order_by("app__name", "pk")
    )
    return render(
        request,
        "billing/subscription_rules.html",
        {"organization": organization, "rules": found, "form": form},
    )


def _decide(request: PersonRequest, found: SubscriptionRequest, decision: str, reason: str) -> None:
    now, actor = timezone.now(), request.actor
    if decision == "approve":
        subscribing.approve(found, by=actor, at=now, reason=reason)
        messages.success(request, f"Approved: {found.team} has {found.app} on {found.plan.name}.")
        return
    is_back = decision == "withdraw"
    may = (
        found.requested_by_id == actor.user.pk
        if is_back
        else subscription_approvals.may_decide(found, actor=actor)
    )
    access.require(may, message="Somebody else decides this request.")
    to = State.WITHDRAWN if is_back else State.DENIED
    subscription_approvals.close(found, to=to, by=actor.user, at=now, reason=reason)
    messages.success(request, "Taken back." if is_back else "Denied.")


def _ruled(request: PersonRequest) -> list[Organization]:
    """Organizations whose rules the person sets."""
    found = access.organizations(request.actor).order_by("name")
    return [one for one in found if subscription_approvals.may_decide_for(one.pk, actor=request.actor)]
