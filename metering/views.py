"""Pages of usage: the explorer, what an app is used, what a subscription used."""

from datetime import timedelta
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.conf import settings
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_safe
from django.views.decorators.vary import vary_on_headers

from marketplace.accounts import access
from marketplace.accounts.access import Actor
from marketplace.accounts.requests import PersonRequest
from marketplace.catalog.queries import visible_subscriptions
from marketplace.core.errors import InvalidInput
from metering import queries, usage_addresses, usage_pages
from metering.comparing import compare_totals
from metering.dashboards import tabs
from metering.dimensions import DIMENSIONS
from metering.forms import CHOSEN, PRESETS, UsageForm
from metering.kept.saved_views import visible_views
from metering.scopes import EVERYTHING, UsageScope
from metering.usage_options import filter_options
from metering.usage_reports import UsageReport, bucket_start

SUMMARY_DAYS = 7
PAGE_DAYS = 30
MOST_SAVED_VIEWS = 12


@login_required
@require_safe
@vary_on_headers("HX-Request")
def usage(request: PersonRequest) -> HttpResponse:
    """Explore usage by time and dimension; htmx gets the report with its controls, everybody else the page."""
    visible = UsageScope.of(request.actor)
    form = UsageForm(request.GET, now=timezone.now(), options=filter_options(visible))
    context: dict[str, Any] = {"form": form, "sections": tabs.sections(request.actor, current="explore")}
    report = _asked_report(form, visible)
    if report is not None:
        context |= _report_context(report, form, request.GET, actor=request.actor)
        context["saved_views"] = list(visible_views(request.actor)[:MOST_SAVED_VIEWS])
    template = "metering/_usage.html" if _is_fragment(request) else "metering/usage.html"
    return render(request, template, context)


@login_required
@require_safe
@vary_on_headers("HX-Request")
def app_summary(request: PersonRequest, slug: str) -> HttpResponse:
    """Show calls and spend of an app over seven days; a fragment, or the app's page for a browser that asks."""
    app = access.get(queries.apps_with_history(request.actor), slug=slug)
    if not _is_fragment(request):
        return redirect("metering:app-usage", slug)
    report = _recent(SUMMARY_DAYS, filters={"app": (app.slug,)}, visible=UsageScope.of(request.actor))
    context = {
        "app": app,
        "report": report,
        "currency": report.currency or settings.CURRENCY,
        "days": SUMMARY_DAYS,
        "calls": [row.measures.requests for row in report.over_time],
    }
    return render(request, "metering/_app_summary.html", context)


@login_required
@require_safe
@vary_on_headers("HX-Request")
def subscription_usage(request: PersonRequest, subscription_id: UUID) -> HttpResponse:
    """Show thirty days of one subscription; a fragment, or a page of its own."""
    subscription = access.get(visible_subscriptions(request.actor), pk=subscription_id)
    filters = {"subscription": (str(subscription.pk),)}
    report = _recent(PAGE_DAYS, filters=filters, visible=EVERYTHING)
    currency = report.currency or settings.CURRENCY
    asked = {"days": PAGE_DAYS, "subscription": str(subscription.pk), "group_by": "key"}
    context = {
        "subscription": subscription,
        "report": report,
        "currency": currency,
        "days": PAGE_DAYS,
        "chart": usage_pages.chart_of(report, measure="requests", currency=currency),
        "events_url": usage_addresses.events(from_at=report.from_at, to_at=report.to_at, filters=filters),
        "explore_url": f"{reverse('metering:usage')}?{urlencode(asked)}",
    }
    fragment = "metering/_subscription_usage.html"
    return render(request, fragment if _is_fragment(request) else "metering/subscription_usage.html", context)


def _asked_report(form: UsageForm, visible: UsageScope) -> UsageReport | None:
    """Return the report the form asks for; None when something about it is wrong, which the form then says."""
    if not form.is_valid():
        return None
    try:
        return queries.usage(**form.asked(), visible=visible, latencies="groups")
    except InvalidInput as error:
        for one in error.errors:
            form.add_error(one.field if one.field in form.fields else None, one.message)
    return None


def _recent(days: int, *, filters: usage_pages.Filters, visible: UsageScope) -> UsageReport:
    """Report the last days, today among them. The object was found by access, so nothing of it is hidden."""
    end = bucket_start(timezone.now(), "day") + timedelta(days=1)
    return queries.usage(
        from_at=end - timedelta(days=days),
        to_at=end,
        granularity="day",
        filters=filters,
        visible=visible,
    )


def _report_context(
    report: UsageReport, form: UsageForm, query: QueryDict, *, actor: Actor
) -> dict[str, Any]:
    currency = report.currency or settings.CURRENCY
    measure = form.cleaned_data["measure"]
    group = form.cleaned_data["group_by"]
    return {
        "report": report,
        "currency": currency,
        "chart": usage_pages.chart_of(report, measure=measure, currency=currency),
        "rows": usage_pages.table_of(report, query=query, filters=form.filters),
        "events_url": usage_addresses.events(
            from_at=report.from_at, to_at=report.to_at, filters=form.filters
        ),
        "measure_title": usage_pages.TITLES[measure],
        "group_title": DIMENSIONS[group].title if group else usage_pages.HEADINGS[report.granularity],
        "tabs": _tabs(form, query),
        "chips": _chips(form, query),
        "has_choices": any(name in form.filters for name in CHOSEN),
        "csv_url": usage_addresses.file(form.asked_for_file(), kind="csv"),
        "xlsx_url": usage_addresses.file(form.asked_for_file(), kind="xlsx"),
        "keep_url": f"{reverse('metering:kept')}?{usage_addresses.normalized(query)}",
        "board_url": tabs.board_of_filters(form.filters, actor=actor),
        "compared": compare_totals(report) if report.before else None,
        "first_day": form.first_day,
        "last_day": form.last_day,
    }


def _tabs(form: UsageForm, query: QueryDict) -> list[dict[str, Any]]:
    no_days = {"first": "", "last": "", "from": "", "to": ""}
    tabs = [
        {
            "label": f"{days} days",
            "url": usage_pages.address(query, {**no_days, "days": str(days)}),
            "is_current": form.preset == days,
        }
        for days in PRESETS
    ]
    custom = {**no_days, "days": "", "first": str(form.first_day), "last": str(form.last_day)}
    address = usage_pages.address(query, custom)
    return [*tabs, {"label": "Choose days", "url": address, "is_current": not form.preset}]


def _chips(form: UsageForm, query: QueryDict) -> list[tuple[str, str]]:
    """List the filters that no list is shown for, each with the address without it."""
    return [
        (f"{form.fields[name].label}: {', '.join(values)}", usage_pages.address(query, {name: ""}))
        for name, values in form.filters.items()
        if name not in CHOSEN
    ]


def _is_fragment(request: PersonRequest) -> bool:
    return bool(request.htmx) and not request.htmx.boosted
