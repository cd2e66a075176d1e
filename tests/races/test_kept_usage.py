"""Kept usage that several processes count at once while its sender sends it again: each event counts once."""

import pytest

from marketplace.accounts.access import actor_for
from marketplace.catalog.models import App
from marketplace.core.models import Job
from metering import attribution_rules, rollups
from metering.inbox_models import AttributionRule, Inbox, KeptEvent
from metering.models import UsageEvent, UsageRollup
from tests.conftest import Cast
from tests.factories import NOW
from tests.gateway.reporting import report
from tests.races.processes import Processes

pytestmark = [pytest.mark.race, pytest.mark.django_db(transaction=True)]
EVENTS = [{"id": f"e{number}", "cost_center": "cc100"} for number in range(120)]


def test_counts_once_whoever_is_faster(cast: Cast, app: App, processes: Processes) -> None:
    report(app, *EVENTS, at=NOW)
    assert Inbox.objects.get().open_events == 120
    rule = AttributionRule(
        organization=cast.company, app=app, field="cost_center", value="cc100", target="as_unnamed"
    )
    attribution_rules.make(rule, by=actor_for(cast.creator), at=NOW)
    job = Job.objects.get(idempotency_key=attribution_rules.job_key(rule))

    counting = processes.start(
        "tests.races.keeping:count", [{"rule_id": str(rule.pk), "job_id": str(job.pk)}] * 2
    )
    # One resends as it was, one corrected: the latter is other content under the same id.
    corrected = [{**event, "cost_center": "CC-100"} for event in EVENTS]
    sending = [
        *processes.start("tests.races.keeping:send", [{"app_id": app.pk, "events": EVENTS, "at": NOW}]),
        *processes.start("tests.races.keeping:send", [{"app_id": app.pk, "events": corrected, "at": NOW}]),
    ]
    for future in (*counting, *sending):
        future.result(60)

    assert UsageEvent.objects.count() == 120
    assert sum(UsageRollup.objects.values_list("events", flat=True)) == 120
    assert rollups.differences() == []
    assert not KeptEvent.objects.exclude(state="counted").exists()
    assert Inbox.objects.get().open_events == 0


def test_keeps_once_what_is_sent_at_once(cast: Cast, app: App, processes: Processes) -> None:
    processes.run(
        "tests.races.keeping:send", [{"app_id": app.pk, "events": EVENTS, "at": NOW}] * processes.count
    )

    assert KeptEvent.objects.count() == 120
    assert Inbox.objects.get().open_events == 120
