from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from pytest_django import DjangoAssertNumQueries

from marketplace.accounts.access import actor_for
from marketplace.accounts.models import User
from marketplace.core.errors import InvalidInput
from metering import ingest
from metering.queries import MixedCurrencies, usage, watched_apps
from metering.scopes import EVERYTHING, UsageScope
from metering.usage_reports import UsageReport
from tests import factories
from tests.conftest import Cast
from tests.factories import NOW
from tests.metering.usage_world import TODAY, World, used

FROM, TO = datetime(2026, 11, 14, tzinfo=UTC), datetime(2026, 11, 16, tzinfo=UTC)


def report(**asked: Any) -> UsageReport:
    values: dict[str, Any] = {"from_at": FROM, "to_at": TO, "visible": EVERYTHING}
    return usage(**values | asked)


def seen_by(person: User, **asked: Any) -> UsageReport:
    return report(visible=UsageScope.of(actor_for(person)), **asked)


def costs(shown: UsageReport) -> dict[Any, Decimal]:
    return {tuple(part.id for part in row.parts): row.measures.cost for row in shown.rows}


class TestUsage:
    def test_sums_everything_into_one_row(self, world: World) -> None:
        shown = report()

        (row,) = shown.rows
        assert row.measures == shown.totals
        # 0.20 + 0.16 + 0.40 + 0.80 + 0.01
        assert shown.totals.cost == Decimal("1.57")
        assert shown.totals.requests == shown.totals.events == 5
        assert (shown.totals.input_tokens, shown.totals.output_tokens) == (7_550_000, 100_000)
        assert shown.currency == "USD"

    def test_averages_latency_over_the_calls_that_told_one(self, world: World) -> None:
        # (100 + 201 + 400 + 50) / 4 = 187.75
        assert report().totals.mean_latency_ms == 188

    def test_gives_rows_by_hour_day_and_month(self, world: World) -> None:
        hours = report(granularity="hour")
        days = report(granularity="day")
        months = report(granularity="month")

        assert [row.starts_at.strftime("%d %H") for row in hours.rows] == ["14 10", "15 08", "15 09", "15 11"]
        assert [(row.starts_at.day, row.measures.cost) for row in days.rows] == [
            (14, Decimal("0.20")),
            (15, Decimal("1.37")),
        ]
        assert [row.starts_at for row in months.rows] == [datetime(2026, 11, 1, tzinfo=UTC)]

    @pytest.mark.parametrize("granularity", ["hour", "day", "month", "total"])
    @pytest.mark.parametrize(
        "group_by",
        [
            [],
            ["app"],
            ["team", "model"],
            ["key", "subscription", "environment"],
            ["app", "team", "cost_center", "subscription", "environment", "model", "instance_type", "plan"],
        ],
    )
    def test_has_the_same_total_however_it_is_cut(
        self, world: World, granularity: str, group_by: list[str]
    ) -> None:
        shown = report(granularity=granularity, group_by=group_by)

        assert shown.totals.cost == Decimal("1.57")
        assert sum(row.measures.cost for row in shown.folded) == Decimal("1.57")
        assert sum(row.measures.requests for row in shown.over_time) == 5

    def test_names_each_group_by_id_and_label(self, world: World) -> None:
        shown = report(group_by=["app", "environment"])

        assert [[(part.id, part.label) for part in row.parts] for row in shown.rows] == [
            [("where2eat", "Where to eat"), ("production", "production")],
            [("fx", "Exchange"), ("sandbox", "sandbox")],
        ]

    def test_names_what_has_no_key(self, world: World) -> None:
        shown = report(group_by=["key"], filters={"team": "team-ops"})

        assert {(row.parts[0].id, row.parts[0].label) for row in shown.rows} == {
            (str(world.key.pk), f"laptop {world.key}"),
            (None, "No key"),
        }

    def test_finds_what_a_row_is_made_of_by_its_ids(self, world: World) -> None:
        for dimension in ("app", "team", "cost_center", "organization", "subscription", "plan", "model"):
            for row in report(group_by=[dimension]).rows:
                part = row.parts[0]
                if part.id is not None:
                    assert report(filters={dimension: part.id}).totals == row.measures, part

    def test_tells_teams_of_the_same_name_apart(self, cast: Cast, world: World) -> None:
        namesake = factories.make_team(cast.stranger_team.organization, slug="team-ops")
        ingest.record(
            [used(factories.make_subscription(world.app, namesake), "n1", at=TODAY, input_tokens=100_000)],
            at=NOW,
        )

        shown = costs(report(group_by=["team"]))

        assert shown[("other/team-ops",)] == Decimal("0.02")
        assert shown[("demo/team-ops",)] == Decimal("0.37")
        assert report(filters={"team": "other/team-ops"}).totals.cost == Decimal("0.02")

    def test_excludes_the_end_and_widens_to_full_hours(self, world: World) -> None:
        shown = report(from_at=TODAY.replace(hour=8, minute=59), to_at=TODAY.replace(hour=9))
        later = report(from_at=TODAY.replace(hour=8, minute=59), to_at=TODAY.replace(hour=9, minute=1))

        assert shown.totals.cost == Decimal("0.01")
        assert later.totals.cost == Decimal("0.81")
        assert (later.from_at.hour, later.to_at.hour) == (8, 10)

    def test_tells_the_newest_hour(self, world: World) -> None:
        assert report(to_at=FROM + timedelta(hours=1)).newest_hour == TODAY.replace(hour=11)

    def test_is_empty_where_nothing_was_used(self, world: World) -> None:
        shown = report(filters={"app": "nothing-like-it"}, granularity="day")

        assert shown.rows == ()
        assert shown.totals.cost == 0
        assert [row.measures.requests for row in shown.over_time] == [0, 0]

    def test_asks_one_query_for_the_numbers_and_one_for_each_dimension(
        self, world: World, django_assert_num_queries: DjangoAssertNumQueries
    ) -> None:
        with django_assert_num_queries(4):
            report(granularity="hour", group_by=["app", "team"])


class TestVisibility:
    def test_shows_consumers_their_own_team_only(self, cast: Cast, world: World) -> None:
        shown = seen_by(cast.consumer, group_by=["team"])

        assert costs(shown) == {("team-ops",): Decimal("0.37")}

    def test_shows_creators_how_their_apps_are_used_but_not_by_whom(self, cast: Cast, world: World) -> None:
        shown = seen_by(cast.creator, group_by=["team"])

        assert [(row.parts[0].id, row.parts[0].label) for row in shown.rows] == [(None, "Other teams")]
        assert shown.totals.cost == Decimal("1.56")

    @pytest.mark.parametrize("dimension", ["key", "subscription", "cost_center", "organization"])
    def test_never_names_other_teams_keys_or_payers(self, cast: Cast, world: World, dimension: str) -> None:
        assert {row.parts[0].id for row in seen_by(cast.creator, group_by=[dimension]).rows} == {None}

    def test_finds_nothing_for_creators_who_ask_for_one_of_the_others(self, cast: Cast, world: World) -> None:
        for filters in ({"team": "team-ops"}, {"key": str(world.key.pk)}, {"cost_center": "CC-100"}):
            assert seen_by(cast.creator, filters=filters).rows == ()

    def test_names_a_creators_own_team(self, cast: Cast, world: World) -> None:
        own = factories.make_subscription(world.app, cast.creator_team)
        ingest.record([used(own, "own", at=TODAY, input_tokens=500_000)], at=NOW)

        assert costs(seen_by(cast.creator, group_by=["team"])) == {
            ("team-ux",): Decimal("0.10"),
            (None,): Decimal("1.56"),
        }

    @pytest.mark.parametrize("role", ["finance", "operator", "approver"])
    def test_shows_the_platform_everything(self, cast: Cast, world: World, role: str) -> None:
        assert seen_by(getattr(cast, role)).totals.cost == Decimal("1.57")

    def test_shows_finance_of_an_organization_what_it_pays(self, cast: Cast, world: World) -> None:
        treasurer = factories.make_user()
        factories.join(treasurer, None, "finance", organization=cast.stranger_team.organization)

        assert costs(seen_by(treasurer, group_by=["organization"])) == {("other",): Decimal("0.80")}

    def test_shows_owners_what_is_booked_on_their_cost_center(self, cast: Cast, world: World) -> None:
        owner = world.people_team.cost_center.owner

        assert costs(seen_by(owner, group_by=["cost_center"])) == {("CC-200",): Decimal("0.40")}

    def test_shows_the_stranger_their_own_use_only(self, cast: Cast, world: World) -> None:
        assert costs(seen_by(cast.stranger, group_by=["team"])) == {("strangers",): Decimal("0.80")}
        assert seen_by(cast.stranger, filters={"team": "team-ops"}).rows == ()

    def test_shows_somebody_without_a_team_nothing(self, world: World) -> None:
        assert seen_by(factories.make_user(), group_by=["app", "key"]).rows == ()


class TestPartsOfDays:
    """Full days are read off their own sums, the rest off those of hours."""

    START = datetime(2026, 11, 10, tzinfo=UTC)

    @pytest.fixture
    def hours(self, world: World) -> None:
        """One event in each of 96 hours, which costs as much as the number of its hour."""
        ingest.record(
            [
                used(
                    world.subscription,
                    f"h{n}",
                    at=self.START + timedelta(hours=n),
                    input_tokens=n * 1_000_000,
                )
                for n in range(96)
            ],
            at=NOW,
        )

    @pytest.mark.parametrize(
        ("first", "last", "queries"),
        [
            (0, 96, 1),  # four days
            (24, 48, 1),  # one day
            (5, 9, 1),  # hours of one day
            (20, 28, 1),  # hours of two days, none of them full
            (5, 48, 2),  # to the end of a day
            (24, 50, 2),  # from the start of a day
            (5, 91, 2),  # days with hours on both sides
        ],
    )
    def test_add_up_to_the_time_asked_for(self, hours: None, first: int, last: int, queries: int) -> None:
        with CaptureQueriesContext(connection) as asked:
            found = report(
                from_at=self.START + timedelta(hours=first), to_at=self.START + timedelta(hours=last)
            )

        assert found.totals.input_tokens == sum(range(first, last)) * 1_000_000
        assert found.totals.events == last - first
        assert sum("SUM(" in one["sql"] for one in asked.captured_queries) == queries

    def test_make_one_row_of_a_day_that_was_read_in_two_parts(self, hours: None) -> None:
        found = report(
            from_at=self.START + timedelta(hours=12),
            to_at=self.START + timedelta(hours=80),
            granularity="month",
        )

        assert [(row.starts_at.day, row.measures.events) for row in found.rows] == [(1, 68)]

    def test_are_told_from_the_period_before(self, hours: None) -> None:
        found = report(
            from_at=self.START + timedelta(hours=48),
            to_at=self.START + timedelta(hours=90),
            granularity="day",
            compare="previous",
        )

        assert [row.measures.events for row in found.rows] == [24, 18]
        assert found.before is not None
        assert [row.measures.events for row in found.before.rows] == [24, 18]


class TestRefusals:
    @pytest.mark.parametrize(
        ("asked", "field"),
        [
            ({"granularity": "year"}, "granularity"),
            ({"group_by": ["color"]}, "group_by"),
            ({"group_by": ["app", "app"]}, "group_by"),
            (
                {
                    "group_by": [
                        "app",
                        "team",
                        "plan",
                        "model",
                        "key",
                        "feature",
                        "environment",
                        "instance_type",
                        "cost_center",
                    ]
                },
                "group_by",
            ),
            ({"filters": {"color": "red"}}, "color"),
            ({"filters": {"subscription": "42"}}, "subscription"),
            ({"filters": {"key": "hp_sub_x"}}, "key"),
            ({"filters": {"plan": "standard"}}, "plan"),
            ({"filters": {"environment": "moon"}}, "environment"),
            ({"filters": {"app": "a\0b"}}, "app"),
            ({"to_at": FROM}, "to"),
            ({"from_at": datetime(1, 1, 1, tzinfo=UTC)}, "from"),
            ({"to_at": datetime(9999, 12, 31, 23, 30, tzinfo=UTC)}, "to"),
        ],
    )
    def test_names_the_parameter_that_is_wrong(self, world: World, asked: dict[str, Any], field: str) -> None:
        with pytest.raises(InvalidInput) as refused:
            report(**asked)

        assert refused.value.field == field

    def test_refuses_what_would_not_finish_and_says_what_would(self, db: None) -> None:
        asked = {"granularity": "hour", "to_at": FROM + timedelta(days=93)}

        with pytest.raises(InvalidInput, match="granularity=day"):
            report(group_by=["app", "team"], **asked)

        assert report(group_by=["app"], **asked).rows == ()

    def test_does_not_add_up_currencies(self, world: World) -> None:
        factories.make_model("euro-model", currency="EUR")
        usage_in_euro = used(world.subscription, "eur", at=TODAY, input_tokens=1_000_000)
        ingest.record([_with_model(usage_in_euro, "euro-model")], at=NOW)

        with pytest.raises(MixedCurrencies, match="EUR and USD"):
            report()

        assert report(filters={"currency": "EUR"}).totals.cost == Decimal("0.2")


def _with_model(one: ingest.Usage, model: str) -> ingest.Usage:
    return ingest.Usage(one.event_id, one.occurred_at, one.who, model, one.quantities)


class TestWatchedApps:
    def test_lists_apps_of_the_creators_teams(self, cast: Cast, world: World) -> None:
        assert list(watched_apps(actor_for(cast.creator))) == [world.app]

    def test_lists_none_for_consumers_and_strangers(self, cast: Cast, world: World) -> None:
        assert not watched_apps(actor_for(cast.consumer))
        assert not watched_apps(actor_for(cast.stranger))


class TestFilters:
    def test_take_any_of_several_values(self, world: World) -> None:
        shown = report(group_by=["team"], filters={"team": ("team-ops", "strangers")})

        assert costs(shown) == {("strangers",): Decimal("0.80"), ("team-ops",): Decimal("0.37")}

    def test_of_several_dimensions_hold_at_once(self, world: World) -> None:
        shown = report(filters={"team": ("team-ops", "strangers"), "app": "fx"})

        assert shown.totals.cost == Decimal("0.01")

    def test_find_a_code_that_holds_a_slash(self, cast: Cast, world: World) -> None:
        world.people_team.cost_center.code = "EU/200"
        world.people_team.cost_center.save()

        assert report(filters={"cost_center": "EU/200"}).totals.cost == Decimal("0.40")
        assert report(filters={"cost_center": "demo/EU/200"}).totals.cost == Decimal("0.40")

    def test_refuse_more_values_than_finish(self, world: World) -> None:
        with pytest.raises(InvalidInput) as error:
            report(filters={"app": tuple(f"app-{number}" for number in range(51))})

        assert (error.value.field, error.value.limit) == ("app", "50")

    def test_show_creators_nothing_of_one_of_the_others_among_several(self, cast: Cast, world: World) -> None:
        assert seen_by(cast.creator, filters={"team": ("team-ops", "team-ux")}).rows == ()


class TestLatencies:
    def test_are_read_of_all_and_of_each_group(self, world: World) -> None:
        shown = report(group_by=["team"], latencies="groups")

        # told: 100, 201, 400 and 50 ms; the middles of their buckets are 99, 197, 395 and 50 or so
        assert shown.latency.events == 4
        assert shown.latency.p50 == 99
        assert shown.latency.p99 == 395
        assert {parts[0].id: one.events for parts, one in shown.latency_of.items()} == {
            "team-ops": 3,
            "strangers": 1,
        }

    def test_are_read_of_each_day(self, world: World) -> None:
        by_row = report(granularity="day", group_by=["app"], latencies="rows")
        by_day = report(granularity="day", group_by=["app"], latencies="stretches")

        assert [one.events for one in by_day.latency_over_time] == [1, 3]
        assert by_row.latency_over_time == by_day.latency_over_time

    def test_are_the_same_however_they_are_cut(self, world: World) -> None:
        cuts = [
            report(granularity=granularity, group_by=group_by, latencies="rows")
            for granularity in ("day", "week", "month", "total")
            for group_by in ([], ["team"], ["app", "key"])
        ]

        assert {tuple(sorted(one.latency.counts.items())) for one in cuts} == {
            tuple(sorted(report(latencies="groups").latency.counts.items()))
        }

    def test_are_only_of_what_somebody_may_see(self, cast: Cast, world: World) -> None:
        assert seen_by(cast.stranger, latencies="groups").latency.events == 1
        assert seen_by(cast.consumer, latencies="groups", filters={"app": "where2eat"}).latency.events == 2
        of_creator = seen_by(cast.creator, group_by=["team"], latencies="groups")
        assert {parts[0].label: one.events for parts, one in of_creator.latency_of.items()} == {
            "Other teams": 3
        }

    def test_of_the_period_before_stand_beside(self, world: World) -> None:
        shown = report(from_at=TODAY, granularity="day", latencies="stretches", compare="previous")

        assert shown.before is not None
        assert (shown.latency.events, shown.before.latency.events) == (3, 1)

    def test_are_kept_by_day_only(self, world: World) -> None:
        with pytest.raises(InvalidInput) as error:
            report(granularity="hour", latencies="rows")

        assert error.value.field == "granularity"
        assert "by day only" in error.value.errors[0].message

    def test_of_part_of_a_day_are_those_of_the_day(self, world: World) -> None:
        shown = report(from_at=TODAY.replace(hour=8), to_at=TODAY.replace(hour=9), latencies="groups")

        assert shown.totals.requests == 1
        assert shown.latency.events == 3
