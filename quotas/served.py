"""What was served in the last thirty days, as capacity needs it: busy hours by model, and what each app's calls are like.

Of full days in UTC, read from the roll-ups once a day in every process; a page shows until when they count.
"""

from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from metering.queries import MixedCurrencies, usage
from metering.scopes import EVERYTHING
from metering.usage_reports import UsageReport, UsageRow
from quotas.demand import percentile
from quotas.serving import ZERO, Profile, Rate

LOOKED_BACK = timedelta(days=30)
HOURS_OF_DAY = 24
MINUTES_OF_HOUR = 60


@dataclass(frozen=True)
class Busy:
    """A model's use a minute, on average of an hour: in the hour that 95 % do not exceed, in the busiest, and by hour of day.

    ``by_hour`` is the 95th percentile of each hour of the day in UTC, over the days.
    """

    p95: Rate
    peak: Rate
    by_hour: tuple[Rate, ...]


@dataclass(frozen=True)
class Served:
    """Use up to ``until``, the last midnight. Models and apps by the names that filters take."""

    until: datetime
    models: dict[str, Busy]
    titles: dict[str, str]
    apps: dict[str, Profile]
    everything: Profile


_remembered: Served | None = None


def served(*, at: datetime) -> Served:
    """Return what was served up to the last midnight."""
    global _remembered
    until = at.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    if _remembered is None or _remembered.until != until:
        _remembered = _read(until)
    return _remembered


def forget() -> None:
    """Read anew the next time."""
    global _remembered
    _remembered = None


def _read(until: datetime) -> Served:
    asked: dict[str, Any] = {"from_at": until - LOOKED_BACK, "to_at": until, "visible": EVERYTHING}
    hourly = _reports(**asked, granularity="hour", group_by=["model"])
    by_app = _reports(**asked, group_by=["app", "model"])
    rows = [row for report in hourly for row in report.rows if row.parts[0].id]
    apps: dict[str, list[UsageRow]] = defaultdict(list)
    for report in by_app:
        for row in report.rows:
            apps[str(row.parts[0].id)].append(row)
    every_row = [row for of_app in apps.values() for row in of_app]
    return Served(
        until=until,
        models=_busy(rows, hours=LOOKED_BACK // timedelta(hours=1)),
        titles={str(row.parts[0].id): row.parts[0].label for row in rows},
        apps={app: _profile(of_app) for app, of_app in apps.items()},
        everything=_profile(every_row),
    )


def _reports(**asked: Any) -> list[UsageReport]:
    """Ask for all usage, currency by currency where it cost several."""
    try:
        return [usage(**asked)]
    except MixedCurrencies as error:
        return [usage(**asked, filters={"currency": currency}) for currency in error.currencies]


def _busy(rows: list[UsageRow], *, hours: int) -> dict[str, Busy]:
    found: dict[str, dict[datetime, Rate]] = defaultdict(dict)
    for row in rows:
        of_model = found[str(row.parts[0].id)]
        rate = Rate(
            Decimal(row.measures.requests) / MINUTES_OF_HOUR, Decimal(row.measures.tokens) / MINUTES_OF_HOUR
        )
        of_model[row.starts_at] = of_model.get(row.starts_at, Rate()) + rate
    return {model: _busy_of(of_model, hours=hours) for model, of_model in found.items()}


def _busy_of(by_time: dict[datetime, Rate], *, hours: int) -> Busy:
    """Hours without use count as nothing."""
    days = hours // HOURS_OF_DAY
    of_day: list[list[Rate]] = [[] for _ in range(HOURS_OF_DAY)]
    for starts_at, rate in by_time.items():
        of_day[starts_at.hour].append(rate)
    rates = list(by_time.values())
    return Busy(
        p95=_percentile(rates, 95, count=hours),
        peak=_percentile(rates, 100, count=hours),
        by_hour=tuple(_percentile(of_hour, 95, count=days) for of_hour in of_day),
    )


def _percentile(rates: list[Rate], percent: int, *, count: int) -> Rate:
    idle = [ZERO] * max(0, count - len(rates))
    return Rate(
        percentile([*idle, *(rate.requests for rate in rates)], percent),
        percentile([*idle, *(rate.tokens for rate in rates)], percent),
    )


def _profile(rows: list[UsageRow]) -> Profile:
    requests: dict[str, Decimal] = defaultdict(Decimal)
    tokens: dict[str, Decimal] = defaultdict(Decimal)
    for row in rows:
        if row.parts[1].id:
            requests[row.parts[1].id] += row.measures.requests
            tokens[row.parts[1].id] += row.measures.tokens
    calls = sum(row.measures.requests for row in rows)
    timed = sum(row.measures.latency_events for row in rows)
    cost = sum((row.measures.cost for row in rows), ZERO)
    return Profile(
        requests=dict(requests),
        tokens=dict(tokens),
        cost_per_request=cost / calls if calls else None,
        latency_ms=sum(row.measures.latency_ms for row in rows) // timed if timed else None,
    )
