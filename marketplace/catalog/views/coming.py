"""What comes to a subscription: another price, or the end of its app."""

from uuid import UUID

from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_safe

from marketplace.accounts import access
from marketplace.accounts.requests import PersonRequest
from marketplace.catalog import deprecations, price_changes, queries
from marketplace.catalog.plan_terms import terms_of
from marketplace.catalog.price_words import price_text
from marketplace.catalog.views.hooks import find_url


@login_required
@require_safe
def coming(request: PersonRequest, subscription_id: UUID) -> HttpResponse:
    """Show old and new price, what it means for the last month, and that one may cancel before.

    A fragment inside the page of the subscription: empty when nothing comes.
    """
    subscription = access.get(queries.visible_subscriptions(request.actor), pk=subscription_id)
    change = price_changes.coming_for(subscription)
    old, new = subscription.plan, change.new_plan if change else None
    context = {
        "subscription": subscription,
        "change": change,
        "deprecation": deprecations.announced(subscription.app) if subscription.state != "canceled" else None,
        "old": old,
        "new": new,
        "old_terms": terms_of(old) if old else None,
        "new_terms": terms_of(new) if new else None,
        "old_price": price_text(terms_of(old), currency=old.currency) if old else "",
        "new_price": price_text(terms_of(new), currency=new.currency) if new else "",
        "effect_url": find_url("billing:price-effect", subscription.pk) if change else "",
        "days_left": (change.starts_at - timezone.now()).days if change and change.starts_at else None,
    }
    is_fragment = request.htmx and not request.htmx.boosted
    return render(
        request, "catalog/_coming.html" if is_fragment else "catalog/subscription_price.html", context
    )
