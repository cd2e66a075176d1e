"""The page of one's own usage against limits."""

from collections.abc import Sequence
from decimal import Decimal

from django.conf import settings
from django.contrib.auth.decorators import login_required
from django.db.models import Q
from django.http import HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_safe

from marketplace.accounts.requests import PersonRequest
from metering import usage_addresses
from metering.dashboards import tabs
from metering.usage_reports import UsageRow
from quotas.budget_models import LimitWatch
from quotas.budgeting.pages import about
from quotas.my_usage import pages


@login_required
@require_safe
def my_usage(request: PersonRequest) -> HttpResponse:
    """Show what the person's teams use against their limits, and the alerts they set."""
    now = timezone.now()
    page = pages.my_usage(request.actor, at=now, currency=settings.CURRENCY)
    watches = LimitWatch.objects.filter(Q(subscription__isnull=False) | Q(budget__isnull=False))
    context = {
        "page": page,
        "sections": tabs.sections(request.actor, current="limits"),
        "month_end": _about(page),
        "currency": settings.CURRENCY,
        "watches": watches.filter(person=request.actor.user).select_related(
            "budget__team", "budget__cost_center", "subscription__app", "subscription__team"
        ),
        "month_url": usage_addresses.explore(
            first=str(now.date().replace(day=1)), last=str(now.date()), group_by="app"
        ),
        "today_url": usage_addresses.explore(first=str(now.date()), last=str(now.date()), group_by="app"),
        "apps": _with_urls(page.by_app, group_by="key"),
        "keys": _with_urls(page.by_key, group_by="model"),
        "subscriptions": [group.owner for group in page.groups if group.owner.kind == "subscription"],
    }
    return render(request, "quotas/my_usage.html", context)


def _about(page: pages.MyUsage) -> tuple[Decimal, Decimal, Decimal] | None:
    """Cut the estimate to what can be known."""
    month = page.spend.month_end
    return (about(month.low), about(month.middle), about(month.high)) if month else None


def _with_urls(rows: Sequence[UsageRow], *, group_by: str) -> list[tuple[UsageRow, str]]:
    """Give each row the address of its usage; empty where there is no value to ask for."""
    found = []
    for row in rows:
        part = row.parts[0]
        url = (
            usage_addresses.explore(days=30, **{part.dimension: (part.id,)}, group_by=group_by)
            if part.id
            else ""
        )
        found.append((row, url))
    return found
