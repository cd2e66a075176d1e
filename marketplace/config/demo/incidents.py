"""Apps that ran away, found by the real detector on the recorded usage, and what people did about it.

The first thresholds only told; nobody looked for five days. After that a second version slows by itself. What it finds
in the last hours waits for whoever enters as operator.
"""

from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal

from marketplace.accounts.access import actor_for
from marketplace.catalog.models import App
from marketplace.config.demo.people import Cast
from marketplace.config.demo.streams import BATCH_DAYS_AGO, RUNAWAY_DAYS_AGO
from marketplace.config.demo.timeline import Timeline
from marketplace.config.demo.usage import EVENTS
from metering.anomalies import HOUR, Thresholds
from quotas import detecting, incident_policies, incidents
from quotas.incident_models import Incident
from quotas.incident_policies import Rules

# So that nothing is ever slowed by the first version.
ONLY_TELLS = Decimal(100)
HOURS_OF_RUNAWAY = 12
AMOUNTS = ("money_floor", "new_app_notice", "new_app_throttle")


def find(cast: Cast, apps: dict[str, App], timeline: Timeline, *, events: int) -> None:
    """Let the detector judge the hours of both stories, with the acts of people between; needs the roll-ups."""
    house = _of_size(Rules(), events)
    slow_to_act = replace(house, thresholds=replace(house.thresholds, throttle_ratio=ONLY_TELLS))
    _set(cast, slow_to_act, proposed_at=timeline.ago(60), reason="We only want to be told at first.")
    _judge(timeline.ago(RUNAWAY_DAYS_AGO[0], 0), hours=HOURS_OF_RUNAWAY)
    for one in Incident.objects.filter(app=apps["inbox-digest"]).select_related(
        "app__owner_team__organization"
    ):
        _after_the_runaway(one, cast, timeline)
    _set(
        cast,
        house,
        proposed_at=timeline.ago(15),
        reason="The digest went on for six days. Slow such things at once.",
    )
    newest = timeline.at.replace(minute=0, second=0, microsecond=0)
    since = timeline.ago(BATCH_DAYS_AGO[0], 0)
    _judge(since, hours=(newest - since) // HOUR)
    _propose_next(cast, house, timeline)


def _of_size(rules: Rules, events: int) -> Rules:
    """Fit the amounts to a world of fewer events, whose apps cost less."""
    found: Thresholds = rules.thresholds
    share = Decimal(events) / EVENTS
    fitted = {name: (getattr(found, name) * share).quantize(Decimal("0.0001")) for name in AMOUNTS}
    return rules if events >= EVENTS else replace(rules, thresholds=replace(found, **fitted))


def _set(cast: Cast, rules: Rules, *, proposed_at: datetime, reason: str) -> None:
    policy = incident_policies.propose(
        rules, reason=reason, by=actor_for(cast.person("operator")), at=proposed_at
    )
    decided_at = proposed_at + timedelta(hours=26)
    incident_policies.activate(
        policy, by=actor_for(cast.person("finance")), at=decided_at, note="Tried on the last month."
    )


def _judge(since: datetime, *, hours: int) -> None:
    for number in range(hours):
        hour = since + number * HOUR
        detecting.judge_hour(hour, at=hour + HOUR + timedelta(minutes=4))


def _after_the_runaway(one: Incident, cast: Cast, timeline: Timeline) -> None:
    """Two wider circles were told over a weekend; then somebody looked, and set a limit by hand."""
    operator = actor_for(cast.person("operator"))
    for hours in (4, 8):
        at = one.opened_at + timedelta(hours=hours, minutes=5)
        incidents.escalate(at=at, after=timedelta(hours=4))
    looked_at = timeline.ago(RUNAWAY_DAYS_AGO[1], 7, 58)
    incidents.acknowledge(one, by=operator, at=looked_at, note="Sales calls it in a loop.")
    incidents.contact_owner(
        one, by=operator, at=looked_at + timedelta(minutes=12),
        message="Your digest digests its own mails. Please leave its sender out; until then it gets a ceiling.",
    )  # fmt: skip
    incidents.close(
        one, by=operator, at=timeline.ago(RUNAWAY_DAYS_AGO[1] - 1, 8, 45),
        explanation="A digest was mailed to the inbox that was digested next. $40.00 a day until the owner shows a fix.",
    )  # fmt: skip


def _propose_next(cast: Cast, rules: Rules, timeline: Timeline) -> None:
    """Leave one for finance to decide."""
    wanted = replace(rules, escalate_hours=2)
    incident_policies.propose(
        wanted, reason="Four hours are long for something that costs by the minute.",
        by=actor_for(cast.person("operator")), at=timeline.ago(1, 10),
    )  # fmt: skip
