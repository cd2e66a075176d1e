"""Stopping calls of customers that do not pay, and letting them go on: one question, asked whenever something changed.

A customer's calls are stopped while an invoice of theirs has been reminded to the end and is not paid, unless finance
lets them go on for a while. Who asks holds the lock of the invoice that changed, then takes that of the stop; so of two
payments at once the second one sees the first, and lifts it.
"""

from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import Exists, OuterRef, Q

from billing.dues import with_due
from billing.dunning_models import DunningNotice, DunningPause
from billing.models import Invoice
from marketplace.accounts.models import Organization, User
from marketplace.core.money import format_money
from quotas import payment_stops


def review(organization_id: int, *, at: datetime, by: User | None = None) -> None:
    """Stop the calls of a customer, or let them go on, as things stand. Safe to run twice."""
    with transaction.atomic():
        held = payment_stops.lock(organization_id)
        causes = causes_of(organization_id, at=at)
        if causes and held is None:
            organization = causes[0].organization
            payment_stops.stop(organization, text=text_for(causes), at=at, by=by)
        elif held is not None and not causes:
            organization = Organization.objects.get(pk=organization_id)
            payment_stops.lift(organization, why="Nothing that stops calls is due any more.", at=at, by=by)


def causes_of(organization_id: int, *, at: datetime) -> list[Any]:
    """Find the invoices for which a customer's calls are to be stopped, the oldest first, with what is due."""
    reminded = DunningNotice.objects.filter(invoice=OuterRef("pk"), stops_calls=True)
    lifted = DunningPause.objects.filter(
        Q(invoice=OuterRef("pk")) | Q(invoice=None),
        organization=OuterRef("organization"),
        lifts_stop=True,
        ended_at=None,
        starts_at__lte=at,
        ends_at__gt=at,
    )
    found = with_due(Invoice.objects.select_related("organization")).filter(
        Exists(reminded),
        ~Exists(lifted),
        Q(state=Invoice.State.OVERDUE, due_minor__gt=0)
        | Q(state=Invoice.State.WRITTEN_OFF, written_off_minor__gt=0),
        organization=organization_id,
    )
    return [one for one in found.order_by("due_at", "pk") if lost_or_due(one) > 0]


def lost_or_due(invoice: Any) -> int:
    """Say what a customer has to pay of an invoice (from ``with_due``) for calls to go on."""
    return int(invoice.due_minor + invoice.written_off_minor - invoice.recovered_minor)


def text_for(causes: list[Any]) -> str:
    """Write what callers read: why, and what to do."""
    first = causes[0]
    amount = format_money(lost_or_due(first), first.currency)
    more = f" and {len(causes) - 1} more" if len(causes) > 1 else ""
    return (
        f"Calls of {first.organization.name} are stopped: invoice {first.number}{more} is overdue, {amount} "
        f"since {first.due_at:%d %B %Y}. Ask your finance to pay it under /bills/{first.number}/; calls go on as soon "
        "as it is paid."
    )
