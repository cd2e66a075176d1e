from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest
from django.test import Client
from pytest_django import DjangoAssertNumQueries

from marketplace.accounts.models import User
from metering import views
from metering.dashboards import views as boards_views
from metering.declared import compare
from metering.measures import Measures
from tests import factories
from tests.conftest import Cast
from tests.factories import NOW
from tests.metering.usage_world import World

BUDGET = 12


class Clock:
    """Noon of the day on which the world used most of what it did."""

    @staticmethod
    def now() -> datetime:
        return NOW


@pytest.fixture(autouse=True)
def _stop_the_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(views, "timezone", Clock)
    monkeypatch.setattr(boards_views, "timezone", Clock)


@pytest.fixture
def look(client: Client) -> Any:
    def get(person: User, path: str, **options: Any) -> Any:
        client.force_login(person)
        return client.get(path, **options)

    return get


def text(answer: Any) -> str:
    assert answer.status_code == 200, answer.status_code
    content: str = answer.content.decode()
    return content


class TestUsage:
    def test_shows_totals_groups_chart_and_a_way_to_the_file(
        self, cast: Cast, world: World, look: Any
    ) -> None:
        page = text(look(cast.finance, "/usage/?days=7"))

        assert "$1.57" in page
        assert "Where to eat" in page
        assert "in total: Where to eat $1.56, Exchange $0.01." in page
        assert "Show as table" in page
        assert (
            "/api/v1/usage?from=2026-11-09T00%3A00%3A00Z&amp;to=2026-11-16T00%3A00%3A00Z&amp;granularity=day"
            in page
        )

    def test_leads_from_a_group_to_what_it_is_made_of(self, cast: Cast, world: World, look: Any) -> None:
        page = text(look(cast.finance, "/usage/?days=7&group_by=team"))

        assert "?days=7&amp;group_by=app&amp;team=team-ops" in page

    def test_narrows_by_the_filters_of_the_address(self, cast: Cast, world: World, look: Any) -> None:
        page = text(look(cast.finance, "/usage/?days=7&group_by=&app=where2eat&team=team-ops"))

        assert "$0.36" in page

    def test_takes_days_that_were_chosen_both_included(self, cast: Cast, world: World, look: Any) -> None:
        page = text(look(cast.finance, "/usage/?first=2026-11-14&last=2026-11-14"))

        assert "$0.20" in page
        assert "$1.57" not in page

    def test_takes_instants_as_the_api_does(self, cast: Cast, world: World, look: Any) -> None:
        page = text(look(cast.finance, "/usage/?from=2026-11-14&to=2026-11-15&app=where2eat"))

        assert "$0.20" in page
        assert 'name="last" value="2026-11-14"' in page

    @pytest.mark.parametrize(
        ("query", "message"),
        [
            ("first=2026-11-14&last=2026-11-13", "The last day is before the first one."),
            ("first=soon", "Enter a valid date."),
            ("last=0001-01-01", "Choose a day from 2000-01-01"),
            ("first=2001-01-01&last=2026-11-14", "Choose at most 3600 days."),
            ("group_by=color", "Select a valid choice."),
            ("subscription=me", "is not an id of a subscription"),
        ],
    )
    def test_says_what_is_wrong_with_an_address(
        self, cast: Cast, world: World, look: Any, query: str, message: str
    ) -> None:
        assert message in text(look(cast.finance, f"/usage/?{query}"))

    @pytest.mark.parametrize("group", ["", "app", "key", "plan", "feature", "organization", "instance_type"])
    def test_shows_every_grouping(self, cast: Cast, world: World, look: Any, group: str) -> None:
        for person in (cast.finance, cast.creator, cast.consumer):
            text(look(person, f"/usage/?days=90&group_by={group}&measure=tokens"))

    def test_compares_with_the_period_before(self, cast: Cast, world: World, look: Any) -> None:
        page = text(
            look(cast.finance, "/usage/?first=2026-11-15&last=2026-11-15&group_by=team&compare=previous")
        )

        # team-ops: 0.17 on the 15th, 0.20 on the 14th until the same hour
        assert "-15\u202f%" in page
        assert ">New<" in page
        assert "compare=previous&amp;latency=" not in page
        assert "compare=previous" in page

    def test_draws_the_period_before_as_a_second_line(self, cast: Cast, world: World, look: Any) -> None:
        answer = look(cast.finance, "/usage/?days=7&group_by=&compare=previous")

        assert [one.label for one in answer.context["chart"].series] == ["Spend", "Before"]

    def test_takes_several_values_of_a_filter(self, cast: Cast, world: World, look: Any) -> None:
        at_once = text(look(cast.finance, "/usage/?days=7&team=team-ops,strangers"))
        repeated = text(look(cast.finance, "/usage/?days=7&team=team-ops&team=strangers"))

        for page in (at_once, repeated):
            assert "$1.17" in page
            assert "Operations, Team" in page
            assert "team=team-ops%2Cstrangers" in page

    def test_tells_percentiles_of_latency(self, cast: Cast, world: World, look: Any) -> None:
        page = text(look(cast.finance, "/usage/?days=7&group_by=app"))

        assert "99 ms" in page
        assert "p99 395 ms" in page

    def test_leads_to_the_page_of_what_it_is_about(self, cast: Cast, world: World, look: Any) -> None:
        assert 'href="/usage/teams/team-ops/"' in text(look(cast.finance, "/usage/?days=7&team=team-ops"))
        assert "Its page" not in text(look(cast.finance, "/usage/?days=7&team=team-ops&app=fx"))
        assert "Its page" not in text(look(cast.consumer, "/usage/?days=7&app=fx"))
        assert 'href="/usage/models/llm-8b/"' in text(look(cast.consumer, "/usage/?days=7&model=llm-8b"))

    def test_gives_htmx_the_report_alone(self, cast: Cast, world: World, look: Any) -> None:
        fragment = text(look(cast.finance, "/usage/", headers={"HX-Request": "true"}))

        assert "<html" not in fragment
        assert fragment.strip().startswith('<div id="usage"')

    def test_offers_no_team_or_key_of_others_to_creators(self, cast: Cast, world: World, look: Any) -> None:
        page = text(look(cast.creator, "/usage/?days=7&group_by=team"))

        assert "Other teams" in page
        assert "team-ops" not in page
        assert "CC-100" not in page

    def test_shows_the_stranger_their_own_use_only(self, cast: Cast, world: World, look: Any) -> None:
        page = text(look(cast.stranger, "/usage/?days=7&group_by=team"))

        assert "$0.80" in page
        assert "Operations" not in page

    def test_says_when_there_is_nothing(self, db: None, look: Any) -> None:
        assert "Nothing was used in these days" in text(look(factories.make_user(), "/usage/"))

    def test_asks_guests_to_sign_in(self, db: None, client: Client) -> None:
        assert client.get("/usage/").status_code == 302

    def test_keeps_to_its_budget_of_queries(
        self, cast: Cast, world: World, client: Client, django_assert_max_num_queries: DjangoAssertNumQueries
    ) -> None:
        client.force_login(cast.finance)

        with django_assert_max_num_queries(BUDGET):
            client.get("/usage/?days=90&group_by=subscription&app=where2eat&team=team-ops")


class TestAppSummary:
    PATH = "/usage/apps/where2eat/summary/"

    def test_shows_calls_and_spend_of_seven_days(self, cast: Cast, world: World, look: Any) -> None:
        fragment = text(look(cast.creator, self.PATH, headers={"HX-Request": "true"}))

        assert '<b class="num">4</b> calls' in fragment
        assert "$1.56" in fragment
        assert "sparkline" in fragment

    def test_leads_a_browser_to_the_page(self, cast: Cast, world: World, look: Any) -> None:
        assert look(cast.creator, self.PATH).headers["Location"] == "/usage/apps/where2eat/"

    def test_is_not_for_subscribers_and_strangers(self, cast: Cast, world: World, look: Any) -> None:
        assert look(cast.consumer, self.PATH).status_code == 404
        assert look(cast.stranger, self.PATH).status_code == 404


class TestAppUsage:
    PATH = "/usage/apps/where2eat/"

    def test_compares_cost_with_what_was_declared(self, cast: Cast, world: World, look: Any) -> None:
        # The version is listed: its declared cost is not among what may not change any more.
        world.app.versions.update(declared_cost_per_call=Decimal("0.26"))

        page = text(look(cast.creator, self.PATH))

        # 1.56 for 4 calls: 390 for a thousand, where 260 were declared
        assert "$390.00" in page
        assert "$260.00 declared" in page
        assert "A call costs 50\u202f% more than declared" in page

    def test_shows_tokens_by_class(self, cast: Cast, world: World, look: Any) -> None:
        page = text(look(cast.creator, self.PATH))

        assert "7,500,000" in page
        assert "100,000" in page

    def test_is_not_for_subscribers_and_strangers(self, cast: Cast, world: World, look: Any) -> None:
        assert look(cast.consumer, self.PATH).status_code == 404
        assert look(cast.stranger, self.PATH).status_code == 404

    def test_keeps_to_its_budget_of_queries(
        self, cast: Cast, world: World, client: Client, django_assert_max_num_queries: DjangoAssertNumQueries
    ) -> None:
        client.force_login(cast.creator)

        with django_assert_max_num_queries(BUDGET):
            client.get(self.PATH)


class TestSubscriptionUsage:
    def test_shows_thirty_days(self, cast: Cast, world: World, look: Any) -> None:
        path = f"/usage/subscriptions/{world.subscription.pk}/"

        fragment = text(look(cast.consumer, path, headers={"HX-Request": "true"}))

        assert "$0.36" in fragment
        assert "<html" not in fragment
        assert "<html" in text(look(cast.consumer, path))

    def test_is_not_for_the_apps_creator_or_the_stranger(self, cast: Cast, world: World, look: Any) -> None:
        path = f"/usage/subscriptions/{world.subscription.pk}/"

        assert look(cast.creator, path).status_code == 404
        assert look(cast.stranger, path).status_code == 404

    def test_keeps_to_its_budget_of_queries(
        self, cast: Cast, world: World, client: Client, django_assert_max_num_queries: DjangoAssertNumQueries
    ) -> None:
        client.force_login(cast.consumer)

        with django_assert_max_num_queries(BUDGET):
            client.get(f"/usage/subscriptions/{world.subscription.pk}/")


class TestCompare:
    def test_projects_calls_to_a_month_and_says_what_is_over(self) -> None:
        version = factories.Version(declared_cost_per_call=Decimal("0.10"), expected_monthly_calls=1000)

        compared = compare(Measures(requests=700, cost=Decimal("84")), version=version, days=7)

        # 84 / 700 = 0.12 a call; 700 in 7 days are 3,000 in 30
        assert compared.cost_per_1000 == Decimal(120)
        assert compared.cost_over == Decimal("0.2")
        assert not compared.costs_more
        assert compared.monthly_calls == 3000
        assert compared.is_called_more

    def test_says_nothing_without_a_declaration_or_usage(self) -> None:
        compared = compare(Measures(), version=None, days=30)

        assert (compared.cost_over, compared.calls_over, compared.costs_more) == (None, None, False)
