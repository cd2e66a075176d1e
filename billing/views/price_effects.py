"""What another price of a subscription would have made of its last month."""

from decimal import Decimal
from uuid import UUID

from django.contrib.auth.decorators import login_required
from django.db.models import Sum
from django.http import HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_safe
from django.views.decorators.vary import vary_on_headers

from billing.estimates import WorkedBill, worked_bills
from billing.house import house_terms
from billing.pricing import parse_charges
from marketplace.accounts import access
from marketplace.accounts.requests import PersonRequest
from marketplace.catalog import price_changes, queries
from marketplace.catalog.models import Plan, Subscription
from marketplace.core.money import exact
from marketplace.core.periods import Period, month_of
from metering.models import UsageRollup


@login_required
@require_safe
@vary_on_headers("HX-Request")
def price_effect(request: PersonRequest, subscription_id: UUID) -> HttpResponse:
    """Work out the last whole month at the price of today and at the announced one; a fragment, or a page."""
    subscription = access.get(queries.visible_subscriptions(request.actor), pk=subscription_id)
    change = price_changes.coming_for(subscription)
    month = month_of(timezone.now()).previous()
    context: dict[str, object] = {"subscription": subscription, "change": change, "month": month}
    if change is not None and subscription.plan is not None:
        calls, cost = _used(subscription, month)
        context["calls"] = calls
        context["now"] = _bill(subscription.plan, calls=calls, cost=cost)
        context["then"] = _bill(change.new_plan, calls=calls, cost=cost)
    is_fragment = request.htmx and not request.htmx.boosted
    return render(
        request, "billing/_price_effect.html" if is_fragment else "billing/price_effect.html", context
    )


def _used(subscription: Subscription, month: Period) -> tuple[int, Decimal]:
    """Return calls and cost of a subscription in a month."""
    sums = UsageRollup.objects.filter(
        attribution__subscription=subscription, hour__gte=month.starts_at, hour__lt=month.ends_at
    ).aggregate(calls=Sum("requests"), cost=Sum("cost"))
    return int(sums["calls"] or 0), sums["cost"] or Decimal(0)


def _bill(plan: Plan, *, calls: int, cost: Decimal) -> WorkedBill:
    with exact():
        cost_per_call = cost / calls if calls else Decimal(0)
    [bill] = worked_bills(
        parse_charges(plan.charges) if plan.charges else (),
        cost_per_call=cost_per_call,
        terms=house_terms().default_share,
        currency=plan.currency,
        calls=[calls],
    )
    return bill
