from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from pytest_django import DjangoAssertNumQueries

from marketplace.accounts.access import Actor, actor_for
from marketplace.accounts.models import User
from marketplace.core.errors import InvalidInput, NotFound
from quotas import queries
from quotas.models import Limit, LimitCounter
from quotas.owners import Owner, find_owner, owner_of, visible_limits
from tests import factories
from tests.conftest import Cast
from tests.factories import LONG_AGO, NOW
from tests.metering.usage_world import World

MONTH = datetime(2026, 11, 1, tzinfo=UTC)


def make_limit(owner: Any, kind: str, value: str, **fields: Any) -> Limit:
    values: dict[str, Any] = {"measure": "requests", "window": "month", "starts_at": LONG_AGO}
    return Limit.objects.create(**{kind: owner}, limit_value=Decimal(value), **values | fields)


def count(
    limit: Limit, *, spent: str = "0", held: str = "0", overrun: str = "0", at: datetime = MONTH
) -> None:
    LimitCounter.objects.create(
        limit=limit,
        window_starts_at=at,
        window_ends_at=(at + timedelta(days=32)).replace(day=1),
        is_hard=True,
        ceiling=limit.limit_value,
        spent=Decimal(spent),
        held=Decimal(held),
        overrun=Decimal(overrun),
    )


def person(cast: Cast, name: str) -> Actor:
    found: User = getattr(cast, name)
    return actor_for(found)


class TestLimitsOf:
    def test_tells_what_is_used_held_and_left(self, cast: Cast) -> None:
        limit = make_limit(cast.consumer_team, "team", "100")
        count(limit, spent="60", held="5", overrun="15")

        (one,) = queries.limits_of("team", cast.consumer_team.pk, at=NOW)

        assert (one.spent, one.held, one.overrun) == (60, 5, 15)
        assert (one.used, one.taken, one.remaining, one.percent) == (75, 80, 20, 80)
        assert one.resets_at == datetime(2026, 12, 1, tzinfo=UTC)

    def test_counts_nothing_before_the_first_call_of_a_window(self, cast: Cast) -> None:
        limit = make_limit(cast.consumer_team, "team", "100")
        count(limit, spent="100", at=datetime(2026, 10, 1, tzinfo=UTC))

        (one,) = queries.limits_of("team", cast.consumer_team.pk, at=NOW)

        assert (one.used, one.remaining, one.percent) == (0, 100, 0)

    def test_stays_at_a_hundred_percent_of_nothing(self, cast: Cast) -> None:
        make_limit(cast.consumer_team, "team", "0")

        assert queries.limits_of("team", cast.consumer_team.pk, at=NOW)[0].percent == 100

    def test_leaves_out_what_ended_and_marks_what_waits(self, cast: Cast) -> None:
        make_limit(cast.consumer_team, "team", "1", ends_at=NOW)
        make_limit(cast.consumer_team, "team", "2", starts_at=NOW + timedelta(days=1))

        (one,) = queries.limits_of("team", cast.consumer_team.pk, at=NOW)

        assert (one.limit.limit_value, one.is_in_force) == (2, False)

    def test_has_no_reset_for_calls_at_a_time(self, cast: Cast) -> None:
        make_limit(cast.consumer_team, "team", "3", measure="concurrency", window="minute")

        assert queries.limits_of("team", cast.consumer_team.pk, at=NOW)[0].resets_at is None

    def test_is_one_query(
        self, cast: Cast, world: World, django_assert_num_queries: DjangoAssertNumQueries
    ) -> None:
        with django_assert_num_queries(1):
            shown = queries.limits_of("subscription", world.subscription.pk, at=NOW)
            assert [one.owner.label for one in shown] == ["Where to eat for Operations"] * 2


class TestEffective:
    def test_picks_the_limit_with_the_least_left_of_the_chain(self, cast: Cast, world: World) -> None:
        # The plan gives 20,000 a month; the company has 400 of 1,000 left, the app 500 of 500.
        company = make_limit(cast.company, "organization", "1000")
        count(company, spent="600")
        make_limit(world.app, "app", "500")

        tightest = queries.effective(owner_of("subscription", world.subscription), at=NOW)

        binding = tightest["requests", "month", ""]
        assert (binding.owner.kind, binding.owner.id, binding.remaining) == ("organization", "demo", 400)
        assert tightest["requests", "day", ""].owner.kind == "subscription"

    def test_prefers_a_hard_limit_over_one_that_only_warns(self, cast: Cast, world: World) -> None:
        make_limit(cast.consumer_team, "team", "1", mode="warn")

        tightest = queries.effective(owner_of("subscription", world.subscription), at=NOW)

        assert tightest["requests", "month", ""].limit.mode == "hard"

    def test_counts_the_sandbox_apart(self, cast: Cast, world: World) -> None:
        make_limit(cast.consumer_team, "team", "1")
        sandbox = factories.make_subscription(world.app, cast.consumer_team, environment="sandbox")

        tightest = queries.effective(owner_of("subscription", sandbox), at=NOW)

        assert list(tightest) == [("cost", "month", "")]

    def test_looks_at_the_subscription_of_a_key(self, cast: Cast, world: World) -> None:
        make_limit(world.key, "key", "7")
        owner = find_owner(person(cast, "consumer"), "key", str(world.key.pk))

        tightest = queries.effective(owner, at=NOW)

        assert tightest["requests", "month", ""].owner.kind == "key"
        assert tightest["requests", "day", ""].owner.kind == "subscription"

    def test_is_one_query(
        self, cast: Cast, world: World, django_assert_num_queries: DjangoAssertNumQueries
    ) -> None:
        owner = find_owner(person(cast, "consumer"), "subscription", str(world.subscription.pk))

        with django_assert_num_queries(1):
            queries.effective(owner, at=NOW)


class TestFindOwner:
    def test_finds_each_kind_by_its_name_and_by_number(self, cast: Cast, world: World) -> None:
        names = {
            "organization": ("demo", cast.company),
            "cost_center": ("CC-100", cast.cost_center),
            "team": ("team-ops", cast.consumer_team),
            "app": ("where2eat", world.app),
            "subscription": (str(world.subscription.pk), world.subscription),
            "key": (str(world.key.pk), world.key),
        }

        for kind, (name, instance) in names.items():
            for id_ in (name, str(instance.pk)):
                found: Owner = find_owner(person(cast, "operator"), kind, id_)
                assert (found.pk, found.id) == (instance.pk, name)

    def test_asks_which_when_two_organizations_use_a_name(self, cast: Cast) -> None:
        factories.make_team(cast.stranger_team.organization, slug="team-ops")

        with pytest.raises(InvalidInput, match="organization/team-ops"):
            find_owner(person(cast, "operator"), "team", "team-ops")

        assert find_owner(person(cast, "operator"), "team", "demo/team-ops").pk == cast.consumer_team.pk

    def test_refuses_a_kind_that_there_is_not(self, cast: Cast) -> None:
        with pytest.raises(InvalidInput) as refused:
            find_owner(person(cast, "operator"), "planet", "earth")

        assert refused.value.field == "owner.kind"

    @pytest.mark.parametrize(
        ("who", "kind", "id_"),
        [
            ("stranger", "team", "team-ops"),
            ("stranger", "organization", "demo"),
            ("stranger", "cost_center", "CC-100"),
            ("stranger", "app", "where2eat"),
            ("consumer", "app", "where2eat"),
            ("consumer", "organization", "demo"),
            ("creator", "team", "team-ops"),
            ("consumer", "team", "team-people"),
            ("consumer", "subscription", "42"),
            ("consumer", "team", "no/such/team"),
        ],
    )
    def test_hides_what_is_not_for_somebody(
        self, cast: Cast, world: World, who: str, kind: str, id_: str
    ) -> None:
        with pytest.raises(NotFound):
            find_owner(person(cast, who), kind, id_)

    def test_hides_subscriptions_and_keys_of_others(self, cast: Cast, world: World) -> None:
        for who in ("stranger", "creator"):
            for kind, pk in (("subscription", world.subscription.pk), ("key", world.key.pk)):
                with pytest.raises(NotFound):
                    find_owner(person(cast, who), kind, str(pk))


class TestVisibleLimits:
    def test_shows_each_what_they_may_know_of(self, cast: Cast, world: World) -> None:
        company = make_limit(cast.company, "organization", "1")
        ops = make_limit(cast.consumer_team, "team", "1")
        people = make_limit(world.people_team, "team", "1")

        def set_limits(who: str) -> set[Limit]:
            return set(visible_limits(person(cast, who)).filter(is_default=False))

        assert set_limits("operator") == {company, ops, people}
        assert set_limits("consumer") == {ops}
        assert set_limits("creator") == set()
        assert set_limits("stranger") == set()

    def test_shows_creators_the_limits_of_their_apps(self, cast: Cast, world: World) -> None:
        shown = visible_limits(person(cast, "creator"))

        assert {limit.owner_kind for limit in shown} == {"app"}
