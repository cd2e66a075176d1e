"""What the page of a decision shows beside the evidence: how the limit was used, what happened, what comes next."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal, InvalidOperation

from marketplace.core.charts import Chart, Reference, Series, line_chart
from marketplace.core.templatetags.money import compact, number
from quotas.increase_decisions import Offer
from quotas.increase_models import IncreaseRequest
from quotas.projections import Day, Projection
from quotas.words import MEASURES

# What is granted lasts this long unless the request names an end, or somebody chooses another.
USUAL_DURATION = timedelta(days=90)


@dataclass(frozen=True)
class Row:
    """A step of a request, in words."""

    title: str
    by: str
    at: datetime
    text: str
    tone: str


def usage_chart(projection: Projection, *, granted: Decimal) -> Chart | None:
    """Draw the last thirty full days against the limits; the lines are drawn where a window is a day."""
    days: Sequence[Day] = projection.days
    if not days:
        return None
    is_daily = projection.window == "day" and projection.measure != "concurrency"
    references = [
        *(
            [Reference("Limit now", projection.present)]
            if is_daily and projection.present is not None
            else []
        ),
        *([Reference("Granted", granted)] if is_daily else []),
    ]
    name = MEASURES["requests" if projection.measure == "concurrency" else projection.measure]
    return line_chart(
        [f"{day.date:%-d %b}" for day in days],
        [Series(f"{name} a day", [day.amount for day in days])],
        references=references,
        format_value=number,
        format_tick=compact,
        label_heading="Day",
    )


def value_thought_of(request: IncreaseRequest, text: str) -> Decimal:
    """Return the value in the address for which consequences are shown; what was asked for, or given before, otherwise."""
    before = [one for one in request.decisions.all() if one.verdict == "approved" and one.granted is not None]
    most = before[-1].granted if before else request.requested
    try:
        value = Decimal(text)
    except InvalidOperation:
        return most or request.requested
    is_between = value.is_finite() and request.current_value < value <= (most or request.requested)
    return value if is_between else most or request.requested


def usual_end(request: IncreaseRequest, *, at: datetime) -> datetime | None:
    """Return the end that is proposed: what the level before gave, else that of the request, else ninety days from its start."""
    before = [one for one in request.decisions.all() if one.verdict == "approved"]
    if before:
        return before[-1].ends_at
    return request.ends_at or max(request.starts_at or at, at) + USUAL_DURATION


def usual_last_day(request: IncreaseRequest, *, at: datetime) -> date | None:
    """Return the last day that is proposed; None where the level before gave it without an end."""
    ends_at = usual_end(request, at=at)
    return (ends_at - timedelta(microseconds=1)).date() if ends_at else None


def offer_of(
    granted: Decimal, *, starts_at: datetime | None, ends_at: datetime | None, is_endless: bool
) -> Offer:
    """Return what a form offers."""
    return Offer(granted=granted, starts_at=starts_at, ends_at=ends_at, is_endless=is_endless)


VERDICT_WORDS = {
    "approved": ("Approved", "ok"),
    "denied": ("Denied", "danger"),
    "asked": ("Asked a question", "warn"),
}
LEVEL_WORDS = {"policy": "by the policy", "cost_review": "cost review", "capacity_review": "capacity review"}


def history(request: IncreaseRequest) -> list[Row]:
    """Tell what was decided so far, the oldest first; decisions must be loaded with their people."""
    rows = []
    for one in request.decisions.all():
        words, tone = VERDICT_WORDS[one.verdict]
        by = str(one.decider) if one.decider else "the policy"
        if one.acting_for:
            by = f"{by}, acting for {one.acting_for}"
        rows.append(Row(f"{words}: {LEVEL_WORDS[one.level]}", by, one.decided_at, one.reason, tone))
    return rows
