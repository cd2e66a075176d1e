from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.test import Client
from msgspec.structs import replace
from pytest_django import DjangoAssertNumQueries

from marketplace.accounts.access import actor_for
from marketplace.accounts.models import User
from marketplace.core.errors import NotFound
from metering import ingest
from metering.dashboards import audiences, boards, drawing, tabs, views
from metering.dashboards.boards import Board
from metering.scopes import EVERYTHING
from tests import factories
from tests.conftest import Cast
from tests.factories import NOW
from tests.metering.test_views import BUDGET, Clock, text
from tests.metering.usage_world import TODAY, World, used

TEAM = "/usage/teams/demo/team-ops/"
COST_CENTER = "/usage/cost-centers/demo/CC-200/"
MODEL = "/usage/models/llm-8b/"
PLATFORM = "/usage/platform/"
APP = "/usage/apps/where2eat/"


@pytest.fixture(autouse=True)
def _stop_the_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(views, "timezone", Clock)


@pytest.fixture
def look(client: Client) -> Any:
    def get(person: User, path: str, **options: Any) -> Any:
        client.force_login(person)
        return client.get(path, **options)

    return get


def board(**asked: Any) -> Board:
    values: dict[str, Any] = {
        "by": "team",
        "filters": {},
        "visible": EVERYTHING,
        "at": NOW,
        "usual_currency": "USD",
    }
    return boards.ask(**values | asked)


class TestAsk:
    def test_puts_thirty_days_beside_as_long_a_time_before(self, world: World) -> None:
        shown = board().report

        assert (shown.from_at, shown.to_at) == (
            datetime(2026, 10, 17, tzinfo=UTC),
            datetime(2026, 11, 15, 13, tzinfo=UTC),
        )
        assert shown.before is not None
        assert shown.to_at - shown.from_at == shown.before.to_at - shown.before.from_at

    def test_asks_five_queries(self, world: World, django_assert_num_queries: DjangoAssertNumQueries) -> None:
        with django_assert_num_queries(5):
            board()

    def test_ranks_and_says_who_climbed(self, world: World) -> None:
        long_ago = NOW - timedelta(days=33)
        ingest.record(
            [
                used(world.people_subscription, "p", at=long_ago, input_tokens=9_000_000),
                used(world.subscription, "o", at=long_ago, input_tokens=1_000_000),
            ],
            at=NOW,
        )

        ranked = board().ranked

        assert [(one.row.parts[0].id, one.place, one.place_before, one.climbed) for one in ranked] == [
            ("strangers", 1, None, 0),
            ("team-people", 2, 1, -1),
            ("team-ops", 3, 2, -1),
        ]
        assert sum(one.share or Decimal(0) for one in ranked) == pytest.approx(
            Decimal(1), abs=Decimal("1e-20")
        )

    def test_folds_what_is_beyond_the_top_into_one_row(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(boards, "TOP", 1)

        shown = board()

        assert shown.others is not None
        assert shown.others.parts[0].label == "2 more"
        assert shown.top[0].row.now.cost + shown.others.now.cost == shown.total.now.cost == Decimal("1.57")

    def test_of_several_currencies_shows_the_usual_one_and_offers_the_others(
        self, cast: Cast, world: World
    ) -> None:
        factories.make_model("llm-eu", currency="EUR")
        ingest.record(
            [replace(used(world.subscription, "eu", at=TODAY, input_tokens=1_000_000), model="llm-eu")],
            at=NOW,
        )

        shown = board()

        assert (shown.report.currency, shown.currencies) == ("USD", ("EUR", "USD"))
        assert board(currency="EUR").total.now.cost == Decimal("0.20")

    def test_forecasts_no_month_that_it_does_not_reach_back_to(self, world: World) -> None:
        last = datetime(2026, 10, 31, 12, tzinfo=UTC)
        ingest.record(
            [
                used(world.subscription, f"o{day}", at=last - timedelta(days=day), input_tokens=1)
                for day in range(1, 29)
            ],
            at=NOW,
        )

        assert board(at=last - timedelta(days=1)).forecast is not None
        assert board(at=last).forecast is None


class TestDrawing:
    def test_draws_a_forecast_from_today_on(self, world: World) -> None:
        ingest.record(
            [
                used(world.subscription, f"d{day}", at=NOW - timedelta(days=day), input_tokens=1_000_000)
                for day in range(1, 29)
            ],
            at=NOW,
        )

        shown = board()
        chart = drawing.charts(shown, currency="USD")["spend"]

        # 30 days to today, the 15th, and 15 to come
        assert len(chart.rows) == 45
        assert chart.series[0].estimate_path
        figure = drawing.month_end(shown, currency="USD")
        assert figure is not None
        # before today 14 x 0.20 and 0.20 of the 14th; 1.37 today; 15 x 0.20 to come, of which two Saturdays may be 0.40
        assert figure.value == "$7.37"
        assert figure.hint == "between $7.37 and $7.77"

    def test_stacks_tokens_by_class_without_counting_twice(self, world: World) -> None:
        ingest.record(
            [
                used(
                    world.subscription, "c", at=TODAY,
                    input_tokens=100, cached_input_tokens=30, cache_write_tokens=20, output_tokens=50, reasoning_tokens=10,
                )
            ],
            at=NOW,
        )  # fmt: skip

        chart = drawing.charts(board(), currency="USD")["tokens"]

        assert [one.label for one in chart.series] == [
            "Input",
            "Cached input",
            "Cache write",
            "Output",
            "Reasoning",
        ]
        # 7,550,000 + 50, 30, 20, 100,000 + 40, 10: in all 7,650,150
        assert chart.totals == ("7,550,050", "30", "20", "100,040", "10")


class TestAudiences:
    def test_find_by_name_and_by_name_with_organization(self, cast: Cast) -> None:
        visible = audiences.teams(actor_for(cast.finance))

        assert audiences.find(visible, "team-ops", field="slug") == cast.consumer_team
        assert audiences.find(visible, "demo/team-ops", field="slug") == cast.consumer_team
        for name in ("other/team-ops", "nobody", "demo/"):
            with pytest.raises(NotFound):
                audiences.find(visible, name, field="slug")

    def test_find_nothing_where_two_have_the_name(self, cast: Cast) -> None:
        factories.make_team(cast.stranger_team.organization, slug="team-ops")

        with pytest.raises(NotFound):
            audiences.find(audiences.teams(actor_for(cast.finance)), "team-ops", field="slug")


class TestPages:
    @pytest.mark.parametrize(
        ("path", "roles"),
        [
            (PLATFORM, {"finance", "operator"}),
            (TEAM, {"finance", "operator", "approver", "consumer"}),
            (COST_CENTER, {"finance", "operator", "approver"}),
            (APP, {"finance", "operator", "approver", "creator"}),
            (MODEL, {"finance", "operator", "approver", "creator", "consumer", "stranger"}),
        ],
    )
    def test_are_for_those_who_may_see_all_of_it(
        self, cast: Cast, world: World, look: Any, path: str, roles: set[str]
    ) -> None:
        people = ("creator", "consumer", "approver", "finance", "operator", "stranger")

        found = {name: look(getattr(cast, name), path).status_code for name in people}

        refused = 403 if path == PLATFORM else 404
        assert found == {name: 200 if name in roles else refused for name in people}

    @pytest.mark.parametrize("path", [PLATFORM, TEAM, COST_CENTER, APP, MODEL])
    def test_ask_guests_to_sign_in(self, world: World, client: Client, path: str) -> None:
        assert client.get(path).status_code == 302

    @pytest.mark.parametrize(
        ("path", "cost"),
        [(PLATFORM, "1.57"), (TEAM, "0.37"), (COST_CENTER, "0.40"), (APP, "1.56"), (MODEL, "1.57")],
    )
    def test_total_what_the_api_totals(
        self, cast: Cast, world: World, look: Any, path: str, cost: str
    ) -> None:
        answer = look(cast.finance, path)
        shown: Board = answer.context["board"]
        asked = {"from": "2026-10-17", "to": "2026-11-15T13:00:00Z", "granularity": "total"}
        filters = {
            TEAM: {"team": "demo/team-ops"},
            COST_CENTER: {"cost_center": "demo/CC-200"},
            APP: {"app": "where2eat"},
            MODEL: {"model": "llm-8b"},
        }.get(path, {})

        said = look(cast.finance, "/api/v1/usage", data=asked | filters | {"compare": "previous"}).json()

        assert (
            str(shown.total.now.cost.normalize()) == str(Decimal(cost).normalize()) == said["totals"]["cost"]
        )
        assert sum(one.row.now.cost for one in shown.ranked) == Decimal(cost)
        assert f"${Decimal(cost)}" in text(answer)

    @pytest.mark.parametrize(
        ("path", "by"),
        [
            (PLATFORM, ("app", "team", "cost_center", "model", "organization")),
            (TEAM, ("app", "model", "subscription", "key", "environment")),
            (COST_CENTER, ("team", "app", "model", "subscription", "environment")),
            (APP, ("model", "plan", "environment", "instance_type", "feature")),
            (MODEL, ("app", "team", "environment", "nonsense")),
        ],
    )
    def test_keep_to_their_budget_of_queries(
        self, cast: Cast, world: World, look: Any, path: str, by: tuple[str, ...],
        django_assert_max_num_queries: DjangoAssertNumQueries, client: Client,
    ) -> None:  # fmt: skip
        client.force_login(cast.finance)
        for one in by:
            with django_assert_max_num_queries(BUDGET):
                assert client.get(f"{path}?by={one}").status_code == 200

    def test_show_an_owner_what_is_booked_on_their_cost_center(
        self, cast: Cast, world: World, look: Any
    ) -> None:
        owner = world.people_team.cost_center.owner

        assert "$0.40" in text(look(owner, COST_CENTER))
        assert look(owner, "/usage/cost-centers/demo/CC-100/").status_code == 404

    def test_show_finance_of_an_organization_its_own(self, cast: Cast, world: World, look: Any) -> None:
        treasurer = factories.make_user()
        factories.join(treasurer, None, "finance", organization=cast.stranger_team.organization)

        assert "$0.80" in text(look(treasurer, "/usage/teams/other/strangers/"))
        assert look(treasurer, TEAM).status_code == 404
        assert look(treasurer, PLATFORM).status_code == 403

    def test_of_a_model_show_only_ones_own_usage(self, cast: Cast, world: World, look: Any) -> None:
        page = text(look(cast.stranger, f"{MODEL}?by=team"))

        assert "$0.80" in page
        assert "$1.57" not in page
        assert "Operations" not in page

    def test_of_the_platform_lead_to_pages_of_their_own(self, cast: Cast, world: World, look: Any) -> None:
        assert f'href="{APP}"' in text(look(cast.finance, PLATFORM))
        assert 'href="/usage/teams/team-ops/"' in text(look(cast.finance, f"{PLATFORM}?by=team"))
        assert 'href="/usage/cost-centers/CC-200/"' in text(look(cast.finance, f"{PLATFORM}?by=cost_center"))

    def test_of_a_team_lead_to_what_a_number_is_made_of(self, cast: Cast, world: World, look: Any) -> None:
        page = text(look(cast.consumer, TEAM))

        assert "team=demo%2Fteam-ops&amp;app=fx" in page

    @pytest.mark.parametrize(("path", "kind"), [(TEAM, "team"), (COST_CENTER, "cost_center"), (APP, "app")])
    def test_show_limits_beside(self, cast: Cast, world: World, look: Any, path: str, kind: str) -> None:
        assert f'hx-get="/limits/{kind}/' in text(look(cast.finance, path))

    def test_say_when_there_is_nothing(self, cast: Cast, look: Any) -> None:
        assert "No calls in the last 30 days" in text(look(cast.finance, PLATFORM))

    def test_tell_several_currencies(self, cast: Cast, world: World, look: Any) -> None:
        factories.make_model("llm-eu", currency="EUR")
        ingest.record(
            [replace(used(world.subscription, "eu", at=TODAY, input_tokens=1_000_000), model="llm-eu")],
            at=NOW,
        )

        assert "?currency=EUR" in text(look(cast.finance, PLATFORM))
        in_euro = text(look(cast.finance, f"{PLATFORM}?currency=EUR"))
        assert "€0.20" in in_euro
        assert "?currency=USD" in in_euro


class TestSections:
    def test_of_operators_have_the_platform(self, cast: Cast) -> None:
        labels = [one["label"] for one in tabs.sections(actor_for(cast.operator), current="platform")]

        assert labels == ["Explore", "Platform", "Against limits", "Saved and mailed"]

    def test_of_consumers_have_their_teams(self, cast: Cast) -> None:
        found = tabs.sections(actor_for(cast.consumer), current="explore")

        assert [(one["label"], one["url"], one["is_current"]) for one in found] == [
            ("Explore", "/usage/", True),
            ("Operations", TEAM, False),
            ("Against limits", "/usage/limits/", False),
            ("Saved and mailed", "/usage/saved/", False),
        ]
