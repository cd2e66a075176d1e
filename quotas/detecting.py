"""The detector: judges every app for one hour after another, once, and gives the graded answer.

An hour is claimed by its row in the transaction that does everything about it, so it is judged once whoever asks, and
an hour whose process died is judged again. Hours that were missed follow one after the other.
"""

import logging
from datetime import datetime, timedelta
from decimal import Decimal

from django.db import IntegrityError, transaction
from django.db.models import Max, Q

from marketplace.catalog.models import App
from marketplace.core import audit
from marketplace.core.money import exact, format_amount
from marketplace.core.transitions import IllegalTransition
from metering import anomalies, cause_split, hourly
from metering.anomalies import HOUR, Level
from quotas import budget_burn, incident_policies, incidents, suspects
from quotas.incident_models import DetectorRun, Incident, IncidentFinding
from quotas.incident_policies import Rules
from quotas.models import Limit
from quotas.suspects import Suspect

logger = logging.getLogger(__name__)

Kind, State = Incident.Kind, Incident.State
MOST_MISSED = 48
# Of an hour that was missed for longer people are told; whether it has to be stopped is said by the newest one.
ACTED_ON = timedelta(hours=2)
DAY, WEEK = timedelta(days=1), timedelta(days=7)


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
        judged, found = suspects.find(ends_at=ends_at, rules=rules)
        # In the order of their keys: incidents are locked as they come.
        for suspect in found:
            _answer(suspect, ends_at=ends_at, at=at, rules=rules)
        DetectorRun.objects.filter(pk=hour).update(judged_apps=judged, found=len(found))
    if found:
        logger.debug("%s of %s apps brought too much in %s", len(found), judged, f"{hour:%Y-%m-%d %H}")
    return True


def _answer(suspect: Suspect, *, ends_at: datetime, at: datetime, rules: Rules) -> None:
    incident = _open_incident(suspect, ends_at=ends_at, at=at, rules=rules)
    if incident is None:
        return
    finding = suspect.finding
    IncidentFinding.objects.create(
        incident=incident, hour=ends_at - HOUR, level=finding.level, actual=finding.actual,
        expected=finding.expected, highest=finding.highest,
    )  # fmt: skip
    if finding.level < Level.THROTTLE or incident.kind != Kind.COST or ends_at <= at - ACTED_ON:
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
            rate = suspects.reduced_rate(suspect, rules)
            reason = suspects.words_of(suspect)
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
    text = suspects.words_of(suspect)
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
