"""Pages of ratings: what people say of an app, reporting it, and what operators decide."""

from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_POST, require_safe
from django.views.decorators.vary import vary_on_headers

from marketplace.accounts import access
from marketplace.accounts.access import Role
from marketplace.accounts.requests import PersonRequest
from marketplace.catalog import queries, ratings
from marketplace.catalog.forms.discovery import ReportForm
from marketplace.catalog.rating_models import Rating
from marketplace.catalog.views.guests import actor_or_guest, guests_where_allowed
from marketplace.catalog.views.hooks import find_url

PAGE_SIZE, SHOWN_ON_LISTING = 20, 3


@guests_where_allowed
@require_safe
@vary_on_headers("HX-Request")
def app_ratings(request: PersonRequest, slug: str) -> HttpResponse:
    """Show what people say of an app; for htmx the newest few, as the listing shows them."""
    actor = actor_or_guest(request)
    listing = queries.listing_for(actor, slug=slug)
    is_fragment = request.htmx and not request.htmx.boosted
    page = Paginator(ratings.shown_ratings(listing.app), SHOWN_ON_LISTING if is_fragment else PAGE_SIZE)
    context = {
        "app": listing.app,
        "standing": ratings.standing(listing.app),
        "page": page.get_page(request.GET.get("page")),
        "own": ratings.own_rating(listing.app, person=request.user) if actor else None,
        "rate_url": find_url("metering:rate-app", slug) if actor else "",
        "is_guest": actor is None,
        "is_fragment": is_fragment,
    }
    return render(request, "catalog/_ratings.html" if is_fragment else "catalog/ratings.html", context)


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def report(request: PersonRequest, slug: str, rating_id: UUID) -> HttpResponse:
    """Ask what is wrong with a rating; a POST tells operators."""
    rating = _shown(request, slug, rating_id)
    form = ReportForm(request.POST or None)
    if form.is_valid():
        ratings.report(rating, reason=form.cleaned_data["reason"], by=request.user, at=timezone.now())
        messages.success(request, "Operators look at it.")
        return redirect("catalog:ratings", slug)
    return render(request, "catalog/report_rating.html", {"rating": rating, "form": form})


@login_required
@require_POST
def withdraw(request: PersonRequest, slug: str, rating_id: UUID) -> HttpResponse:
    """Withdraw one's own rating."""
    rating = access.get(Rating.objects.filter(person=request.user, app__slug=slug), pk=rating_id)
    ratings.withdraw(rating, by=request.user, at=timezone.now())
    messages.success(request, "Your rating is withdrawn.")
    return redirect("catalog:ratings", slug)


@login_required
@require_safe
def reported(request: PersonRequest) -> HttpResponse:
    """List ratings that were reported or are hidden."""
    page = Paginator(ratings.to_decide(request.actor), PAGE_SIZE).get_page(request.GET.get("page"))
    return render(request, "catalog/reported_ratings.html", {"page": page})


@login_required
@require_POST
def hide(request: PersonRequest, rating_id: UUID) -> HttpResponse:
    """Hide a rating, with the reason that its author reads."""
    rating = _any(request, rating_id)
    ratings.hide(rating, reason=request.POST.get("reason", ""), by=request.actor, at=timezone.now())
    messages.success(request, "Hidden. Its author is told why.")
    return redirect("catalog:reported-ratings")


@login_required
@require_POST
def show(request: PersonRequest, rating_id: UUID) -> HttpResponse:
    """Let a rating stand: what was reported is answered."""
    ratings.show(_any(request, rating_id), by=request.actor, at=timezone.now())
    messages.success(request, "The rating stands.")
    return redirect("catalog:reported-ratings")


def _shown(request: PersonRequest, slug: str, rating_id: UUID) -> Rating:
    listing = queries.listing_for(request.actor, slug=slug)
    return access.get(ratings.shown_ratings(listing.app), pk=rating_id)


def _any(request: PersonRequest, rating_id: UUID) -> Rating:
    access.require_platform(request.actor, Role.OPERATOR)
    return access.get(Rating.objects.select_related("app", "person"), pk=rating_id)
