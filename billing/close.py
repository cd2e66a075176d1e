"""Closing a month: no more usage, an invoice or statement for every payer, the platform's own cost, done.

Safe to run twice, from two processes, and again after a crash: the month stops taking usage in the first, short
transaction; every payer is invoiced in one transaction of its own; the last one closes. A second closer finds what
the first one did.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import transaction

from billing import drafting, invoicing
from billing.billable import cost_by_app
from billing.ledger import chart, journal
from billing.ledger.journal import Fact, Leg
from billing.models import BillingPeriod
from billing.terms import Terms
from marketplace.core.errors import Conflict
from marketplace.core.money import round_minor
from marketplace.core.periods import Period, parse_month
from marketplace.core.transitions import move
from metering import periods as metering_periods

State = BillingPeriod.State
Progress = Callable[[int, int], None]


class MonthNotOver(Conflict):
    """A month can be closed only when it is over: until then usage of it is still to come."""

    code = "month_not_over"

    def __init__(self, month: Period) -> None:
        self.month = month
        super().__init__(
            f"The month {month.name} is not over; it can be closed from {month.ends_at:%d %B %Y}."
        )


class OtherMonthClosing(Conflict):
    """Late usage is billed by difference to what was billed before, so months are closed one after another."""

    code = "other_month_closing"

    def __init__(self, month: Period, *, other: str) -> None:
        self.month, self.other = month, other
        super().__init__(f"The month {other} is being closed; finish that before closing {month.name}.")


@dataclass(frozen=True)
class Closed:
    """What a close came to. `is_new` is false when the month was closed before this call."""

    period: BillingPeriod
    invoices: int
    is_new: bool


def close_period(
    name: str, *, at: datetime, terms: Terms, by: Any = None, on_progress: Progress | None = None
) -> Closed:
    """Close the month called `name` ("2026-10") and invoice everybody; a second call changes nothing.

    Raises InvalidInput for something that is no month, MonthNotOver, OtherMonthClosing, and what pricing raises
    when something has no price; the month then stays in closing, and a later call goes on from there.
    """
    month = parse_month(name)
    if at < month.ends_at:
        raise MonthNotOver(month)
    period = _start(month, at=at, by=by)
    if period.state == State.CLOSED:
        return Closed(period, period.invoices.count(), is_new=False)
    bills = drafting.bills_of(month, default_share=terms.default_share)
    for done, bill in enumerate(bills, start=1):
        try:
            invoicing.issue(bill, period=period, terms=terms, at=at, by=by)
        except invoicing.PeriodNotClosing:
            break  # another closer was faster and has finished; `_finish` says so
        if on_progress:
            on_progress(done, len(bills))
    return _finish(period, month, at=at, by=by)


def _start(month: Period, *, at: datetime, by: Any) -> BillingPeriod:
    """Stop the month from taking usage; from here on the same usage is there for every reader."""
    with transaction.atomic():
        period = _locked(month)
        if period.state == State.OPEN:
            # Takes the lock that orders closings, so two of them cannot miss each other in the check below.
            metering_periods.close(month.starts_at.date(), at=at)
            _refuse_two_at_once(month)
            move(
                period,
                BillingPeriod.TRANSITIONS,
                to=State.CLOSING,
                action="billing.period.closing",
                at=at,
                by=by,
            )
        return period


def _locked(month: Period) -> BillingPeriod:
    BillingPeriod.objects.get_or_create(
        name=month.name, defaults={"starts_at": month.starts_at, "ends_at": month.ends_at}
    )
    return BillingPeriod.objects.select_for_update().get(pk=month.name)


def _refuse_two_at_once(month: Period) -> None:
    other = BillingPeriod.objects.filter(state=State.CLOSING).exclude(name=month.name).first()
    if other is not None:
        raise OtherMonthClosing(month, other=other.name)


def _finish(period: BillingPeriod, month: Period, *, at: datetime, by: Any) -> Closed:
    with transaction.atomic():
        period = _locked(month)
        is_new = period.state == State.CLOSING
        if is_new:
            journal.post(_provider_cost(period, month), at=at)
            move(
                period,
                BillingPeriod.TRANSITIONS,
                to=State.CLOSED,
                action="billing.period.closed",
                at=at,
                by=by,
                changes={"closed_at": at, "closed_by": by},
            )
        return Closed(period, period.invoices.count(), is_new=is_new)


def _provider_cost(period: BillingPeriod, month: Period) -> Fact:
    """Book what the month cost the platform by app, rounded once each, whoever pays for it or nobody does."""
    legs = []
    for app_id, currency, cost in cost_by_app(month):
        cost_minor = round_minor(cost, currency)
        legs.append(Leg(chart.MODEL_COST, cost_minor, currency, app_id=app_id))
        legs.append(Leg(chart.PROVIDER_ACCRUAL, -cost_minor, currency, app_id=app_id))
    return Fact(
        key=f"provider-cost:{period.name}",
        kind="billing.provider_cost",
        memo=f"Cost of models in {period.name}",
        legs=legs,
        period=period,
    )
