"""What somebody uses against their limits: spend with a forecast, limits with the day they run out, by app and by key."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_CEILING, Decimal
from typing import Any
from urllib.parse import urlencode

from django.db.models import Q
from django.urls import reverse

from marketplace.accounts.access import Actor
from marketplace.core.money import exact
from metering import forecasts
from metering.forecasts import DAYS_OF_ERRORS, Expected
from metering.queries import usage
from metering.scopes import UsageScope
from metering.usage_reports import UsageReport, UsageRow
from quotas import words
from quotas.budget_outlook import outlook
from quotas.budget_queries import COUNTED
from quotas.models import Limit
from quotas.owners import Owner
from quotas.queries import LimitStanding, standings

ZERO = Decimal(0)


@dataclass(frozen=True)
class Bar:
    """A limit as its bar shows it. ``runs_out`` says in words when it will be used up; empty where it will not."""

    one: LimitStanding
    title: str
    hint: str
    runs_out: str
    increase_url: str


@dataclass(frozen=True)
class Group:
    """The limits of one owner."""

    owner: Owner
    bars: Sequence[Bar]


@dataclass(frozen=True)
class Spend:
    """What was spent, at cost; ``month_end`` is an estimate, None with less than a week of usage."""

    today: Decimal
    month: Decimal
    month_end: Expected | None
    method: str


@dataclass(frozen=True)
class MyUsage:
    """The whole page."""

    spend: Spend
    groups: Sequence[Group]
    by_app: Sequence[UsageRow]
    by_key: Sequence[UsageRow]
    newest_hour: datetime | None


def my_usage(actor: Actor, *, at: datetime, currency: str) -> MyUsage:
    """Show what the teams of a person use against the limits of their subscriptions and of themselves (six queries)."""
    scope = UsageScope(user_id=actor.user.pk, team_ids=actor.team_ids)
    today = at.astimezone(UTC).date()
    report = _report(since=today - timedelta(days=DAYS_OF_ERRORS), at=at, scope=scope, currency=currency)
    found = [one for one in standings(_limits(actor), at=at) if one.limit.window in ("day", "month")]
    return MyUsage(
        spend=_spend(report, today=today),
        groups=_groups(found, report, at=at),
        by_app=_of_month(report, "app", today=today),
        by_key=_of_month(report, "key", "app", today=today),
        newest_hour=report.newest_hour,
    )


def increase_url(owner: Owner, limit: Limit) -> str:
    """Return where more can be asked for."""
    page = reverse("quotas:increase-ask", args=[owner.kind, owner.pk, limit.measure, limit.window])
    return f"{page}?{urlencode({'model_class': limit.model_class})}" if limit.model_class else page


def runs_out(one: LimitStanding, daily: Mapping[date, Decimal], *, at: datetime) -> str:
    """Say when a limit will be used up at the present rate: a day of the month, or a time of today."""
    if one.limit.limit_value <= one.taken:
        return "used up"
    if one.limit.window == Limit.Window.DAY:
        return _time_of_day(one, at=at)
    expected = outlook(daily, used=one.used, limit=one.limit.limit_value, today=at.astimezone(UTC).date())
    return f"runs out about {expected.runs_out:%-d %B}" if expected and expected.runs_out else ""


def _time_of_day(one: LimitStanding, *, at: datetime) -> str:
    """Go on as since midnight: 60 of 100 at noon run out at 20:00."""
    assert one.resets_at is not None  # only concurrency has none
    elapsed = at - (one.resets_at - timedelta(days=1))
    if not one.used or elapsed <= timedelta(0):
        return ""
    with exact():
        seconds = Decimal(int(elapsed.total_seconds())) * one.remaining / one.used
        left = timedelta(seconds=int(min(seconds, Decimal(10**6)).to_integral_value(ROUND_CEILING)))
    return f"runs out about {at + left:%H:%M}" if at + left < one.resets_at else ""


def _limits(actor: Actor) -> Any:
    """Limits of the person's teams and of what these subscribe to."""
    of_subscriptions = Q(subscription__team__in=actor.team_ids, subscription__state="active")
    found = Limit.objects.filter(of_subscriptions | Q(team__in=actor.team_ids))
    return found.exclude(measure=Limit.Measure.CONCURRENCY)


def _report(*, since: date, at: datetime, scope: UsageScope, currency: str) -> UsageReport:
    return usage(
        from_at=datetime(since.year, since.month, since.day, tzinfo=UTC),
        to_at=at.astimezone(UTC).replace(minute=0, second=0, microsecond=0) + timedelta(hours=1),
        granularity="day",
        group_by=["app", "subscription", "key"],
        filters={"environment": COUNTED, "currency": currency},
        visible=scope,
    )


def _spend(report: UsageReport, *, today: date) -> Spend:
    daily = {row.starts_at.date(): row.measures.cost for row in report.over_time}
    with exact():
        month = sum((cost for day, cost in daily.items() if day >= today.replace(day=1)), ZERO)
    forecast = forecasts.with_band_of_errors(daily, today=today)
    return Spend(
        daily.get(today, ZERO),
        month,
        forecast.month if forecast else None,
        forecast.method if forecast else "",
    )


def _groups(found: Iterable[LimitStanding], report: UsageReport, *, at: datetime) -> list[Group]:
    groups: dict[tuple[str, Any], tuple[Owner, list[Bar]]] = {}
    for one in found:
        key = (one.owner.kind, one.owner.pk)
        of_owner = groups.setdefault(key, (one.owner, []))[1]
        of_owner.append(
            Bar(
                one=one,
                title=words.title(one.limit),
                hint=words.hint(one, at=at),
                runs_out=runs_out(one, _daily_of(one, report), at=at),
                increase_url=increase_url(one.owner, one.limit),
            )
        )
    shown = [Group(owner, bars) for owner, bars in groups.values()]
    return sorted(
        shown, key=lambda group: (group.owner.kind != "team", -max(bar.one.percent for bar in group.bars))
    )


def _daily_of(one: LimitStanding, report: UsageReport) -> dict[date, Decimal]:
    """Return what each day came to in the measure of a limit; of a subscription its own usage, of a team all."""
    daily: dict[date, Decimal] = {}
    for row in report.rows:
        if one.owner.kind == "subscription" and row.parts[1].id != one.owner.id:
            continue
        day = row.starts_at.date()
        with exact():
            daily[day] = daily.get(day, ZERO) + Decimal(getattr(row.measures, one.limit.measure))
    return daily


def _of_month(report: UsageReport, *dimensions: str, today: date) -> Sequence[UsageRow]:
    """Sum this month by some of the dimensions, the dearest first."""
    first = today.replace(day=1)
    places = [report.group_by.index(one) for one in dimensions]
    rows = tuple(
        UsageRow(row.starts_at, tuple(row.parts[place] for place in places), row.measures)
        for row in report.rows
        if row.starts_at.date() >= first
    )
    of_month = UsageReport(
        report.from_at, report.to_at, "total", dimensions, rows, report.currency, report.newest_hour
    )
    return of_month.folded
