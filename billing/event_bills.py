"""Which line bills an event. Lines are priced from roll-ups, by contract and month: an event is in the line of its own."""

from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum

from django.db.models import Q, QuerySet

from billing.models import BillingPeriod, Invoice, InvoiceLine
from marketplace.catalog.models import Environment
from marketplace.core.periods import Period, month_of
from metering.models import Attribution

# The line that carries the cost of usage; of a plan that asks for calls alone, that of calls.
CODES = ("cost", "calls")


class BillState(StrEnum):
    """How far the billing of an event has come."""

    BILLED = "billed"
    UNBILLED = "unbilled"
    NEVER_BILLED = "never_billed"


@dataclass(frozen=True)
class EventBill:
    """By what an event is billed, and in which month. Without a ``line``, a billed one stands on an invoice that whoever
    asks may not see."""

    state: BillState
    period: date
    line: InvoiceLine | None = None


def bill_of(
    *, attribution_id: int, occurred_at: datetime, period: date, visible: QuerySet[Invoice]
) -> EventBill:
    """Find the line that an event is in, among invoices and statements that are visible (three queries).

    An event is billed once the month that bills it is closed; usage of the sandbox never is.
    """
    usage = Attribution.objects.select_related("subscription", "plan").get(pk=attribution_id)
    if usage.environment == Environment.SANDBOX:
        return EventBill(BillState.NEVER_BILLED, period)
    closed = BillingPeriod.objects.filter(name=f"{period:%Y-%m}", state=BillingPeriod.State.CLOSED)
    if not closed.exists():
        return EventBill(BillState.UNBILLED, period)
    lines = _lines(usage, service=month_of(occurred_at), period=period).filter(
        invoice__in=visible.order_by().values("pk")
    )
    found = sorted(lines.select_related("invoice", "app"), key=lambda line: CODES.index(line.code))
    return EventBill(BillState.BILLED, period, found[0] if found else None)


def _lines(usage: Attribution, *, service: Period, period: date) -> QuerySet[InvoiceLine]:
    """Lines of the event's contract, as ``billing.billable.key_of`` tells it, on the bills of its payer."""
    plan_id = usage.plan_id or (usage.subscription.plan_id if usage.subscription else None)
    is_own_use = usage.subscription_id is None or plan_id is None
    return InvoiceLine.objects.filter(
        Q(invoice__cost_center=None) | Q(invoice__cost_center=usage.cost_center_id),
        invoice__period=f"{period:%Y-%m}",
        invoice__organization=usage.organization_id,
        app=usage.app_id,
        subscription=None if is_own_use else usage.subscription_id,
        plan=None if is_own_use else plan_id,
        service_starts_at__gte=service.starts_at,
        service_starts_at__lt=service.ends_at,
        code__in=CODES,
    )
