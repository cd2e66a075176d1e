from datetime import timedelta
from decimal import Decimal

from django.db.models import Q

from metering import hourly
from metering.cause_split import Used
from metering.queries import usage
from metering.scopes import EVERYTHING
from tests.factories import NOW
from tests.metering.usage_world import World

DAY = timedelta(days=1)


class TestHourly:
    def test_sums_by_app_without_the_sandbox(self, world: World) -> None:
        (found,) = hourly.hourly(ends_at=NOW, hours=48)

        assert (found.app_id, found.currency) == (world.app.pk, "USD")
        # From 11 to 12 on the 15th 0.16 and 0.40, from 9 to 10 0.80, on the 14th 0.20.
        assert found.cost.window(0, 1) == Decimal("0.56")
        assert found.cost.window(2, 1) == Decimal("0.80")
        assert found.cost.window(0, 48) == Decimal("1.56")
        assert found.requests.window(0, 48) == 4

    def test_says_what_usage_says(self, world: World) -> None:
        (found,) = hourly.hourly(ends_at=NOW, hours=24)
        report = usage(
            from_at=NOW - DAY, to_at=NOW, filters={"app": world.app.slug, "environment": "production"},
            visible=EVERYTHING,
        )  # fmt: skip

        assert found.cost.window(0) == report.totals.cost

    def test_is_of_some_apps(self, world: World) -> None:
        assert hourly.hourly(ends_at=NOW, hours=48, app_ids=[world.other_app.pk]) == []


class TestByModel:
    def test_counts_tokens_as_units(self, world: World) -> None:
        found = hourly.by_model(world.app.pk, currency="USD", from_at=NOW - DAY, to_at=NOW)

        # 0.6, 2 and 4 million tokens.
        assert found == {"llm-8b": Used(Decimal(3), Decimal(6_600_000), Decimal("1.36"))}


class TestPayers:
    def test_tell_who_paid_what(self, world: World) -> None:
        found = hourly.payers(world.app.pk, currency="USD", from_at=NOW - DAY, to_at=NOW)

        of_team = {one.team_id: one.cost for one in found}
        assert of_team[world.subscription.team_id] == Decimal("0.16")
        assert of_team[world.people_team.pk] == Decimal("0.40")


class TestCost:
    def test_sums_what_the_condition_finds(self, world: World) -> None:
        where = Q(attribution__team=world.people_team)

        assert hourly.cost(where, currency="USD", from_at=NOW - DAY, to_at=NOW) == Decimal("0.40")
        assert hourly.cost(where, currency="EUR", from_at=NOW - DAY, to_at=NOW) == 0
