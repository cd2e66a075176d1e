"""What bills an event, for the page of the event."""

from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe
from django.views.decorators.vary import vary_on_headers

from billing import queries
from billing.event_bills import bill_of
from marketplace.accounts.requests import PersonRequest
from metering import event_stories
from metering.event_stories import EventStory
from metering.scopes import UsageScope


@login_required
@require_safe
@vary_on_headers("HX-Request")
def event_bill(request: PersonRequest, slug: str, event_id: str) -> HttpResponse:
    """Show the line that an event is billed by; a fragment, or a page of its own."""
    story = event_stories.get(slug, event_id, visible=UsageScope.of(request.actor))
    bill = None
    if isinstance(story, EventStory):
        bill = bill_of(
            attribution_id=story.attribution.pk,
            occurred_at=story.occurred_at,
            period=story.period,
            visible=queries.invoices(request.actor),
        )
    is_fragment = bool(request.htmx) and not request.htmx.boosted
    template = "billing/_event_bill.html" if is_fragment else "billing/event_bill.html"
    return render(request, template, {"story": story, "bill": bill})
