"""Limits over time: scheduled ones, time zones, and what was done to them."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.db import IntegrityError, transaction

from marketplace.accounts.access import Actor, actor_for
from marketplace.core.errors import InvalidInput, NotAllowed
from marketplace.core.ids import uuid7
from metering.attribution import Dimensions
from quotas import admission, history, limits, queries
from quotas.admission import Admitted, Estimate, HoldRequest, Refused
from quotas.limits import Terms
from quotas.models import Limit, LimitCounter
from quotas.owners import Owner, owner_of
from tests.conftest import Cast
from tests.factories import LONG_AGO, NOW
from tests.metering.conftest import make_usage
from tests.metering.usage_world import World

BERLIN = ZoneInfo("Europe/Berlin")
TOMORROW, NEXT_WEEK = NOW + timedelta(days=1), NOW + timedelta(days=7)


@pytest.fixture
def operator(cast: Cast) -> Actor:
    return actor_for(cast.operator)


@pytest.fixture
def team(cast: Cast) -> Owner:
    return owner_of("team", cast.consumer_team)


def calls(value: int, **fields: Any) -> Terms:
    return Terms("requests", fields.pop("window", "month"), Decimal(value), **fields)


def line(team: Owner) -> list[tuple[int, datetime, datetime | None]]:
    """The limits that were set for a team, in order of time, without those that never hold."""
    rows = Limit.objects.filter(team=team.instance, is_default=False).order_by("starts_at", "pk")
    return [
        (int(row.limit_value), row.starts_at, row.ends_at) for row in rows if row.ends_at != row.starts_at
    ]


def call(who: Dimensions, at: datetime) -> Admitted | Refused:
    hold_id = uuid7()
    usage = make_usage(who, str(hold_id), at=at)
    return admission.reserve(
        [HoldRequest(hold_id, usage, Estimate(1, Decimal(0)), at + timedelta(hours=1))], at=at
    )[0]


class TestSchedule:
    def test_keeps_what_is_to_come_later(self, team: Owner, operator: Actor) -> None:
        limits.set_limit(team, terms=calls(100), by=operator, at=NOW)
        limits.set_limit(team, terms=calls(300), by=operator, at=NOW, starts_at=NEXT_WEEK)

        limits.set_limit(team, terms=calls(200), by=operator, at=NOW, starts_at=TOMORROW)

        assert line(team) == [(100, NOW, TOMORROW), (200, TOMORROW, NEXT_WEEK), (300, NEXT_WEEK, None)]

    def test_keeps_it_when_the_present_one_is_changed(self, team: Owner, operator: Actor) -> None:
        limits.set_limit(team, terms=calls(100), by=operator, at=NOW)
        limits.set_limit(team, terms=calls(300), by=operator, at=NOW, starts_at=TOMORROW)

        limits.set_limit(team, terms=calls(50), by=operator, at=NOW)

        assert line(team) == [(50, NOW, TOMORROW), (300, TOMORROW, None)]

    def test_goes_on_as_before_when_what_was_scheduled_is_called_off(
        self, team: Owner, operator: Actor
    ) -> None:
        limits.set_limit(team, terms=calls(100), by=operator, at=NOW)
        later, _ = limits.set_limit(team, terms=calls(300), by=operator, at=NOW, starts_at=TOMORROW)

        limits.end_limit(later, owner=team, by=operator, at=NOW)

        limits.set_limit(team, terms=calls(90), by=operator, at=NOW)
        assert line(team) == [(90, NOW, None)]

    def test_does_not_forget_what_was_used_of_the_window(
        self, team: Owner, operator: Actor, who: Dimensions
    ) -> None:
        limits.set_limit(team, terms=calls(2), by=operator, at=NOW)
        limits.set_limit(team, terms=calls(3), by=operator, at=NOW, starts_at=TOMORROW)

        today = [type(call(who, NOW)) for _ in range(3)]
        tomorrow = [type(call(who, TOMORROW)) for _ in range(2)]

        # Two of this month today; of the three that the new limit allows, one is left.
        assert today == [Admitted, Admitted, Refused]
        assert tomorrow == [Admitted, Refused]

    def test_is_in_force_once_at_any_moment(self, team: Owner, operator: Actor) -> None:
        limits.set_limit(team, terms=calls(2), by=operator, at=NOW, starts_at=TOMORROW)

        with pytest.raises(IntegrityError, match="limit_one_of_team"), transaction.atomic():
            Limit.objects.create(
                team=team.instance, measure="requests", window="month", limit_value=9, starts_at=NEXT_WEEK
            )


class TestTightening:
    def test_does_not_move_the_days_of_what_others_set(
        self, cast: Cast, world: World, operator: Actor
    ) -> None:
        app, creator = owner_of("app", world.app), actor_for(cast.creator)
        limits.set_limit(app, terms=calls(100), by=operator, at=NOW)

        with pytest.raises(NotAllowed):
            limits.set_limit(app, terms=calls(80, time_zone="Pacific/Kiritimati"), by=creator, at=NOW)

    def test_does_not_shorten_what_others_set(self, cast: Cast, world: World, operator: Actor) -> None:
        app, creator = owner_of("app", world.app), actor_for(cast.creator)
        limits.set_limit(app, terms=calls(100), by=operator, at=NOW)

        with pytest.raises(NotAllowed):
            limits.set_limit(app, terms=calls(80), by=creator, at=NOW, ends_at=TOMORROW)

    def test_leaves_it_the_others_even_from_a_date_on(
        self, cast: Cast, world: World, operator: Actor
    ) -> None:
        app, creator = owner_of("app", world.app), actor_for(cast.creator)
        limits.set_limit(app, terms=calls(100), by=operator, at=NOW)
        limits.set_limit(app, terms=calls(80), by=creator, at=NOW, starts_at=TOMORROW)

        with pytest.raises(NotAllowed):
            limits.set_limit(app, terms=calls(90), by=creator, at=TOMORROW)


class TestTimeZone:
    def test_is_one_that_there_is(self, team: Owner, operator: Actor) -> None:
        with pytest.raises(InvalidInput) as refused:
            limits.set_limit(team, terms=calls(9, time_zone="Mars/Base"), by=operator, at=NOW)

        assert refused.value.field == "time_zone"

    def test_says_where_a_day_begins(self, team: Owner, operator: Actor, who: Dimensions) -> None:
        terms = calls(1, window="day", time_zone="America/New_York")
        limits.set_limit(team, terms=terms, by=operator, at=NOW)
        # Midnight in New York in winter is five in the morning in UTC.
        moments = [NOW, datetime(2026, 11, 16, 4, 59, tzinfo=UTC), datetime(2026, 11, 16, 5, 0, tzinfo=UTC)]

        answers = [call(who, at) for at in moments]

        assert [type(each) for each in answers] == [Admitted, Refused, Admitted]
        refused = answers[1]
        assert isinstance(refused, Refused)
        assert refused.standing.resets_at == datetime(2026, 11, 16, 5, tzinfo=UTC)

    @pytest.mark.parametrize(
        ("day", "hours"),
        [
            (datetime(2026, 3, 29, tzinfo=BERLIN), 23),  # Berlin leaps from 2:00 to 3:00
            (datetime(2026, 10, 25, tzinfo=BERLIN), 25),  # and back
        ],
    )
    def test_makes_days_as_long_as_they_are_when_clocks_change(
        self, team: Owner, operator: Actor, who: Dimensions, day: datetime, hours: int
    ) -> None:
        midnight = day.astimezone(UTC)
        terms = calls(1, window="day", time_zone="Europe/Berlin")
        limit, _ = limits.set_limit(team, terms=terms, by=operator, at=midnight)

        last = midnight + timedelta(hours=hours, seconds=-1)
        answers = [type(call(who, at)) for at in (midnight, last, last + timedelta(seconds=1))]

        assert answers == [Admitted, Refused, Admitted]
        first = LimitCounter.objects.filter(limit=limit).order_by("window_starts_at")[0]
        assert first.window_ends_at - first.window_starts_at == timedelta(hours=hours)

    def test_makes_a_new_limit_of_another_zone_that_knows_what_was_used(
        self, cast: Cast, world: World, team: Owner, operator: Actor
    ) -> None:
        old, _ = limits.set_limit(team, terms=calls(9, window="day"), by=operator, at=NOW)
        # In Kamchatka, twelve hours ahead, a new day begins at noon in UTC: the call of half past eleven was yesterday.
        new, is_new = limits.set_limit(
            team, terms=calls(9, window="day", time_zone="Asia/Kamchatka"), by=operator, at=NOW
        )

        assert is_new
        assert LimitCounter.objects.get(limit=old).spent == 1
        old.refresh_from_db()
        assert old.ends_at == NOW
        (one,) = queries.standings(Limit.objects.filter(pk=new.pk), at=NOW)
        assert (one.used, one.resets_at) == (0, datetime(2026, 11, 16, 12, tzinfo=UTC))

    def test_stays_when_nothing_is_said(self, team: Owner, operator: Actor) -> None:
        limits.set_limit(team, terms=calls(9, time_zone="Asia/Tokyo"), by=operator, at=NOW)

        changed, is_new = limits.set_limit(team, terms=calls(8), by=operator, at=NOW)

        assert (changed.time_zone, is_new) == ("Asia/Tokyo", False)


class TestHistory:
    def test_tells_who_changed_what_when_and_why(self, cast: Cast, team: Owner, operator: Actor) -> None:
        finance = actor_for(cast.finance)
        limit, _ = limits.set_limit(team, terms=calls(100), by=operator, at=NOW, note="trial month")
        limits.set_limit(team, terms=calls(50), by=finance, at=TOMORROW, note="too much")
        limits.end_limit(limit, owner=team, by=operator, at=NEXT_WEEK, reason="no longer needed")

        ended, changed, first = history.of_owner(team)

        assert (first.verb, first.by, first.at, first.reason) == ("Set", operator.user, NOW, "trial month")
        assert (changed.by, changed.reason) == (finance.user, "too much")
        assert changed.changed == [("limit", "100", "50")]
        assert (ended.verb, [name for name, _, _ in ended.changed]) == ("Ended", ["ends_at"])

    def test_is_of_its_owner_alone(self, cast: Cast, team: Owner, operator: Actor) -> None:
        limits.set_limit(team, terms=calls(100), by=operator, at=NOW)

        assert history.of_owner(owner_of("team", cast.creator_team)) == []


class TestLateUsage:
    def test_counts_in_the_window_in_which_a_limit_began(
        self, team: Owner, operator: Actor, who: Dimensions
    ) -> None:
        limit, _ = limits.set_limit(team, terms=calls(9), by=operator, at=NOW)

        admission.report([make_usage(who, "late", at=NOW - timedelta(days=3))], at=NOW)

        assert LimitCounter.objects.get(limit=limit).spent == 1
        assert limit.starts_at > LONG_AGO
