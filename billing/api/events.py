"""GET /meter/{app_id}/{id}: what became of an event, from its receipt to the line that bills it."""

from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.authentication import SessionAuthentication
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from billing import queries
from billing.event_bills import BillState, EventBill, bill_of
from billing.models import Invoice, InvoiceLine
from marketplace.accounts.authentication import PersonalKeyAuthentication
from marketplace.accounts.requests import actor_of
from marketplace.catalog.authentication import AppKeyAuthentication, ReportingApp
from marketplace.core.money import to_text
from metering import event_stories
from metering.event_stories import EventStory
from metering.scopes import UsageScope
from metering.usage_events import files


class EventView(APIView):
    """What became of one event."""

    authentication_classes = (AppKeyAuthentication, PersonalKeyAuthentication, SessionAuthentication)

    @extend_schema(
        operation_id="meter_event",
        tags=["usage"],
        summary="What became of an event",
        description=(
            "Receipt, quantities, amounts line by line with the ids of the price rows, the hour whose roll-up it counts in, "
            "corrections, and the invoice line that bills it: `unbilled` while its month is open, `never_billed` in the "
            "sandbox, `billed` when whoever asks may not see the invoice. Open to the app's own key, to its makers (who "
            "do not see who used it), to those who used or pay it, and to the platform. What was rejected is not kept, so "
            "its id is not found. Of an event in the archive only its time and hash are told."
        ),
        parameters=[
            OpenApiParameter("app_id", str, OpenApiParameter.PATH, description="Slug of the app."),
            OpenApiParameter(
                "event_id", str, OpenApiParameter.PATH, description="Id of the event, percent-encoded."
            ),
        ],
        responses=OpenApiTypes.OBJECT,
    )
    def get(self, request: Request, app_id: str, event_id: str) -> Response:
        visible, invoices = _seen_by(request)
        story = event_stories.get(app_id, event_id, visible=visible)
        told = files.as_story(story)
        if isinstance(story, EventStory):
            bill = bill_of(
                attribution_id=story.attribution.pk,
                occurred_at=story.occurred_at,
                period=story.period,
                visible=invoices,
            )
            told |= _bill(bill)
        return Response(told)


def _seen_by(request: Request) -> tuple[UsageScope, Any]:
    """Say what usage and which invoices somebody sees; the key of an app sees no invoices, as makers do not."""
    if isinstance(request.user, ReportingApp):
        reporter = request.user
        return UsageScope.of_app(reporter.app.pk, environment=reporter.environment), Invoice.objects.none()
    actor = actor_of(request)
    return UsageScope.of(actor), queries.invoices(actor)


def _bill(bill: EventBill) -> dict[str, Any]:
    line = _line(bill.line) if bill.line else str(bill.state)
    is_billed = bill.state != BillState.NEVER_BILLED
    return {"invoice_line": line, "billed_in": files.month_name(bill.period) if is_billed else None}


def _line(line: InvoiceLine) -> dict[str, Any]:
    return {
        "id": str(line.pk),
        "number": line.invoice.number,
        "kind": line.invoice.kind,
        "period": line.invoice.period_id,
        "position": line.position,
        "code": line.code,
        "description": line.description,
        "quantity": to_text(line.quantity),
        "amount": to_text(line.amount),
        "amount_minor": line.amount_minor,
        "currency": line.invoice.currency,
        "is_correction": line.is_correction,
    }
