"""Months of service against what was promised: measured once, when the month is billed, and given back where missed."""

from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db import transaction
from django.db.models import Sum

from billing.models import (
    BillingPeriod,
    Invoice,
    InvoiceLine,
    MaintenanceWindow,
    ServiceCredit,
    ServiceResult,
    ServiceTerms,
)
from billing.posting_months import running_month
from billing.service_credits import judging
from billing.service_credits.judging import Hour, Window
from billing.service_credits.terms import NOTICE, steps_of
from marketplace.catalog.models import Environment
from marketplace.catalog.service_models import ServiceHour
from marketplace.core.periods import Period, parse_month
from metering.latencies import Histogram
from metering.models import LatencyHistogram

Objective = ServiceResult.Objective


def measure_due(*, at: datetime) -> int:
    """Measure every closed month of every app that promised something, where it is not yet; returns how many results.

    Safe to run twice and at once: a result is written once, with its credits, in one transaction.
    """
    closed = BillingPeriod.objects.filter(state=BillingPeriod.State.CLOSED).order_by("name")
    known = set(ServiceResult.objects.values_list("app", "month").distinct())
    promised = list(ServiceTerms.objects.select_related("app", "version").order_by("app", "-starts_at"))
    count = 0
    for name in closed.values_list("name", flat=True):
        month = parse_month(name)
        for terms in _of_month(promised, month):
            if (terms.app_id, name) not in known:
                count += measure(terms, month=month, at=at)
    return count


def _of_month(promised: Iterable[ServiceTerms], month: Period) -> list[ServiceTerms]:
    found: dict[int, ServiceTerms] = {}
    for terms in promised:
        if terms.starts_at <= month.starts_at:
            found.setdefault(terms.app_id, terms)
    return list(found.values())


def measure(terms: ServiceTerms, *, month: Period, at: datetime) -> int:
    """Write how an app kept its terms in a month, and what subscriptions get back. Locks the terms."""
    with transaction.atomic():
        terms = ServiceTerms.objects.select_for_update(of=("self",)).get(pk=terms.pk)
        if ServiceResult.objects.filter(app=terms.app_id, month=month.name).exists():
            return 0
        results = [
            _result(terms, month, objective, promised, measured, explanation, at=at)
            for objective, promised, measured, explanation in _measured(terms, month)
        ]
        _credit([one for one in results if one.credit_percent], terms, month, at=at)
    return len(results)


def _measured(
    terms: ServiceTerms, month: Period
) -> Iterable[tuple[str, Decimal, Decimal | None, dict[str, Any]]]:
    if terms.availability_percent is not None:
        found = judging.available(_hours(terms.app_id, month), maintenance=_maintenance(terms.app_id, month))
        yield Objective.AVAILABILITY, terms.availability_percent, found.percent, found.as_json()
    if terms.latency_p95_ms is not None:
        histogram = _latencies(terms.app_id, month)
        p95 = histogram.p95
        says = (
            "No calls were timed."
            if p95 is None
            else f"95 % of {histogram.events:,} calls took {p95:,} ms at most."
        )
        measured = None if p95 is None else Decimal(p95)
        yield Objective.LATENCY, Decimal(terms.latency_p95_ms), measured, {"says": says}


def _hours(app_id: int, month: Period) -> list[Hour]:
    rows = ServiceHour.objects.filter(app=app_id, hour__gte=month.starts_at, hour__lt=month.ends_at)
    return [Hour(*row) for row in rows.order_by("hour").values_list("hour", "calls", "failed")]


def _maintenance(app_id: int, month: Period) -> list[Window]:
    rows = MaintenanceWindow.objects.filter(
        app=app_id, starts_at__lt=month.ends_at, ends_at__gt=month.starts_at
    )
    return [Window(one.starts_at, one.ends_at) for one in rows if one.announced_at <= one.starts_at - NOTICE]


def _latencies(app_id: int, month: Period) -> Histogram:
    rows = LatencyHistogram.objects.filter(
        attribution__app=app_id,
        attribution__environment=Environment.PRODUCTION,
        day__gte=month.starts_at.date(),
        day__lt=month.ends_at.date(),
    )
    buckets = rows.values_list("bucket").annotate(n=Sum("events")).order_by()
    return Histogram({bucket: int(events) for bucket, events in buckets})


def _result(
    terms: ServiceTerms,
    month: Period,
    objective: str,
    promised: Decimal,
    measured: Decimal | None,
    explanation: dict[str, Any],
    *,
    at: datetime,
) -> ServiceResult:
    lower = objective == Objective.AVAILABILITY
    is_missed = measured is not None and (measured < promised if lower else measured > promised)
    steps = steps_of(terms.credits.get(objective, ()))
    percent = (
        judging.credit_percent(steps, measured=measured, is_lower_worse=lower)
        if measured is not None and is_missed
        else Decimal(0)
    )
    return ServiceResult.objects.create(
        app_id=terms.app_id,
        terms=terms,
        month=month.name,
        objective=objective,
        promised=promised,
        measured=measured,
        is_missed=is_missed,
        credit_percent=percent,
        explanation=explanation,
        measured_at=at,
    )


def _credit(results: list[ServiceResult], terms: ServiceTerms, month: Period, *, at: datetime) -> None:
    """Give each subscription its part of the month's fees back, all objectives together at most the cap."""
    if not results:
        return
    billed_in = running_month(at).name
    for row in _fees(terms.app_id, month):
        left, given = terms.cap_percent, 0
        for result in results:
            percent = min(left, result.credit_percent)
            left -= percent
            back = judging.give_back(
                fees_minor=int(row["fees"]),
                fees_creator_minor=int(row["creator"]),
                percent=percent,
                borne_by=terms.borne_by,
                currency=row["invoice__currency"],
                creator_given_minor=given,
            )
            given += back.creator_minor
            if back.amount_minor:
                _write(result, row, back, billed_in=billed_in, at=at)


def _write(
    result: ServiceResult, row: dict[str, Any], back: judging.Back, *, billed_in: str, at: datetime
) -> None:
    ServiceCredit.objects.create(
        subscription_id=row["subscription"],
        result=result,
        month=result.month,
        objective=result.objective,
        currency=row["invoice__currency"],
        plan_id=row["plan"],
        fees_minor=int(row["fees"]),
        amount_minor=back.amount_minor,
        creator_minor=back.creator_minor,
        billed_in=billed_in,
        made_at=at,
    )


def _fees(app_id: int, month: Period) -> list[dict[str, Any]]:
    """Sum what each subscription was billed for a month: the price of its use, with fees."""
    lines = InvoiceLine.objects.filter(
        app=app_id,
        subscription__isnull=False,
        kind__in=InvoiceLine.PRICED,
        service_starts_at__gte=month.starts_at,
        service_starts_at__lt=month.ends_at,
    ).exclude(invoice__state=Invoice.State.DRAFT)
    sums: Any = lines.values("subscription", "plan", "invoice__currency").annotate(
        fees=Sum("amount_minor"), creator=Sum("creator_minor")
    )
    return [row for row in sums.order_by("subscription", "plan", "invoice__currency") if row["fees"] > 0]
