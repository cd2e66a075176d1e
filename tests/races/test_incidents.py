"""Detectors and people at once: one run of an hour, one open incident of an app, one who decides."""

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from marketplace.accounts.access import actor_for
from marketplace.core.models import AuditEntry, Notice
from marketplace.core.transitions import IllegalTransition
from metering.attribution import Dimensions
from quotas import detecting, incident_policies, incidents
from quotas.incident_models import DetectorRun, Incident, IncidentFinding, IncidentPolicy
from quotas.incident_policies import PolicyWaits, Rules
from quotas.models import Limit
from tests import factories
from tests.conftest import Cast
from tests.factories import NOW
from tests.metering.conftest import app, who
from tests.quotas.incident_world import HOUR, make_incident, spend, spend_as_usual
from tests.races.test_prices import at_once

__all__ = ["app", "who"]
pytestmark = [pytest.mark.race, pytest.mark.django_db(transaction=True)]
LATER = NOW + 2 * HOUR


class TestDetectors:
    def test_at_once_judge_an_hour_once(self, who: Dimensions) -> None:
        spend_as_usual(who)
        spend(who, [60], ends_at=NOW + HOUR, prefix="runaway")

        done, errors = at_once([lambda: detecting.run(at=NOW + HOUR) for _ in range(4)])

        assert errors == []
        assert sorted(done) == [0, 0, 0, 1]
        assert [one.hour for one in DetectorRun.objects.all()] == [NOW]
        assert Incident.objects.get().state == "throttled"
        assert IncidentFinding.objects.count() == 1
        assert Limit.objects.filter(of_incident__isnull=False).count() == 1
        # Opened and slowed: maker and operator of both, the subscriber of the second.
        assert Notice.objects.count() == 5

    def test_of_several_hours_open_one_incident(self, who: Dimensions) -> None:
        spend_as_usual(who)
        spend(who, [60, 60, 60], ends_at=NOW + 3 * HOUR, prefix="runaway")

        def judge(number: int) -> bool:
            return detecting.judge_hour(NOW + number * HOUR, at=NOW + 3 * HOUR)

        works: list[Callable[[], Any]] = [lambda n=n: judge(n) for n in (0, 1, 2)]  # type: ignore[misc]
        _, errors = at_once(works)

        assert errors == []
        assert Incident.objects.count() == 1
        assert DetectorRun.objects.count() == 3


class TestDeciders:
    def test_at_once_resume_once(self, cast: Cast, who: Dimensions) -> None:
        one = make_incident(who)
        people = [cast.operator, *(factories.make_user() for _ in range(3))]
        for person in people[1:]:
            factories.join(person, None, "operator", organization=cast.company)
        actors = [actor_for(person) for person in people]

        def resume(number: int) -> None:
            incident = Incident.objects.select_related("app__owner_team__organization").get(pk=one.pk)
            incidents.resume(
                incident,
                ceiling=Decimal(10 + number),
                hours=48,
                by=actors[number],
                at=LATER,
                reason="Mended.",
            )

        done, errors = at_once([lambda n=n: resume(n) for n in range(4)])  # type: ignore[misc]

        assert len(done) == 1
        assert [type(error) for error in errors] == [IllegalTransition] * 3
        one.refresh_from_db()
        (ceiling,) = Limit.objects.filter(of_incident__purpose="ceiling")
        assert ceiling.created_by == one.resumed_by
        assert AuditEntry.objects.filter(action="quotas.incident.resumed").count() == 1

    def test_and_the_detector_leave_what_the_person_decided(self, cast: Cast, who: Dimensions) -> None:
        one = make_incident(who)
        spend(who, [60], ends_at=LATER, prefix="more")

        def pause() -> None:
            incident = Incident.objects.select_related("app__owner_team__organization").get(pk=one.pk)
            incidents.pause(incident, by=actor_for(cast.operator), at=LATER, reason="It goes on.")

        _, errors = at_once([pause, lambda: detecting.judge_hour(NOW + HOUR, at=LATER)])

        assert errors == []
        one.refresh_from_db()
        assert one.state == "paused"
        assert not Limit.objects.filter(of_incident__isnull=False, ends_at=None).exists()


class TestPolicies:
    def test_at_once_leave_one_open(self, cast: Cast) -> None:
        by = actor_for(cast.operator)

        def propose() -> IncidentPolicy:
            return incident_policies.propose(Rules(), reason="Sooner.", by=by, at=NOW)

        done, errors = at_once([propose] * 4)

        assert len(done) == 1
        assert [type(error) for error in errors] == [PolicyWaits] * 3

    def test_are_put_in_force_once(self, cast: Cast) -> None:
        made = incident_policies.propose(Rules(), reason="Sooner.", by=actor_for(cast.operator), at=NOW)
        other = factories.make_user()
        factories.join(other, None, "operator", organization=cast.company)
        actors = [actor_for(cast.finance), actor_for(other)]

        def decide(number: int) -> None:
            policy = IncidentPolicy.objects.get(pk=made.pk)
            incident_policies.activate(policy, by=actors[number], at=NOW + timedelta(seconds=number))

        done, errors = at_once([lambda n=n: decide(n) for n in (0, 1)])  # type: ignore[misc]

        assert len(done) == 1
        assert [type(error) for error in errors] == [IllegalTransition]
        assert IncidentPolicy.objects.get().state == "active"
