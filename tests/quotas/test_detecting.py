from datetime import timedelta
from decimal import Decimal

import pytest

from marketplace.accounts.access import actor_for
from marketplace.catalog.models import App
from marketplace.core.ids import uuid7
from marketplace.core.models import AuditEntry, Notice
from metering.attribution import Dimensions
from metering.cause_split import CauseSplit
from quotas import detecting, incidents
from quotas.incident_models import DetectorRun, ExpectedUsage, Incident, IncidentFinding
from quotas.models import Hold, Limit
from tests.conftest import Cast
from tests.factories import NOW
from tests.quotas.incident_world import HOUR, make_incident, run_away, spend, spend_as_usual


def the_incident() -> Incident:
    return Incident.objects.select_related("app__owner_team__organization").get()


class TestJudgeHour:
    def test_finds_nothing_in_ordinary_hours(self, who: Dimensions) -> None:
        spend_as_usual(who)
        run_away(who, [1, 2, 1])

        assert not Incident.objects.exists()
        assert list(DetectorRun.objects.values_list("judged_apps", "found")) == [(1, 0)] * 3

    def test_gives_notice_below_three_times_the_highest(self, who: Dimensions) -> None:
        # The highest day was 36, so 23 + 60 = 83 of a usual 24 is more than twice it, and not three times.
        spend(who, [*[1] * 72, *[2, 1] * 12, *[1] * 96], ends_at=NOW)
        run_away(who, [60])

        one = the_incident()
        assert (one.state, one.actual, one.expected, one.highest) == ("open", 83, 24, 36)
        assert not Limit.objects.filter(of_incident__isnull=False).exists()

    def test_throttles_at_three_times_the_highest(self, who: Dimensions) -> None:
        one = make_incident(who)

        assert (one.state, one.kind, one.currency) == ("throttled", "cost", "USD")
        assert (one.actual, one.expected, one.highest) == (83, 24, 24)
        # 1,440 requests cost 83; so many of them that they cost 24, by the minute: 24 / 83 x 1 a minute.
        limit = Limit.objects.get(of_incident__incident=one)
        assert (limit.app, limit.measure, limit.window, limit.limit_value) == (
            one.app,
            "requests",
            "minute",
            1,
        )
        assert (limit.mode, limit.environment, limit.ends_at) == ("hard", "", None)

    def test_says_what_it_came_from(self, who: Dimensions) -> None:
        one = make_incident(who)

        # As many calls, but longer ones: all of it is mix.
        assert CauseSplit(one.volume, one.mix, one.price) == CauseSplit(Decimal(0), Decimal(59), Decimal(0))
        assert one.monthly_effect == 59 * 30

    def test_changes_nothing_the_second_time(self, who: Dimensions) -> None:
        make_incident(who)
        before = [Incident.objects.values(), IncidentFinding.objects.values(), Notice.objects.values()]
        kept = [list(rows) for rows in before]

        assert detecting.judge_hour(NOW, at=NOW + 3 * HOUR) is False

        assert [list(rows.all()) for rows in before] == kept
        assert AuditEntry.objects.filter(action="quotas.incident.throttled").count() == 1

    def test_tells_makers_and_operators_once(self, cast: Cast, who: Dimensions) -> None:
        make_incident(who)
        run_away(who, [60, 60], at=NOW + HOUR)

        opened = Notice.objects.filter(text__contains="It cost $83.00 in 24 hours, usually $24.00")
        assert {one.recipient for one in opened} == {cast.creator, cast.operator}
        slowed = Notice.objects.filter(text__contains="is slowed to 1 request a minute")
        assert {one.recipient for one in slowed} == {cast.creator, cast.operator, cast.consumer}

    def test_keeps_one_open_incident_of_an_app(self, who: Dimensions) -> None:
        make_incident(who)
        run_away(who, [60, 60], at=NOW + HOUR)

        one = the_incident()
        assert one.last_seen_at == NOW + 3 * HOUR
        assert one.actual == 21 + 180
        assert one.findings.count() == 3

    def test_leaves_the_sandbox_out(self, cast: Cast, who: Dimensions) -> None:
        sandbox = who._replace(environment="sandbox")
        spend_as_usual(sandbox)
        run_away(sandbox)

        assert not Incident.objects.exists()

    def test_judges_a_new_app_by_absolute_caps(self, who: Dimensions) -> None:
        run_away(who, [24])
        assert not Incident.objects.exists()

        run_away(who, [80], at=NOW + HOUR)

        one = the_incident()
        assert one.is_new_app
        assert one.state == "throttled"
        assert (one.volume, one.mix, one.price) == (104, 0, 0)

    def test_keeps_quiet_about_what_is_expected(self, cast: Cast, who: Dimensions, app: App) -> None:
        ExpectedUsage.objects.create(
            app=app, starts_at=NOW, ends_at=NOW + 30 * HOUR, up_to=Decimal(100), currency="USD",
            reason="A campaign.", marked_by=cast.operator,
        )  # fmt: skip
        spend_as_usual(who)
        run_away(who, [60])
        assert not Incident.objects.exists()

        # 22 + 60 + 60 is more than was expected.
        run_away(who, [60], at=NOW + HOUR)
        assert the_incident().state == "throttled"

    def test_hears_of_it_again_when_the_time_is_over(self, cast: Cast, who: Dimensions, app: App) -> None:
        ExpectedUsage.objects.create(
            app=app, starts_at=NOW - 5 * HOUR, ends_at=NOW, up_to=Decimal(1_000), currency="USD",
            reason="A campaign.", marked_by=cast.operator,
        )  # fmt: skip

        assert make_incident(who).state == "throttled"

    def test_gives_notice_of_silence(self, who: Dimensions) -> None:
        spend(who, [1] * 24 * 8, ends_at=NOW - timedelta(days=1), requests=60)
        detecting.judge_hour(NOW - HOUR, at=NOW)

        one = the_incident()
        assert (one.kind, one.state, one.actual, one.expected) == ("requests", "open", 0, 1_440)
        assert one.monthly_effect is None

    def test_gives_notice_of_calls_that_fail(self, who: Dimensions, app: App) -> None:
        for number in range(60):
            make_hold(app, who, state="released" if number % 2 else "settled")
        detecting.judge_hour(NOW - HOUR, at=NOW)

        one = the_incident()
        assert (one.kind, one.state, one.actual) == ("errors", "open", 30)

    def test_lets_money_take_the_place_of_what_was_found_before(self, who: Dimensions, app: App) -> None:
        spend_as_usual(who)
        for number in range(60):
            make_hold(app, who, state="released" if number % 2 else "settled")
        detecting.judge_hour(NOW - HOUR, at=NOW)
        run_away(who)

        one = the_incident()
        assert (one.kind, one.state, one.actual) == ("cost", "throttled", 83)


def make_hold(app: App, who: Dimensions, *, state: str) -> Hold:
    return Hold.objects.create(
        id=uuid7(), state=state, app_id=app.pk, subscription_id=who.subscription_id, counter_ids=[], amounts=[],
        usage={}, created_at=NOW - HOUR, expires_at=NOW, ended_at=NOW - timedelta(minutes=30),
    )  # fmt: skip


class TestPause:
    def test_needs_evidence(self, who: Dimensions) -> None:
        make_incident(who)
        run_away(who, [60] * 11, at=NOW + HOUR)

        assert the_incident().state == "throttled"

    def test_comes_after_repeated_hours(self, who: Dimensions) -> None:
        make_incident(who)
        run_away(who, [60] * 12, at=NOW + HOUR)

        one = the_incident()
        assert one.state == "paused"
        assert one.evidence[-1] == "It has gone on for 12 hours though it was slowed."
        # It answers 503 from now on, so nothing has to be slowed any more.
        assert not Limit.objects.filter(of_incident__incident=one, ends_at=None).exists()

    def test_does_not_come_when_slowing_helped(self, who: Dimensions) -> None:
        make_incident(who)
        run_away(who, [2] * 14, at=NOW + HOUR)

        assert the_incident().state == "throttled"

    def test_comes_sooner_when_a_budget_breaks(self, cast: Cast, who: Dimensions) -> None:
        # 8 days of 24 and 120 are 312 so far in November; the last week's 286 are 630 more in the 370 hours left: 942.
        # Without the 118 above the usual, and the 260 that they would go on to add: 564.
        budget(cast, 700)
        make_incident(who)
        run_away(who, [60], at=NOW + HOUR)

        one = the_incident()
        assert one.state == "paused"
        assert "cost center CC-100" in one.evidence[-1]
        assert "$700.00, does not last" in one.evidence[-1]

    @pytest.mark.parametrize("value", [500, 100_000])
    def test_does_not_come_for_a_budget_that_lasts_or_breaks_anyway(
        self, cast: Cast, who: Dimensions, value: int
    ) -> None:
        budget(cast, value)
        make_incident(who)
        run_away(who, [60], at=NOW + HOUR)

        assert the_incident().state == "throttled"

    def test_is_not_undone_by_a_quiet_day(self, who: Dimensions) -> None:
        incidents.pause(make_incident(who), by=None, at=NOW + HOUR, reason="It goes on.")
        later = NOW + timedelta(days=5)

        detecting.run(at=later)

        assert the_incident().state == "paused"


def budget(cast: Cast, value: int) -> Limit:
    return Limit.objects.create(
        cost_center=cast.cost_center, measure="cost", window="month", currency="USD", limit_value=value, mode="warn",
        starts_at=NOW - timedelta(days=60),
    )  # fmt: skip


class TestAfterAPersonDecided:
    def test_is_not_held_against_the_app_what_came_before(self, cast: Cast, who: Dimensions) -> None:
        one = make_incident(who)
        resume(one, cast)

        run_away(who, [1, 2, 1], at=NOW + HOUR)

        assert the_incident().state == "resumed"

    def test_is_stopped_again_when_it_goes_on(self, cast: Cast, who: Dimensions) -> None:
        one = make_incident(who)
        resume(one, cast)

        run_away(who, [9], at=NOW + HOUR)

        assert the_incident().state == "throttled"

    def test_opens_no_other_incident_of_what_was_closed(self, cast: Cast, who: Dimensions) -> None:
        one = make_incident(who)
        resume(one, cast)
        incidents.close(one, by=actor_for(cast.operator), at=NOW + HOUR, explanation="A loop.")

        run_away(who, [1], at=NOW + HOUR)

        assert Incident.objects.count() == 1


def resume(one: Incident, cast: Cast) -> None:
    by = actor_for(cast.operator)
    incidents.resume(one, ceiling=Decimal(30), hours=48, by=by, at=NOW + HOUR, reason="Mended.")


class TestRun:
    def test_begins_with_the_last_complete_hour(self, db: None) -> None:
        detecting.run(at=NOW + timedelta(minutes=30))

        assert [one.hour for one in DetectorRun.objects.all()] == [NOW - HOUR]

    def test_catches_up_with_missed_hours(self, who: Dimensions) -> None:
        spend_as_usual(who)
        detecting.run(at=NOW)
        spend(who, [60, 1], ends_at=NOW + 2 * HOUR)

        assert detecting.run(at=NOW + 2 * HOUR + timedelta(minutes=5)) == 2
        assert detecting.run(at=NOW + 2 * HOUR + timedelta(minutes=9)) == 0

        assert the_incident().first_seen_at == NOW + HOUR

    def test_stops_nothing_for_what_was_over_meanwhile(self, who: Dimensions) -> None:
        spend_as_usual(who)
        detecting.run(at=NOW)
        spend(who, [60, 1, 1, 1, 1], ends_at=NOW + 5 * HOUR)

        detecting.run(at=NOW + 5 * HOUR)

        one = the_incident()
        assert (one.state, one.first_seen_at) == ("open", NOW + HOUR)

    def test_leaves_out_what_nobody_can_act_on(self, db: None) -> None:
        detecting.run(at=NOW)

        assert detecting.run(at=NOW + timedelta(days=20)) == 48

    def test_closes_a_notice_after_a_quiet_day(self, who: Dimensions) -> None:
        spend(who, [*[1] * 72, *[2, 1] * 12, *[1] * 96], ends_at=NOW)
        run_away(who, [60])
        seen = the_incident().last_seen_at
        quiet = detecting.incident_policies.Rules()

        assert detecting.end_quiet(at=seen + 23 * HOUR, rules=quiet) == 0
        assert detecting.end_quiet(at=seen + 24 * HOUR, rules=quiet) == 1

        one = the_incident()
        assert (one.state, one.closed_by) == ("closed", None)
        assert one.explanation == "Nothing unusual for 24 hours."

    def test_closes_what_was_resumed_when_its_ceiling_has_ended(self, cast: Cast, who: Dimensions) -> None:
        one = make_incident(who)
        rules = detecting.incident_policies.Rules()
        incidents.resume(
            one, ceiling=Decimal(30), hours=48, by=actor_for(cast.operator), at=NOW + HOUR, reason="Mended."
        )

        assert detecting.end_quiet(at=NOW + 47 * HOUR, rules=rules) == 0
        assert detecting.end_quiet(at=NOW + 50 * HOUR, rules=rules) == 1


class TestEscalate:
    def test_tells_wider_circles_until_somebody_looks(self, cast: Cast, who: Dimensions) -> None:
        make_incident(who)
        opened = NOW + HOUR
        after = timedelta(hours=4)

        assert incidents.escalate(at=opened + 3 * HOUR, after=after) == 0
        assert incidents.escalate(at=opened + 4 * HOUR, after=after) == 1
        assert incidents.escalate(at=opened + 5 * HOUR, after=after) == 0
        told = Notice.objects.filter(text__contains="Nobody looks after")
        assert {one.recipient for one in told} == {cast.operator, cast.approver}

        assert incidents.escalate(at=opened + 8 * HOUR, after=after) == 1
        assert {one.recipient for one in told.all()} == {cast.operator, cast.approver, cast.finance}
        assert incidents.escalate(at=opened + 99 * HOUR, after=after) == 0

    def test_stops_when_somebody_looks_after_it(self, cast: Cast, who: Dimensions) -> None:
        one = make_incident(who)
        incidents.acknowledge(one, by=actor_for(cast.creator), at=NOW + 2 * HOUR)

        assert incidents.escalate(at=NOW + 99 * HOUR, after=timedelta(hours=4)) == 0
