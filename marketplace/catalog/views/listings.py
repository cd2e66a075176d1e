"""The catalogue: found, looked at, subscribed to."""

from urllib.parse import urlencode

from django.conf import settings
from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_safe
from django.views.decorators.vary import vary_on_headers

from marketplace.accounts import access
from marketplace.accounts.access import Role
from marketplace.accounts.models import Team
from marketplace.accounts.requests import PersonRequest
from marketplace.catalog import comparing, listing_pages, queries, searching, service_levels
from marketplace.catalog.facets import FACETS
from marketplace.catalog.forms.filters import address_of, filters_of, query_of
from marketplace.catalog.forms.subscriptions import SubscribeForm
from marketplace.catalog.listing_pages import plan_views
from marketplace.catalog.models import Listing, Plan
from marketplace.catalog.views.cards import cards_of, drops_of
from marketplace.catalog.views.guests import actor_or_guest, guests_where_allowed
from marketplace.catalog.views.hooks import find_url

PAGE_SIZE = 24
USUAL_CALLS = 1_000


@guests_where_allowed
@require_safe
@vary_on_headers("HX-Request")
def listings(request: PersonRequest) -> HttpResponse:
    """Search the catalogue; htmx gets what was found, everybody else the whole page. Same address, same results."""
    filters, actor = filters_of(request.GET), actor_or_guest(request)
    found = searching.search(filters, actor=actor, with_facets=True)
    pages: Paginator[Listing] = Paginator(found.listings, PAGE_SIZE)  # type: ignore[arg-type]  # read by slices only
    page = pages.get_page(request.GET.get("page"))
    context = {
        "filters": filters,
        "found": found,
        "page": page,
        "cards": cards_of(page.object_list, filters),
        "facets": [(FACETS[name], values) for name, values in found.facets.items()],
        "drops": drops_of(filters, path=request.path, actor=actor) if not page.paginator.count else [],
        "sorts": searching.SORTS.items(),
        "query": query_of(filters),
        "is_guest": actor is None,
        "most_compared": comparing.MOST_COMPARED,
    }
    if not request.htmx:
        return render(request, "catalog/listings.html", context)
    fragment = render(request, "catalog/_found.html", context)
    # A form sends its empty fields too; the address to keep and share is the short one.
    fragment["HX-Push-Url"] = request.path + address_of(filters)
    return fragment


@guests_where_allowed
@require_safe
def listing(request: PersonRequest, slug: str) -> HttpResponse:
    """Show one app: what it does, a box to try it, its plans, how to call it."""
    actor = actor_or_guest(request)
    found = queries.listing_for(actor, slug=slug)
    view = listing_pages.listing_view(found, actor=actor)
    incidents = service_levels.incidents_of(found.app, at=timezone.now())
    context = {
        "view": view,
        "found": found,
        "base_url": settings.PUBLIC_URL.rstrip("/"),
        "shell_body": listing_pages.shell_body(found.version),
        "sandbox_credit": settings.SANDBOX_CREDIT,
        "currency": settings.CURRENCY,
        "usual_calls": USUAL_CALLS,
        "incidents": incidents,
        "status": service_levels.status_of(incidents),
        "is_guest": actor is None,
        "service_url": "" if actor is None else find_url("metering:service", slug),
        "starts_url": "" if actor is None else find_url("gateway:cold-starts", slug),
        "rate_url": "" if actor is None else find_url("metering:rate-app", slug),
    }
    return render(request, "catalog/listing.html", context)


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def subscribe(request: PersonRequest, slug: str) -> HttpResponse:
    """Compare plans, choose team and cost center; what it costs is agreed to on the next page, which billing makes."""
    found = queries.listing_for(request.actor, slug=slug)
    plans = queries.offered_plans(found.app)
    compared = plan_views(plans)
    teams = access.own_teams(request.actor, role=Role.CONSUMER).order_by("name")
    form = SubscribeForm(
        request.POST or None,
        plans=plans,
        teams=teams,
        cost_centers=access.cost_centers(request.actor).order_by("code"),
        initial=_first_choice(request, plans=[view.plan for view in compared], teams=list(teams)),
    )
    if form.is_valid():
        chosen = {name: value for name in form.fields if (value := form[name].value())}
        return redirect(f"{find_url('billing:subscribe', slug)}?{urlencode(chosen)}")
    context = {
        "listing": found,
        "form": form,
        "plans": compared,
        "teams": teams,
        "plans_url": find_url("billing:plans", slug),
    }
    return render(request, "catalog/subscribe.html", context)


def _first_choice(request: PersonRequest, *, plans: list[Plan], teams: list[Team]) -> dict[str, object]:
    """Choose for the person what they most likely want: the plan they clicked, their team and its cost center."""
    wanted = request.GET.get("plan", "")
    codes = [plan.code for plan in plans]
    named = [team for team in teams if str(team.pk) == request.GET.get("team")]
    team = next(iter(named or teams), None)
    return {
        "plan": wanted if wanted in codes else next(iter(codes), None),
        "team": team,
        "cost_center": request.GET.get("cost_center") or (team.cost_center if team else None),
        "environment": request.GET.get("environment"),
    }
