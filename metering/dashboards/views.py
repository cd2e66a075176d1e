"""Pages of one thing: find it as somebody who may look at it, ask for its thirty days, draw them."""

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

from django.conf import settings
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_safe

from marketplace.accounts import access
from marketplace.accounts.requests import PersonRequest
from marketplace.catalog.models import App, Listing, Version
from metering import declared, queries, usage_addresses, usage_pages
from metering.dashboards import audiences, boards, drawing, tabs
from metering.dashboards.boards import DAYS, Board
from metering.dimensions import DIMENSIONS
from metering.forecasts import METHOD
from metering.models import LanguageModel
from metering.scopes import EVERYTHING, UsageScope


@login_required
@require_safe
def platform(request: PersonRequest) -> HttpResponse:
    """Show what the whole platform costs, and who spends most."""
    access.require_platform(request.actor, *tabs.PLATFORM_READERS)
    by = ("app", "team", "cost_center", "model", "organization")
    context = _context(request, filters={}, by=by, visible=EVERYTHING, current="platform", has_pages=True)
    return render(request, "metering/platform_board.html", context)


@login_required
@require_safe
def team(request: PersonRequest, name: str) -> HttpResponse:
    """Show what a team used."""
    one = audiences.find(audiences.teams(request.actor), name, field="slug")
    filters = {"team": (f"{one.organization.slug}/{one.slug}",)}
    by = ("app", "model", "subscription", "key", "environment")
    context = _context(request, filters=filters, by=by, current=f"team-{one.pk}") | {"team": one}
    if audiences.cost_centers(request.actor).filter(pk=one.cost_center_id).exists():
        context["cost_center_url"] = tabs.board_of("cost_center", audiences.name_of(one.cost_center))
    return render(request, "metering/team_board.html", context)


@login_required
@require_safe
def cost_center(request: PersonRequest, name: str) -> HttpResponse:
    """Show what is booked on a cost center."""
    one = audiences.find(audiences.cost_centers(request.actor), name, field="code")
    filters = {"cost_center": (f"{one.organization.slug}/{one.code}",)}
    context = _context(request, filters=filters, by=("team", "app", "model", "subscription", "environment"))
    return render(request, "metering/cost_center_board.html", context | {"cost_center": one})


@login_required
@require_safe
def model(request: PersonRequest, name: str) -> HttpResponse:
    """Show how a model is used, as far as the person may see it: models are known to everybody, usage is not."""
    one = access.get(LanguageModel.objects.all(), name=name)
    context = _context(request, filters={"model": (one.name,)}, by=("app", "team", "environment"))
    return render(request, "metering/model_board.html", context | {"model": one})


@login_required
@require_safe
def app(request: PersonRequest, slug: str) -> HttpResponse:
    """Show what an app is used and costs, against what its makers declared; not by whom."""
    one = access.get(queries.apps_with_history(request.actor), slug=slug)
    by = ("model", "plan", "environment", "instance_type", "feature")
    context = _context(request, filters={"app": (one.slug,)}, by=by)
    board: Board = context["board"]
    context |= {
        "app": one,
        "conflicts_url": f"{reverse('metering:conflicts')}?{urlencode({'app': one.slug})}",
        "comparison": declared.compare(board.report.totals, version=_shown_version(one), days=DAYS),
    }
    return render(request, "metering/app_usage.html", context)


def _context(
    request: PersonRequest,
    *,
    filters: usage_pages.Filters,
    by: Sequence[str],
    visible: UsageScope | None = None,
    current: str = "",
    has_pages: bool = False,
) -> dict[str, Any]:
    """Ask and draw; ``by`` are the dimensions to choose from, ``has_pages`` makes rows lead to pages of their own."""
    chosen = request.GET.get("by", by[0])
    chosen = chosen if chosen in by else by[0]
    board = boards.ask(
        by=chosen,
        filters=filters,
        visible=visible or UsageScope.of(request.actor),
        at=timezone.now(),
        currency=request.GET.get("currency", "")[:3].replace("\0", ""),
        usual_currency=settings.CURRENCY,
    )
    currency = board.report.currency or settings.CURRENCY
    if board.currencies:
        filters = {**filters, "currency": (currency,)}
    report = board.report
    explore = {"days": DAYS, **filters}
    explore_url = usage_addresses.explore(**explore, group_by=chosen)
    return {
        "board": board,
        "report": report,
        "currency": currency,
        "days": DAYS,
        "figures": drawing.figures(board, currency=currency, explore_url=explore_url),
        "month_end": drawing.month_end(board, currency=currency),
        "charts": drawing.charts(board, currency=currency),
        "rows": [
            (
                one,
                _row_url(one.row.parts[0], explore, has_pages=has_pages),
                usage_pages.events_of(one.row, report, filters),
            )
            for one in board.top
        ],
        "by_title": DIMENSIONS[chosen].title,
        "by_tabs": _tabs(request, "by", {name: DIMENSIONS[name].title for name in by}, current=chosen),
        "currency_tabs": _tabs(request, "currency", {one: one for one in board.currencies}, current=currency),
        "forecast_method": METHOD,
        "explore_url": explore_url,
        "events_url": usage_addresses.events(from_at=report.from_at, to_at=report.to_at, filters=filters),
        "sections": tabs.sections(request.actor, current=current),
    }


def _tabs(
    request: PersonRequest, parameter: str, choices: Mapping[str, str], *, current: str
) -> list[dict[str, Any]]:
    """Build the tabs that choose a parameter of the page; ``choices`` maps its values to their titles."""
    return [
        {
            "label": title,
            "url": usage_pages.address(request.GET, {parameter: value}),
            "is_current": value == current,
        }
        for value, title in choices.items()
    ]


def _row_url(part: Any, explore: Mapping[str, Any], *, has_pages: bool) -> str:
    if part.id is None:
        return ""
    page = tabs.board_of(part.dimension, part.id) if has_pages else ""
    narrowed = {**explore, part.dimension: (part.id,), "group_by": usage_pages.NEXT_GROUP[part.dimension]}
    return page or usage_addresses.explore(**narrowed)


def _shown_version(one: App) -> Version | None:
    """Return the listed version, else the newest one."""
    listing = Listing.objects.select_related("version").filter(app=one).first()
    return listing.version if listing else one.versions.order_by("-number").first()
