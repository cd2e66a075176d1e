"""Fragments of an app's page that need what metering knows, and the page to rate an app."""

from django import forms
from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_safe
from django.views.decorators.vary import vary_on_headers

from marketplace.accounts.requests import PersonRequest
from marketplace.catalog import queries, ratings
from marketplace.core.charts import Reference, Series, line_chart
from marketplace.core.errors import InvalidInput
from metering import app_ratings, app_service
from metering.app_service import Service

STARS = [(n, f"{n} star{'' if n == 1 else 's'}") for n in range(ratings.MOST_STARS, 0, -1)]


class RatingForm(forms.Form):
    stars = forms.TypedChoiceField(label="Stars", choices=STARS, coerce=int, widget=forms.RadioSelect)
    text = forms.CharField(
        label="What should others know?",
        required=False,
        max_length=ratings.LONGEST_TEXT,
        widget=forms.Textarea(attrs={"rows": 5}),
        help_text="Your name and team stand beside it.",
    )


@login_required
@require_safe
@vary_on_headers("HX-Request")
def service(request: PersonRequest, slug: str) -> HttpResponse:
    """Show what is measured of an app against what is promised; a fragment of its page, or a page of its own."""
    listing = queries.listing_for(request.actor, slug=slug)
    found = app_service.service_of(listing.version, at=timezone.now())
    context = {
        "app": listing.app,
        "version": listing.version,
        "service": found,
        "chart": _chart(found),
        "currency": settings.CURRENCY,
        "days": app_service.LATENCY_DAYS,
        "is_fragment": request.htmx and not request.htmx.boosted,
    }
    return render(
        request, "metering/_service.html" if context["is_fragment"] else "metering/service.html", context
    )


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def rate_app(request: PersonRequest, slug: str) -> HttpResponse:
    """Ask for stars and a text; a POST rates the app."""
    app = queries.listing_for(request.actor, slug=slug).app
    own = ratings.own_rating(app, person=request.user)
    form = RatingForm(request.POST or None, initial={"stars": own.stars, "text": own.text} if own else None)
    if form.is_valid():
        try:
            app_ratings.rate(app, **form.cleaned_data, by=request.actor, at=timezone.now())
        except InvalidInput as error:
            form.add_error(error.field, error.errors[0].message)
        else:
            messages.success(request, "Thank you. Your rating is written.")
            return redirect("catalog:ratings", slug)
    may_rate = app_ratings.calling_teams(app, by=request.actor).exists()
    return render(
        request, "metering/rate_app.html", {"app": app, "form": form, "own": own, "may_rate": may_rate}
    )


def _chart(found: Service) -> object:
    return line_chart(
        [f"{week.first_day:%b} {week.first_day.day}" for week in found.weeks],
        [Series("95 % of calls", [week.p95_ms for week in found.weeks])],
        references=[Reference("Promised", found.promised_ms)],
        format_value=lambda ms: f"{ms:,} ms",
        format_tick=lambda ms: f"{ms:,}",
        label_heading="Week from",
    )
