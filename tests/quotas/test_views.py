from decimal import Decimal
from typing import Any

import pytest
from django.test import Client
from pytest_django import DjangoAssertNumQueries

from marketplace.accounts.models import User
from quotas.models import Limit, LimitCounter
from tests import factories
from tests.conftest import Cast
from tests.factories import LONG_AGO
from tests.metering.usage_world import World

BUDGET = 12
FRAGMENT = {"HX-Request": "true"}


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


def team_limit(cast: Cast, value: str = "100", **fields: Any) -> Limit:
    values: dict[str, Any] = {"measure": "concurrency", "window": "minute", "starts_at": LONG_AGO}
    return Limit.objects.create(team=cast.consumer_team, limit_value=Decimal(value), **values | fields)


def count(limit: Limit, *, spent: str, held: str = "0") -> None:
    LimitCounter.objects.create(
        limit=limit,
        window_starts_at="2000-01-01T00:00Z",
        window_ends_at="9999-01-01T00:00Z",
        is_hard=True,
        ceiling=limit.limit_value,
        spent=Decimal(spent),
        held=Decimal(held),
    )


class TestLimitsOf:
    def test_shows_meters_with_words(self, cast: Cast, look: Any) -> None:
        count(team_limit(cast), spent="90", held="6")

        fragment = text(look(cast.consumer, f"/limits/team/{cast.consumer_team.pk}/", headers=FRAGMENT))

        assert "<html" not in fragment
        assert "Calls at a time" in fragment
        assert "90 of 100" in fragment
        assert "96 % taken" in fragment
        assert "6 held by calls under way" in fragment
        assert "nearly used up" in fragment

    def test_renews_itself_and_is_a_page_for_browsers(self, cast: Cast, look: Any) -> None:
        page = text(look(cast.consumer, "/limits/team/team-ops/"))

        assert "<html" in page
        assert 'hx-trigger="every 10s"' in page

    def test_says_when_each_window_starts_anew(self, cast: Cast, world: World, look: Any) -> None:
        fragment = text(
            look(cast.consumer, f"/limits/subscription/{world.subscription.pk}/", headers=FRAGMENT)
        )

        assert "Calls a day" in fragment
        assert "resets in " in fragment

    def test_tells_which_other_limit_refuses_before(self, cast: Cast, world: World, look: Any) -> None:
        team_limit(cast, "3", measure="requests", window="day")

        fragment = text(
            look(cast.consumer, f"/limits/subscription/{world.subscription.pk}/", headers=FRAGMENT)
        )

        assert "Team Operations is tighter." in fragment

    def test_shows_the_rest_of_the_chain(self, cast: Cast, world: World, look: Any) -> None:
        team_limit(cast, "3", measure="cost", window="month", currency="USD")

        fragment = text(
            look(cast.consumer, f"/limits/subscription/{world.subscription.pk}/", headers=FRAGMENT)
        )

        assert "Team Operations: cost a month" in fragment
        assert "1 more limit counts" in fragment
        assert "$3.00" in fragment

    def test_says_in_few_words_where_a_limit_comes_from(self, cast: Cast, world: World, look: Any) -> None:
        team_limit(cast, "3", measure="requests", window="day", mode="warn", note="trial run")

        fragment = text(look(cast.consumer, "/limits/team/team-ops/", headers=FRAGMENT))

        assert "<span>counts only, trial run</span>" in fragment

    def test_is_not_there_for_the_stranger(self, cast: Cast, world: World, look: Any) -> None:
        for path in (
            f"subscription/{world.subscription.pk}",
            "team/team-ops",
            "app/where2eat",
            "organization/demo",
        ):
            assert look(cast.stranger, f"/limits/{path}/").status_code == 404

    def test_keeps_to_its_budget_of_queries(
        self, cast: Cast, world: World, client: Client, django_assert_max_num_queries: DjangoAssertNumQueries
    ) -> None:
        client.force_login(cast.consumer)

        with django_assert_max_num_queries(BUDGET):
            client.get(f"/limits/subscription/{world.subscription.pk}/")


class TestAllLimits:
    def test_shows_the_fullest_first(self, cast: Cast, world: World, look: Any) -> None:
        count(team_limit(cast), spent="100")

        page = text(look(cast.operator, "/limits/"))

        assert "Refusing" in page
        assert page.index("Operations") < page.index("Where to eat for")

    def test_filters(self, cast: Cast, world: World, look: Any) -> None:
        count(team_limit(cast, note="tests"), spent="85")

        for query in ("kind=team", "measure=concurrency", "show=full", "show=set"):
            page = text(look(cast.operator, f"/limits/?{query}"))
            assert "Calls at a time</td>" in page.replace("<small>tests</small>", "")
            assert "Where to eat for" not in page
        assert "No limits like that" in text(look(cast.operator, "/limits/?kind=key"))
        assert "Where to eat for" in text(look(cast.operator, "/limits/?kind=nonsense"))

    def test_shows_the_stranger_their_own_only(self, cast: Cast, world: World, look: Any) -> None:
        page = text(look(cast.stranger, "/limits/"))

        assert str(world.stranger_subscription.pk) in page
        assert "Operations" not in page

    def test_keeps_to_its_budget_of_queries(
        self, cast: Cast, world: World, client: Client, django_assert_max_num_queries: DjangoAssertNumQueries
    ) -> None:
        for _ in range(5):
            factories.make_subscription(factories.make_listed_app(cast.creator_team), cast.consumer_team)
        for person in (cast.operator, cast.consumer):
            client.force_login(person)
            with django_assert_max_num_queries(BUDGET):
                client.get("/limits/")


class TestSetLimit:
    PATH = "/limits/team/team-ops/set/"
    TYPED = {"measure": "cost", "window": "month", "limit": "25.50", "mode": "hard", "note": "Trial month"}

    def test_sets_what_was_typed(self, cast: Cast, client: Client) -> None:
        client.force_login(cast.operator)

        answer = client.post(self.PATH, self.TYPED)

        limit = Limit.objects.get(team=cast.consumer_team)
        assert (limit.limit_value, limit.currency, limit.note) == (Decimal("25.50"), "USD", "Trial month")
        assert answer.headers["Location"] == f"/limits/team/{cast.consumer_team.pk}/"

    @pytest.mark.parametrize(
        ("typed", "message"),
        [
            ({"limit": ""}, "This field is required."),
            ({"limit": "1.5", "measure": "requests"}, "it must be a whole number"),
            ({"last_day": "2001-01-01"}, "must be after the start"),
        ],
    )
    def test_says_what_is_wrong_and_keeps_what_was_typed(
        self, cast: Cast, client: Client, typed: dict[str, str], message: str
    ) -> None:
        client.force_login(cast.operator)

        page = text(client.post(self.PATH, self.TYPED | typed))

        assert message in page
        assert "Trial month" in page
        assert not Limit.objects.filter(team=cast.consumer_team).exists()

    def test_shows_the_form_to_those_who_may(self, cast: Cast, world: World, look: Any) -> None:
        text(look(cast.operator, self.PATH))
        assert "You may tighten limits here" in text(look(cast.creator, "/limits/app/where2eat/set/"))

    def test_is_not_for_members_and_strangers(self, cast: Cast, client: Client) -> None:
        for person, status in ((cast.consumer, 403), (cast.stranger, 404)):
            client.force_login(person)
            assert client.post(self.PATH, self.TYPED).status_code == status
        assert not Limit.objects.filter(team=cast.consumer_team).exists()


class TestEndLimit:
    def test_ends_it(self, cast: Cast, client: Client) -> None:
        limit = team_limit(cast)
        client.force_login(cast.operator)

        client.post(f"/limits/{limit.pk}/end/")

        limit.refresh_from_db()
        assert limit.ends_at is not None

    def test_offers_it_to_those_who_may(self, cast: Cast, look: Any) -> None:
        limit = team_limit(cast)

        assert f"/limits/{limit.pk}/end/" in text(look(cast.operator, "/limits/team/team-ops/"))
        assert f"/limits/{limit.pk}/end/" not in text(look(cast.consumer, "/limits/team/team-ops/"))

    def test_is_not_for_members_and_strangers(self, cast: Cast, client: Client) -> None:
        limit = team_limit(cast)
        for person, status in ((cast.consumer, 403), (cast.stranger, 404)):
            client.force_login(person)
            assert client.post(f"/limits/{limit.pk}/end/").status_code == status

        limit.refresh_from_db()
        assert limit.ends_at is None


class TestWhy:
    def test_shows_the_chain_and_a_sentence(self, cast: Cast, world: World, look: Any) -> None:
        count(team_limit(cast), spent="90", held="6")

        page = text(look(cast.consumer, f"/limits/subscription/{world.subscription.pk}/why/"))

        assert "Calls are admitted: nearest to its end is calls at a time of team Operations" in page
        assert page.index("Demo Company") < page.index(">CC-100") < page.index(">Operations</a>")
        assert "Binds now" in page
        assert "Next" in page

    def test_asks_about_a_class_of_models(self, cast: Cast, world: World, look: Any) -> None:
        count(team_limit(cast, model_class="large"), spent="100")
        path = f"/limits/subscription/{world.subscription.pk}/why/"

        assert "Calls are refused" in text(look(cast.consumer, path))
        assert "Calls are admitted" in text(look(cast.consumer, f"{path}?model_class=small"))

    def test_takes_few_queries(
        self, cast: Cast, world: World, client: Client, django_assert_max_num_queries: DjangoAssertNumQueries
    ) -> None:
        client.force_login(cast.consumer)
        for window in ("day", "month"):
            team_limit(cast, measure="tokens", window=window)

        # One for each owner of the chain, beside session, person, notices and limits.
        with django_assert_max_num_queries(BUDGET + 4):
            client.get(f"/limits/subscription/{world.subscription.pk}/why/")

    def test_does_not_exist_for_a_stranger(self, cast: Cast, world: World, look: Any) -> None:
        path = f"/limits/subscription/{world.subscription.pk}/why/"

        assert look(cast.stranger, path).status_code == 404


class TestHistory:
    def test_stands_on_the_page_of_the_owner(self, cast: Cast, client: Client) -> None:
        client.force_login(cast.operator)
        terms = {
            "measure": "requests",
            "window": "day",
            "limit": "500",
            "mode": "hard",
            "note": "trial month",
        }
        client.post("/limits/team/team-ops/set/", terms)
        client.post("/limits/team/team-ops/set/", terms | {"limit": "5000", "note": "went well"})

        page = text(client.get("/limits/team/team-ops/"))

        assert "Changed: calls a day" in page
        assert "limit: 500 → 5,000" in page
        assert "went well" in page
        assert "by operator@demo.example" in page


class TestForm:
    def test_schedules_a_limit_in_its_time_zone(self, cast: Cast, client: Client) -> None:
        client.force_login(cast.operator)

        answer = client.post(
            "/limits/team/team-ops/set/",
            {
                "measure": "tokens",
                "window": "day",
                "limit": "500",
                "mode": "hard",
                "model_class": "large",
                "time_zone": "Europe/Berlin",
                "first_day": "2099-01-01",
                "last_day": "2099-06-30",
                "note": "trial",
            },
            follow=True,
        )

        assert "The limit holds from 1 January 2099 on." in text(answer)
        limit = Limit.objects.get(team=cast.consumer_team)
        assert (limit.model_class, limit.time_zone) == ("large", "Europe/Berlin")
        # Midnight in Berlin: an hour before that of UTC in winter, two in summer.
        assert limit.starts_at.isoformat() == "2098-12-31T23:00:00+00:00"
        assert limit.ends_at is not None
        assert limit.ends_at.isoformat() == "2099-06-30T22:00:00+00:00"
        assert "Tokens of large models a day" in text(answer)

    def test_names_a_time_zone_that_there_is_not(self, cast: Cast, client: Client) -> None:
        client.force_login(cast.operator)
        terms = {"measure": "requests", "window": "day", "limit": "5", "mode": "hard", "note": "trial"}

        page = text(client.post("/limits/team/team-ops/set/", terms | {"time_zone": "Berlin"}))

        assert "is not an IANA time zone" in page
