"""The detector: judges every app for one hour after another, once, and gives the graded answer.

An hour is claimed by its row in the transaction that does everything about it, so it is judged once whoever asks, and
an hour whose process died is judged again. Hours that were missed follow one after the other.
"""

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from django.db import IntegrityError, transaction
from django.db.models import Count, Max, Q

from marketplace.catalog.models import App, Environment, Subscription
from marketplace.core import audit
from marketplace.core.money import exact, format_amount
from marketplace.core.transitions import IllegalTransition
from metering import anomalies, cause_split, hourly
from metering.anomalies import FIRST_HOURS, HOUR, MOST_HOURS, Calls, Finding, Level
from metering.hourly import AppHours
from quotas import budget_burn, incident_policies, incidents
from quotas.incident_models import DetectorRun, ExpectedUsage, Incident, IncidentFinding
from quotas.incident_policies import Rules
from quotas.models import Hold, Limit

logger = logging.getLogger(__name__)

Kind, State = Incident.Kind, Incident.State
MOST_MISSED = 48
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


def run(*, at: datetime) -> int:
    """Judge every complete hour that was not judged yet, tell wider circles, end what is over; returns how many hours.

    After a stop of more than two days the older hours are left out: nobody can act on them any more.
    """
    rules = incident_policies.rules_in_force()
    judged = sum(judge_hour(hour, at=at, rules=rules) for hour in due_hours(at))
    end_quiet(at=at, rules=rules)
    incidents.escalate(at=at, after=rules.escalate_after)
    return judged


def due_hours(at: datetime) -> list[datetime]:
    """Return the complete hours since the last judged one, the oldest first; at the very first time only the last."""
    newest = at.replace(minute=0, second=0, microsecond=0) - HOUR
    last = DetectorRun.objects.aggregate(last=Max("hour"))["last"]
    if last is None:
        return [newest]
    count = min(MOST_MISSED, (newest - last) // HOUR)
    return [newest - ago * HOUR for ago in range(count - 1, -1, -1)]


def judge_hour(hour: datetime, *, at: datetime, rules: Rules | None = None) -> bool:
    """Judge one hour in one transaction; False, and nothing changed, when it was judged before.

    Two that judge it at once: the second waits for the first's row and then finds it.
    """
    rules = rules or incident_policies.rules_in_force()
    with transaction.atomic():
        _, is_mine = DetectorRun.objects.get_or_create(hour=hour, defaults={"ran_at": at})
        if not is_mine:
            return False
        ends_at = hour + HOUR
        judged, suspects = find(ends_at=ends_at, rules=rules)
        # In the order of their keys: incidents are locked as they come.
        for suspect in suspects:
            _answer(suspect, ends_at=ends_at, at=at, rules=rules)
        DetectorRun.objects.filter(pk=hour).update(judged_apps=judged, found=len(suspects))
    if suspects:
        logger.debug("%s of %s apps brought too much in %s", len(suspects), judged, f"{hour:%Y-%m-%d %H}")
    return True


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


def _answer(suspect: Suspect, *, ends_at: datetime, at: datetime, rules: Rules) -> None:
    incident = _open_incident(suspect, ends_at=ends_at, at=at, rules=rules)
    if incident is None:
        return
    finding = suspect.finding
    IncidentFinding.objects.create(
        incident=incident, hour=ends_at - HOUR, level=finding.level, actual=finding.actual,
        expected=finding.expected, highest=finding.highest,
    )  # fmt: skip
    if finding.level < Level.THROTTLE or incident.kind != Kind.COST:
        return
    try:
        _stop(incident, suspect, ends_at=ends_at, at=at, rules=rules)
    except IllegalTransition as error:
        # A person was faster; what they decided stands.
        logger.info("%s is left as it is: %s", incident, error)


def _stop(incident: Incident, suspect: Suspect, *, ends_at: datetime, at: datetime, rules: Rules) -> None:
    """One step further than it is: first slowed, and paused in a later hour, with evidence."""
    if incident.state != State.THROTTLED:
        if incident.state != State.PAUSED:
            rate = reduced_rate(suspect, rules)
            reason = words_of(suspect)
            incidents.throttle(incident, requests_per_minute=rate, by=None, at=at, reason=reason)
            _keep_evidence(incident, reason)
        return
    reason = _reason_to_pause(incident, suspect, ends_at=ends_at, rules=rules)
    if reason:
        incidents.pause(incident, by=None, at=at, reason=reason)
        _keep_evidence(incident, reason)


def _reason_to_pause(incident: Incident, suspect: Suspect, *, ends_at: datetime, rules: Rules) -> str:
    """Return the evidence without which nothing is paused, else nothing.

    It goes on at the same pace though it was slowed (usage that is reported cannot be, calls may be dearer), and either
    a budget breaks or it has done so for hours.
    """
    assert incident.stopped_at is not None and suspect.hours is not None
    repeated = rules.thresholds.repeated_hours
    hours = min(repeated, (ends_at - incident.stopped_at) // HOUR)
    if hours < 1 or not anomalies.goes_on(
        suspect.hours.cost, suspect.finding, hours=hours, thresholds=rules.thresholds
    ):
        return ""
    burnt = budget_burn.burnt_by(incident.app_id, suspect.finding, currency=incident.currency, at=ends_at)
    if burnt is not None:
        budget, projected = burnt.burn.budget, burnt.burn.projected.quantize(Decimal("0.01"))
        return (
            f"It goes on though it was slowed, and the monthly budget of {burnt.owner}, "
            f"{format_amount(budget, burnt.currency)}, does not last: {format_amount(projected, burnt.currency)} by the "
            "end of the month."
        )
    return f"It has gone on for {hours} hours though it was slowed." if hours >= repeated else ""


def _open_incident(suspect: Suspect, *, ends_at: datetime, at: datetime, rules: Rules) -> Incident | None:
    """Return the open incident of the app with what was found now, made when there is none.

    None when what is open is about more than what was found now.
    """
    incident = _locked(suspect.app_id)
    if incident is None:
        return _make(suspect, ends_at=ends_at, at=at, rules=rules)
    kinds = list(Kind)
    if kinds.index(Kind(suspect.kind)) > kinds.index(Kind(incident.kind)):
        return None
    facts = _facts(suspect, ends_at=ends_at, usual_until=_usual_until(suspect, incident, ends_at=ends_at))
    Incident.objects.filter(pk=incident.pk).update(**facts)
    for name, value in facts.items():
        setattr(incident, name, value)
    return incident


def _locked(app_id: int) -> Incident | None:
    running = Incident.objects.select_for_update(of=("self",)).filter(~Q(state=State.CLOSED), app=app_id)
    return running.select_related("app__owner_team__organization").first()


def _make(suspect: Suspect, *, ends_at: datetime, at: datetime, rules: Rules) -> Incident:
    app = App.objects.select_related("owner_team__organization").get(pk=suspect.app_id)
    text = words_of(suspect)
    incident = Incident(
        app=app, policy_id=rules.number or None, first_seen_at=ends_at, opened_at=at, evidence=[text],
        **_facts(suspect, ends_at=ends_at, usual_until=_usual_until(suspect, None, ends_at=ends_at)),
    )  # fmt: skip
    try:
        with transaction.atomic():
            incident.save(force_insert=True)
    except IntegrityError:
        # Somebody else opened one this moment; at most one of an app is open, so it is the one.
        found = _locked(suspect.app_id)
        if found is None:
            raise
        return found
    audit.record(
        "quotas.incident.opened", subject=incident, at=at, new={"state": incident.state}, reason=text
    )
    incidents.tell_of_opening(incident, text=f"{app.name}: {text}", at=at)
    return incident


def _usual_until(suspect: Suspect, incident: Incident | None, *, ends_at: datetime) -> datetime | None:
    """Return when the 24 hours ended that are the usual: those from before the app ran away."""
    if incident is not None and incident.kind == Kind.COST and incident.first_seen_at > ends_at - WEEK:
        return incident.usual_until
    ago = anomalies.usual_day(suspect.hours.cost) if suspect.hours else 0
    return ends_at - ago * DAY if ago else None


def _facts(suspect: Suspect, *, ends_at: datetime, usual_until: datetime | None) -> dict[str, object]:
    finding = suspect.finding
    facts: dict[str, object] = {
        "kind": suspect.kind,
        "currency": suspect.currency,
        "last_seen_at": ends_at,
        "actual": finding.actual,
        "expected": finding.expected,
        "highest": finding.highest,
        "is_new_app": finding.is_new,
    }
    if suspect.kind == Kind.COST:
        causes = _split(suspect, ends_at=ends_at, usual_until=usual_until)
        with exact():
            # A correction may have changed the usual day since it was found; the causes are of what it is now.
            expected = finding.actual - causes.total
        facts |= {
            "usual_until": usual_until,
            "volume": causes.volume,
            "mix": causes.mix,
            "price": causes.price,
            "expected": expected,
        }
    return facts


def _split(suspect: Suspect, *, ends_at: datetime, usual_until: datetime | None) -> cause_split.CauseSplit:
    """Split what the 24 hours brought above the usual: that is a day of its own, so both sides are real usage."""
    app_id, currency = suspect.app_id, suspect.currency
    usual = {}
    if usual_until is not None:
        usual = hourly.by_model(app_id, currency=currency, from_at=usual_until - DAY, to_at=usual_until)
    now = hourly.by_model(app_id, currency=currency, from_at=ends_at - DAY, to_at=ends_at)
    return cause_split.split(usual, now)


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


def _keep_evidence(incident: Incident, sentence: str) -> None:
    if sentence in incident.evidence:
        return
    incident.evidence = [*incident.evidence, sentence]
    Incident.objects.filter(pk=incident.pk).update(evidence=incident.evidence)


def end_quiet(*, at: datetime, rules: Rules) -> int:
    """Close what is over by itself; returns how many.

    A notice after a quiet day; what was resumed once its ceiling has ended and nothing was found under it. What is
    throttled or paused waits for a person, however long.
    """
    quiet_since = at - rules.quiet_hours * HOUR
    ceilings = Limit.objects.filter(Q(ends_at=None) | Q(ends_at__gt=at), of_incident__isnull=False)
    over = Incident.objects.filter(last_seen_at__lte=quiet_since).filter(
        Q(state__in=[State.OPEN, State.ACKNOWLEDGED])
        | Q(state=State.RESUMED) & ~Q(pk__in=ceilings.values("of_incident__incident"))
    )
    closed = 0
    for incident in over.select_related("app__owner_team__organization").order_by("pk"):
        try:
            incidents.close(
                incident, by=None, at=at, explanation=f"Nothing unusual for {rules.quiet_hours} hours."
            )
        except IllegalTransition:
            continue
        closed += 1
    return closed
