from datetime import timedelta
from decimal import Decimal

import pytest
from django.db import IntegrityError, transaction

from marketplace.accounts.access import actor_for
from marketplace.catalog.models import App
from marketplace.core.errors import InvalidInput, NotAllowed
from marketplace.core.models import AuditEntry, Epoch, Notice
from marketplace.core.transitions import IllegalTransition
from metering.attribution import Dimensions
from quotas import incident_queries, incidents
from quotas.incident_models import ExpectedUsage, Incident
from quotas.incidents import OwnApp
from quotas.limits import LimitOfIncident, Terms, end_limit, set_limit
from quotas.models import Limit
from quotas.owners import find_owner
from tests import factories
from tests.conftest import Cast
from tests.factories import NOW
from tests.quotas.incident_world import HOUR, make_incident

LATER = NOW + 2 * HOUR


@pytest.fixture
def throttled(who: Dimensions) -> Incident:
    return make_incident(who)


def make_open(app: App, **fields: object) -> Incident:
    """A notice: 90 in 24 hours that usually bring 24."""
    values = {
        "currency": "USD", "first_seen_at": NOW, "opened_at": NOW, "last_seen_at": NOW,
        "actual": Decimal(90), "expected": Decimal(24), "highest": Decimal(40),
    }  # fmt: skip
    return Incident.objects.create(app=app, **values | fields)


class TestOneOpen:
    def test_of_an_app_is_all_there_can_be(self, app: App) -> None:
        make_open(app)

        with pytest.raises(IntegrityError, match="incident_one_open_of_app"), transaction.atomic():
            make_open(app)

    def test_leaves_room_for_closed_ones(self, app: App) -> None:
        make_open(app, state="closed", closed_at=NOW)
        make_open(app)

        assert Incident.objects.count() == 2


class TestAcknowledge:
    def test_moves_a_notice(self, cast: Cast, app: App) -> None:
        one = make_open(app)

        incidents.acknowledge(one, by=actor_for(cast.operator), at=LATER, note="On it.")

        assert (one.state, one.acknowledged_by, one.acknowledged_at) == ("acknowledged", cast.operator, LATER)

    def test_leaves_what_is_slowed_slowed(self, cast: Cast, throttled: Incident) -> None:
        incidents.acknowledge(throttled, by=actor_for(cast.creator), at=LATER)

        assert (throttled.state, throttled.acknowledged_by) == ("throttled", cast.creator)

    def test_stays_with_the_first(self, cast: Cast, app: App) -> None:
        one = make_open(app)
        incidents.acknowledge(one, by=actor_for(cast.creator), at=NOW)

        incidents.acknowledge(one, by=actor_for(cast.operator), at=LATER)

        assert (one.acknowledged_by, one.acknowledged_at) == (cast.creator, NOW)

    @pytest.mark.parametrize("role", ["consumer", "stranger", "finance"])
    def test_is_not_for_others(self, cast: Cast, app: App, role: str) -> None:
        with pytest.raises(NotAllowed):
            incidents.acknowledge(make_open(app), by=actor_for(getattr(cast, role)), at=NOW)


class TestThrottle:
    def test_is_a_limit_of_requests_a_minute(self, cast: Cast, app: App) -> None:
        one = make_open(app)

        limit = incidents.throttle(
            one, requests_per_minute=10, by=actor_for(cast.creator), at=NOW, reason="A loop of ours."
        )

        assert (limit.app, limit.measure, limit.window, limit.limit_value) == (app, "requests", "minute", 10)
        assert (limit.mode, limit.created_by, limit.starts_at) == ("hard", cast.creator, NOW)
        assert incident_queries.limits_now(one, at=NOW) == [limit]

    @pytest.mark.parametrize("rate", [0, 1_000_001])
    def test_needs_a_rate(self, app: App, rate: int) -> None:
        with pytest.raises(InvalidInput) as refused:
            incidents.throttle(make_open(app), requests_per_minute=rate, by=None, at=NOW, reason="x")

        assert refused.value.field == "requests_per_minute"

    def test_needs_a_reason(self, app: App) -> None:
        with pytest.raises(InvalidInput, match="reason"):
            incidents.throttle(make_open(app), requests_per_minute=1, by=None, at=NOW, reason=" ")

    def test_is_not_ended_or_changed_as_other_limits_are(self, cast: Cast, throttled: Incident) -> None:
        by = actor_for(cast.operator)
        owner = find_owner(by, "app", throttled.app.slug)
        slowed = Limit.objects.get(of_incident__incident=throttled)

        with pytest.raises(LimitOfIncident):
            end_limit(slowed, owner=owner, by=by, at=LATER)
        set_limit(owner, terms=Terms("requests", "minute", Decimal(500)), by=by, at=LATER)

        slowed.refresh_from_db()
        assert (slowed.limit_value, slowed.ends_at) == (1, None)
        assert Limit.objects.filter(app=throttled.app, window="minute").count() == 2


class TestPause:
    def test_ends_the_reduced_rate(self, cast: Cast, throttled: Incident) -> None:
        incidents.pause(throttled, by=actor_for(cast.operator), at=LATER, reason="It goes on.")

        assert throttled.state == "paused"
        assert incident_queries.limits_now(throttled, at=LATER) == []

    def test_raises_the_epoch_of_the_directory(self, throttled: Incident) -> None:
        before = Epoch.objects.get(name="directory").value

        incidents.pause(throttled, by=None, at=LATER, reason="It goes on.")

        assert Epoch.objects.get(name="directory").value == before + 1

    def test_stops_all_but_the_sandbox(self, cast: Cast, app: App, throttled: Incident) -> None:
        incidents.pause(throttled, by=None, at=LATER, reason="It goes on.")
        sandbox = factories.make_subscription(app, cast.consumer_team, environment="sandbox")
        staging = factories.make_subscription(app, cast.consumer_team, environment="staging")

        assert incident_queries.is_paused(staging)
        assert not incident_queries.is_paused(sandbox)

    def test_cannot_be_closed_without_being_resumed(self, cast: Cast, throttled: Incident) -> None:
        incidents.pause(throttled, by=None, at=LATER, reason="It goes on.")

        with pytest.raises(IllegalTransition):
            incidents.close(throttled, by=actor_for(cast.operator), at=LATER, explanation="Over.")


class TestResume:
    def test_puts_a_ceiling_with_an_end(self, cast: Cast, throttled: Incident) -> None:
        limit = incidents.resume(
            throttled, ceiling=Decimal(30), hours=48, by=actor_for(cast.operator), at=LATER, reason="Mended."
        )

        assert (throttled.state, throttled.resumed_by, throttled.acknowledged_by) == (
            "resumed", cast.operator, cast.operator,
        )  # fmt: skip
        assert (limit.measure, limit.window, limit.currency, limit.limit_value) == ("cost", "day", "USD", 30)
        assert (limit.starts_at, limit.ends_at) == (LATER, LATER + 48 * HOUR)
        assert incident_queries.limits_now(throttled, at=LATER) == [limit]
        # What ran away today is not held against it: nothing is counted yet.
        assert not limit.counters.exists()

    @pytest.mark.parametrize("role", ["creator", "consumer", "finance", "approver", "stranger"])
    def test_is_for_operators_alone(self, cast: Cast, throttled: Incident, role: str) -> None:
        with pytest.raises(NotAllowed):
            incidents.resume(
                throttled,
                ceiling=Decimal(1),
                hours=1,
                by=actor_for(getattr(cast, role)),
                at=LATER,
                reason="x",
            )

    def test_is_not_for_an_operator_who_owns_the_app(self, cast: Cast, throttled: Incident) -> None:
        factories.join(cast.operator, cast.creator_team, "creator")

        with pytest.raises(OwnApp):
            incidents.resume(
                throttled, ceiling=Decimal(1), hours=1, by=actor_for(cast.operator), at=LATER, reason="x"
            )

    @pytest.mark.parametrize("by", ["creator", None])
    def test_of_ones_own_app_is_refused_by_the_database(
        self, cast: Cast, throttled: Incident, by: str | None
    ) -> None:
        person = getattr(cast, by) if by else None

        with pytest.raises(IntegrityError, match="own team"), transaction.atomic():
            Incident.objects.filter(pk=throttled.pk).update(
                state="resumed", resumed_at=LATER, resumed_by=person
            )

    def test_is_not_gone_around_in_the_database(self, throttled: Incident) -> None:
        with pytest.raises(IntegrityError, match="resumed before"), transaction.atomic():
            Incident.objects.filter(pk=throttled.pk).update(state="closed", closed_at=LATER)

    @pytest.mark.parametrize(
        ("ceiling", "hours", "field"), [("0", 1, "ceiling"), ("1", 0, "hours"), ("1", 337, "hours")]
    )
    def test_names_what_is_wrong(
        self, cast: Cast, throttled: Incident, ceiling: str, hours: int, field: str
    ) -> None:
        with pytest.raises(InvalidInput) as refused:
            incidents.resume(
                throttled,
                ceiling=Decimal(ceiling),
                hours=hours,
                by=actor_for(cast.operator),
                at=LATER,
                reason="x",
            )

        assert refused.value.field == field
        throttled.refresh_from_db()
        assert throttled.state == "throttled"

    def test_may_be_followed_by_another_stop(self, cast: Cast, throttled: Incident) -> None:
        incidents.resume(
            throttled, ceiling=Decimal(30), hours=48, by=actor_for(cast.operator), at=LATER, reason="Mended."
        )

        incidents.throttle(throttled, requests_per_minute=5, by=None, at=LATER + HOUR, reason="Again.")

        (limit,) = incident_queries.limits_now(throttled, at=LATER + HOUR)
        assert limit.limit_value == 5
        assert throttled.stopped_at == LATER + HOUR


class TestClose:
    def test_ends_the_ceiling(self, cast: Cast, throttled: Incident) -> None:
        by = actor_for(cast.operator)
        incidents.resume(throttled, ceiling=Decimal(30), hours=48, by=by, at=LATER, reason="Mended.")

        incidents.close(throttled, by=by, at=LATER + HOUR, explanation="A loop in a prompt.")

        assert (throttled.state, throttled.closed_by) == ("closed", cast.operator)
        assert incident_queries.limits_now(throttled, at=LATER + HOUR) == []
        assert not incidents.may_stop(actor_for(cast.stranger), throttled.app)

    def test_is_not_for_the_makers(self, cast: Cast, app: App) -> None:
        with pytest.raises(NotAllowed):
            incidents.close(make_open(app), by=actor_for(cast.creator), at=LATER, explanation="It is fine.")

    def test_writes_down_every_step(self, cast: Cast, throttled: Incident) -> None:
        by = actor_for(cast.operator)
        incidents.pause(throttled, by=by, at=LATER, reason="It goes on.")
        incidents.resume(throttled, ceiling=Decimal(30), hours=48, by=by, at=LATER, reason="Mended.")
        incidents.close(throttled, by=by, at=LATER, explanation="A loop.")

        entries = AuditEntry.objects.filter(subject_id=str(throttled.pk)).order_by("pk")
        assert [(one.action.rpartition(".")[2], one.actor, one.new["state"]) for one in entries] == [
            ("opened", None, "open"),
            ("throttled", None, "throttled"),
            ("paused", cast.operator, "paused"),
            ("resumed", cast.operator, "resumed"),
            ("closed", cast.operator, "closed"),
        ]


class TestExpect:
    def test_closes_a_notice_and_keeps_quiet(self, cast: Cast, app: App) -> None:
        one = make_open(app)

        incidents.expect(
            one, until=NOW + timedelta(days=7), up_to=Decimal(150), by=actor_for(cast.operator), at=NOW,
            reason="A campaign.",
        )  # fmt: skip

        marked = ExpectedUsage.objects.get()
        assert (marked.app, marked.up_to, marked.currency) == (app, 150, "USD")
        assert (one.state, one.explanation) == ("closed", "Expected: A campaign.")

    def test_does_not_resume_what_was_stopped(self, cast: Cast, throttled: Incident) -> None:
        incidents.expect(
            throttled, until=NOW + timedelta(days=7), up_to=Decimal(150), by=actor_for(cast.operator), at=LATER,
            reason="A campaign.",
        )  # fmt: skip

        assert throttled.state == "throttled"

    @pytest.mark.parametrize(("days", "up_to", "field"), [(0, 1, "until"), (93, 1, "until"), (1, 0, "up_to")])
    def test_is_bounded(self, cast: Cast, app: App, days: int, up_to: int, field: str) -> None:
        with pytest.raises(InvalidInput) as refused:
            incidents.expect(
                make_open(app), until=NOW + timedelta(days=days), up_to=Decimal(up_to),
                by=actor_for(cast.operator), at=NOW, reason="x",
            )  # fmt: skip

        assert refused.value.field == field

    def test_is_not_for_the_makers(self, cast: Cast, app: App) -> None:
        with pytest.raises(NotAllowed):
            incidents.expect(
                make_open(app), until=NOW + timedelta(days=1), up_to=Decimal(150), by=actor_for(cast.creator),
                at=NOW, reason="It is fine.",
            )  # fmt: skip


class TestContactOwner:
    def test_tells_the_makers_and_keeps_what_was_written(self, cast: Cast, app: App) -> None:
        one = make_open(app)

        for message in ("Stop your batch.", "Please."):
            incidents.contact_owner(one, by=actor_for(cast.operator), at=NOW, message=message)

        told = Notice.objects.filter(recipient=cast.creator).values_list("text", flat=True)
        assert len(told) == 2
        assert AuditEntry.objects.filter(action="quotas.incident.owner_contacted").count() == 2


class TestTimes:
    def test_are_means(self, app: App) -> None:
        hours = {"opened_at": NOW - timedelta(days=2), "state": "closed", "closed_at": NOW}
        make_open(app, **hours, acknowledged_at=NOW - timedelta(days=2) + HOUR)
        make_open(app, **hours, acknowledged_at=NOW - timedelta(days=2) + 2 * HOUR)
        make_open(app, opened_at=NOW - timedelta(days=1))

        found = incident_queries.times(Incident.objects.all(), at=NOW)

        # 1.5 and 48 hours.
        assert (found.count, found.acknowledged_s, found.resolved_s) == (3, 5_400, 172_800)

    def test_are_unknown_of_nothing(self, db: None) -> None:
        found = incident_queries.times(Incident.objects.all(), at=NOW)

        assert (found.count, found.acknowledged_s, found.resolved_s) == (0, None, None)


class TestVisible:
    def test_are_those_one_answers_for(self, cast: Cast, app: App) -> None:
        make_open(app)

        def seen(person: object) -> int:
            return incident_queries.visible(actor_for(person)).count()  # type: ignore[arg-type]

        assert [seen(one) for one in (cast.operator, cast.finance, cast.approver, cast.creator)] == [
            1,
            1,
            1,
            1,
        ]
        assert [seen(one) for one in (cast.consumer, cast.stranger)] == [0, 0]


class TestIncident:
    def test_has_causes_that_add_up(self, app: App) -> None:
        with pytest.raises(IntegrityError, match="incident_split_adds_up"), transaction.atomic():
            make_open(app, volume=Decimal(60), mix=Decimal(5), price=Decimal(0))

        assert make_open(app, volume=Decimal(60), mix=Decimal(5), price=Decimal(1)).monthly_effect == 1_980
