"""Which apps brought too much in an hour, one finding each, and what that is in words."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from django.db.models import Count, Q

from marketplace.catalog.models import Environment, Subscription
from marketplace.core.money import format_amount
from metering import anomalies, hourly
from metering.anomalies import FIRST_HOURS, HOUR, MOST_HOURS, Calls, Finding, Level
from metering.hourly import AppHours
from quotas.incident_models import ExpectedUsage, Incident
from quotas.incident_policies import Rules
from quotas.models import Hold

Kind, State = Incident.Kind, Incident.State
DAY, WEEK = timedelta(days=1), timedelta(days=7)


@dataclass(frozen=True)
class Suspect:
    """An app that brought too much in the judged hour."""

    app_id: int
    kind: str
    finding: Finding
    hours: AppHours | None = None

    @property
    def currency(self) -> str:
        return self.hours.currency if self.hours and self.kind == Kind.COST else ""


def find(*, ends_at: datetime, rules: Rules) -> tuple[int, list[Suspect]]:
    """Return how many apps were judged, and those that brought too much, one finding each, by app.

    First with the few days that tell that nothing is unusual; the suspects again with all weeks that may explain it.
    """
    first = hourly.hourly(ends_at=ends_at, hours=FIRST_HOURS)
    running = _running(ends_at)
    found = [
        Suspect(one.app_id, Kind.COST, still, one)
        for one in first
        if (before := running.get((one.app_id, one.currency)))
        and (still := anomalies.judge_still(one.cost, before, thresholds=rules.thresholds))
    ]
    known = {app_id for app_id, _ in running}
    app_ids = {one.app_id for one in first if one.app_id not in known and _judge(one, rules)}
    again = hourly.hourly(ends_at=ends_at, hours=MOST_HOURS, app_ids=app_ids) if app_ids else []
    found += [suspect for one in again if (suspect := _judge(one, rules))]
    released = _released(ends_at)
    found = [one for one in found if _is_since(one, released.get(one.app_id), ends_at=ends_at, rules=rules)]
    found += _failing(ends_at=ends_at, rules=rules)
    strongest: dict[int, Suspect] = {}
    for suspect in sorted(found, key=_strongest_first):
        strongest.setdefault(suspect.app_id, suspect)
    expected = _expected(strongest, at=ends_at)
    suspects = [one for one in strongest.values() if not _is_expected(one, expected.get(one.app_id, []))]
    return len({one.app_id for one in first}), sorted(suspects, key=lambda one: one.app_id)


def _running(at: datetime) -> dict[tuple[int, str], Finding]:
    """What was usual before each app ran away that is still looked at; after a week what lasts is the usual."""
    running = Incident.objects.filter(~Q(state=State.CLOSED), kind=Kind.COST, first_seen_at__gt=at - WEEK)
    return {
        (one.app_id, one.currency): Finding(
            Level.NOTICE, one.actual, one.expected, one.highest, is_new=one.is_new_app
        )
        for one in running
    }


def _released(at: datetime) -> dict[int, datetime]:
    """When a person let an app go on, or closed its incident, in the last 24 hours."""
    decided = Incident.objects.filter(
        Q(resumed_at__gt=at - DAY) | Q(closed_at__gt=at - DAY, closed_by__isnull=False)
    )
    found: dict[int, datetime] = {}
    for app_id, resumed_at, closed_at in decided.values_list("app", "resumed_at", "closed_at"):
        found[app_id] = max(filter(None, (found.get(app_id), resumed_at, closed_at)))
    return found


def _is_since(one: Suspect, released_at: datetime | None, *, ends_at: datetime, rules: Rules) -> bool:
    """What came before a person decided is decided: for a day it takes hours at the pace that throttles since then."""
    if released_at is None or one.hours is None or one.kind != Kind.COST:
        return released_at is None
    hours = (ends_at - released_at) // HOUR
    return anomalies.goes_on(one.hours.cost, one.finding, hours=hours, thresholds=rules.thresholds)


def _judge(one: AppHours, rules: Rules) -> Suspect | None:
    finding = anomalies.judge(one.cost, thresholds=rules.thresholds)
    if finding is not None:
        return Suspect(one.app_id, Kind.COST, finding, one)
    finding = anomalies.judge_requests(one.requests, thresholds=rules.thresholds)
    return Suspect(one.app_id, Kind.REQUESTS, finding, one) if finding else None


def _strongest_first(one: Suspect) -> tuple[int, int, Decimal]:
    return list(Kind).index(Kind(one.kind)), -one.finding.level, -one.finding.actual


def _failing(*, ends_at: datetime, rules: Rules) -> list[Suspect]:
    """Apps whose calls are admitted and bring no answer unusually often."""
    now = _calls(ends_at - HOUR, ends_at)
    before = _calls(ends_at - HOUR - DAY, ends_at - HOUR) if now else {}
    found = []
    for app_id, calls in now.items():
        earlier = before.get(app_id, Calls(0, 0))
        if anomalies.judge_errors(calls, earlier, thresholds=rules.thresholds):
            usual = Decimal(earlier.failed)
            found.append(
                Suspect(app_id, Kind.ERRORS, Finding(Level.NOTICE, Decimal(calls.failed), usual, usual))
            )
    return found


def _calls(from_at: datetime, to_at: datetime) -> dict[int, Calls]:
    """Count the calls that ended, and those of them without an answer (one query)."""
    ended = Hold.objects.filter(ended_at__gte=from_at, ended_at__lt=to_at).exclude(
        subscription_id__in=Subscription.objects.filter(environment=Environment.SANDBOX).values("pk")
    )
    rows = ended.values_list("app_id").annotate(
        total=Count("pk"), failed=Count("pk", filter=Q(state="released"))
    )
    return {app_id: Calls(failed=failed, total=total) for app_id, total, failed in rows.order_by()}


def _expected(suspects: Iterable[int], *, at: datetime) -> dict[int, list[ExpectedUsage]]:
    found: dict[int, list[ExpectedUsage]] = {}
    for one in ExpectedUsage.objects.filter(app__in=list(suspects), starts_at__lte=at, ends_at__gt=at):
        found.setdefault(one.app_id, []).append(one)
    return found


def _is_expected(one: Suspect, marked: list[ExpectedUsage]) -> bool:
    """Somebody said so, and it is not more than they said; calls that fail are never what anybody expects."""
    if one.kind == Kind.ERRORS:
        return False
    return any(mark.currency == one.currency and one.finding.actual <= mark.up_to for mark in marked)


def reduced_rate(suspect: Suspect, rules: Rules) -> int:
    """Return the requests a minute at which the app would cost what its highest day did."""
    assert suspect.hours is not None
    requests = int(suspect.hours.requests.window(0) or 0)
    return anomalies.reduced_rate(requests=requests, finding=suspect.finding, thresholds=rules.thresholds)


def words_of(suspect: Suspect) -> str:
    """Say in a sentence what was found."""
    finding = suspect.finding
    if suspect.kind == Kind.ERRORS:
        return f"{finding.actual:,.0f} calls of the last hour brought no answer; {finding.expected:,.0f} in the day before."
    if suspect.kind == Kind.REQUESTS:
        if finding.actual < finding.expected:
            return f"It fell silent: {finding.actual:,.0f} requests in 24 hours, never less than {finding.highest:,.0f} before."
        return f"{finding.actual:,.0f} requests in 24 hours, usually {finding.expected:,.0f}, never more than {finding.highest:,.0f} before."
    spent, usual, highest = (
        format_amount(amount.quantize(Decimal("0.01")), suspect.currency)
        for amount in (finding.actual, finding.expected, finding.highest)
    )
    if finding.is_new:
        return f"It cost {spent} in 24 hours and is new: nothing is known of what is usual."
    return f"It cost {spent} in 24 hours, usually {usual}, never more than {highest} in the days before."
