"""Closing a month: no more usage, an invoice or statement for every payer, the platform's own cost, done.

Safe to run twice, from two processes, and again after a crash: the month stops taking usage in the first, short
transaction; the monthly run drafts everybody's bill and finalizes each in a transaction of its own; the last one closes.
A second closer shares the work of the first one.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import transaction

from billing import monthly_run, parking
from billing.billable import cost_by_app
from billing.ledger import chart, journal
from billing.ledger.journal import Fact, Leg
from billing.models import BillingPeriod, MonthlyRun
from billing.monthly_run import Progress
from billing.parking import BillsParked
from billing.terms import Terms
from marketplace.core.errors import Conflict
from marketplace.core.money import round_minor
from marketplace.core.periods import Period, parse_month
from marketplace.core.transitions import move
from metering import periods as metering_periods

State = BillingPeriod.State


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
    name: str,
    *,
    at: datetime,
    terms: Terms,
    by: Any = None,
    on_progress: Progress | None = None,
    tries_again: bool = True,
    is_time_up: Callable[[], bool] = lambda: False,
    on_begin: Callable[[MonthlyRun], None] = lambda run: None,
) -> Closed:
    """Close the month called `name` ("2026-10") and invoice everybody; a second call changes nothing.

    `tries_again` says that what could not be made before is tried again. Raises InvalidInput for something that is no
    month, MonthNotOver, OtherMonthClosing, TurnOver when the time is up, and BillsParked when some bills could not be made
    or are held back: all others are issued then, the month stays in closing, and a later call goes on from there.
    """
    month = parse_month(name)
    if at < month.ends_at:
        raise MonthNotOver(month)
    period = _start(month, at=at, by=by)
    if tries_again and period.state == State.CLOSING:
        parking.release_errors(month.name, at=at, by=by)
    while period.state == State.CLOSING:
        run = monthly_run.begin(period, monthly_run.Purpose.CLOSE, at=at)
        on_begin(run)
        worker = monthly_run.Worker(run, month, terms, at, by, on_progress, is_time_up)
        worker.draft_all()
        worker.finalize_all()
        closed = _finish(run, month, at=at, by=by)
        if closed is not None:
            return closed
        period.refresh_from_db()
    return Closed(period, period.invoices.count(), is_new=False)


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


def _finish(run: MonthlyRun, month: Period, *, at: datetime, by: Any) -> Closed | None:
    """Close the month when every bill is issued; None when there is something left to do, or another closer was faster.

    Its lock waits for every worker that still writes.
    """
    with transaction.atomic():
        period = _locked(month)
        if period.state != State.CLOSING or monthly_run.has_work(run):
            return None
        aside = list(parking.parked(period.name))
        if aside:
            raise BillsParked(period, aside)
        journal.post(_provider_cost(period, month), at=at)
        MonthlyRun.objects.filter(period=period, ended_at=None).update(ended_at=at)
        move(
            period,
            BillingPeriod.TRANSITIONS,
            to=State.CLOSED,
            action="billing.period.closed",
            at=at,
            by=by,
            changes={"closed_at": at, "closed_by": by},
        )
        return Closed(period, period.invoices.count(), is_new=True)


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
