from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest

from marketplace.accounts.access import Actor, actor_for
from marketplace.core import audit
from marketplace.core.errors import InvalidInput, NotAllowed
from metering.attribution import Dimensions
from metering.ingest import Usage
from metering.rating import Quantities
from quotas import admission, limits, queries
from quotas.admission import Admitted, Estimate, HoldRequest, Refused
from quotas.limits import DefaultLimit, LimitEnded, Right, Terms
from quotas.models import Limit
from quotas.owners import Owner, owner_of
from tests import factories
from tests.conftest import Cast
from tests.factories import NOW
from tests.metering.usage_world import World

MONTHLY_CALLS = Terms("requests", "month", Decimal(100))


@pytest.fixture
def operator(cast: Cast) -> Actor:
    return actor_for(cast.operator)


@pytest.fixture
def team(cast: Cast) -> Owner:
    return owner_of("team", cast.consumer_team)


def set_limit(owner: Owner, terms: Terms, *, by: Actor, at: datetime = NOW, **fields: Any) -> Limit:
    return limits.set_limit(owner, terms=terms, by=by, at=at, **fields)[0]


def call(who: Dimensions) -> Admitted | Refused:
    usage = Usage("call", NOW, who, "llm-8b", Quantities(input_tokens=10))
    request = HoldRequest(
        uuid4(), usage, Estimate(tokens=20, cost=Decimal("0.001")), NOW + timedelta(minutes=5)
    )
    return admission.reserve([request], at=NOW)[0]


class TestSetLimit:
    def test_holds_from_the_very_next_call(self, team: Owner, operator: Actor, who: Dimensions) -> None:
        assert isinstance(call(who), Admitted)

        set_limit(team, Terms("requests", "minute", Decimal(0)), by=operator)

        refused = call(who)
        assert isinstance(refused, Refused)
        assert refused.standing.limit.owner == ("team", team.pk)

    def test_changes_the_one_that_was_set_in_place(
        self, team: Owner, operator: Actor, who: Dimensions
    ) -> None:
        limit = set_limit(team, MONTHLY_CALLS, by=operator)
        call(who)

        changed = set_limit(team, Terms("requests", "month", Decimal(1)), by=operator)

        assert changed.pk == limit.pk
        assert Limit.objects.get(pk=limit.pk).limit_value == 1
        assert isinstance(call(who), Refused)

    def test_writes_who_set_what_and_why(self, team: Owner, operator: Actor) -> None:
        limit = set_limit(team, MONTHLY_CALLS, by=operator, note="trial month")
        set_limit(team, Terms("requests", "month", Decimal(50)), by=operator, note="too much")
        set_limit(team, Terms("requests", "month", Decimal(50)), by=operator, note="too much")

        first, second = audit.history(limit)

        assert (first.action, first.actor, first.reason) == ("quotas.limit.set", operator.user, "trial month")
        assert (second.action, second.old["limit"], second.new["limit"]) == (
            "quotas.limit.changed",
            "100",
            "50",
        )

    @pytest.mark.parametrize(
        ("terms", "used"),
        [
            # From the table of the world: operations made two calls outside the sandbox, for 0.36.
            (MONTHLY_CALLS, "2"),
            (Terms("requests", "day", Decimal(100)), "1"),
            (Terms("tokens", "month", Decimal(10**9)), "1600000"),
            (Terms("cost", "month", Decimal(10), currency="USD"), "0.36"),
            (Terms("cost", "month", Decimal("0.10"), currency="USD"), "0.36"),
            (Terms("requests", "minute", Decimal(5)), "0"),
            (Terms("concurrency", "minute", Decimal(5)), "0"),
        ],
    )
    def test_knows_what_was_used_before_it_was_set(
        self, cast: Cast, world: World, team: Owner, operator: Actor, terms: Terms, used: str
    ) -> None:
        limit = set_limit(team, terms, by=operator)

        (one,) = queries.standings(Limit.objects.filter(pk=limit.pk), at=NOW)
        assert one.used == Decimal(used)

    def test_counts_only_the_sandbox_for_a_sandbox(self, cast: Cast, world: World, operator: Actor) -> None:
        sandbox = cast.consumer_team.subscriptions.get(environment="sandbox")

        limit = set_limit(
            owner_of("subscription", sandbox), Terms("requests", "day", Decimal(3)), by=operator
        )

        assert limit.environment == "sandbox"
        assert queries.standings(Limit.objects.filter(pk=limit.pk), at=NOW)[0].used == 1

    def test_waits_for_a_later_start_and_ends_the_present_one_there(
        self, team: Owner, operator: Actor
    ) -> None:
        tomorrow = NOW + timedelta(days=1)
        present = set_limit(team, MONTHLY_CALLS, by=operator)
        set_limit(team, Terms("requests", "month", Decimal(7)), by=operator, starts_at=tomorrow)

        later = set_limit(team, Terms("requests", "month", Decimal(9)), by=operator, starts_at=tomorrow)

        present.refresh_from_db()
        assert (present.limit_value, present.ends_at) == (100, tomorrow)
        waiting = [one for one in queries.limits_of("team", team.pk, at=NOW) if not one.is_in_force]
        assert [one.limit.pk for one in queries.limits_of("team", team.pk, at=tomorrow)] == [later.pk]
        assert later.pk in {one.limit.pk for one in waiting}

    @pytest.mark.parametrize(
        ("terms", "field"),
        [
            (Terms("calls", "day", Decimal(1)), "measure"),
            (Terms("requests", "year", Decimal(1)), "window"),
            (Terms("requests", "day", Decimal(1), mode="strict"), "mode"),
            (Terms("requests", "day", Decimal("1.5")), "limit"),
            (Terms("requests", "day", Decimal(-1)), "limit"),
            (Terms("cost", "day", Decimal(10) ** 20, currency="USD"), "limit"),
            (Terms("cost", "day", Decimal(1)), "currency"),
            (Terms("requests", "day", Decimal(1), currency="USD"), "currency"),
        ],
    )
    def test_names_the_field_that_is_wrong(
        self, team: Owner, operator: Actor, terms: Terms, field: str
    ) -> None:
        with pytest.raises(InvalidInput) as refused:
            set_limit(team, terms, by=operator)

        assert refused.value.field == field

    def test_refuses_to_end_before_it_begins(self, team: Owner, operator: Actor) -> None:
        with pytest.raises(InvalidInput) as refused:
            set_limit(team, MONTHLY_CALLS, by=operator, ends_at=NOW)

        assert refused.value.field == "ends_at"


class TestRightOf:
    def test_is_whole_for_finance_and_operators_of_platform_and_organization(
        self, cast: Cast, world: World
    ) -> None:
        treasurer = factories.make_user()
        factories.join(treasurer, None, "finance", organization=cast.stranger_team.organization)
        theirs = owner_of("team", cast.stranger_team)

        assert limits.right_of(actor_for(cast.finance), theirs) is Right.SET
        assert limits.right_of(actor_for(cast.operator), owner_of("app", world.app)) is Right.SET
        assert limits.right_of(actor_for(treasurer), theirs) is Right.SET
        assert limits.right_of(actor_for(treasurer), owner_of("team", cast.consumer_team)) is Right.NONE

    def test_is_to_tighten_for_makers_and_subscribers(self, cast: Cast, world: World) -> None:
        app, subscription = owner_of("app", world.app), owner_of("subscription", world.subscription)

        assert limits.right_of(actor_for(cast.creator), app) is Right.TIGHTEN
        assert limits.right_of(actor_for(cast.consumer), subscription) is Right.TIGHTEN
        assert limits.right_of(actor_for(cast.consumer), owner_of("team", cast.consumer_team)) is Right.NONE
        assert limits.right_of(actor_for(cast.creator), subscription) is Right.NONE
        assert limits.right_of(actor_for(cast.approver), app) is Right.NONE

    def test_is_none_for_the_stranger(self, cast: Cast, world: World) -> None:
        for kind, thing in (
            ("app", world.app),
            ("subscription", world.subscription),
            ("team", cast.consumer_team),
        ):
            assert limits.right_of(actor_for(cast.stranger), owner_of(kind, thing)) is Right.NONE

    def test_keeps_makers_from_raising_what_others_set(
        self, cast: Cast, world: World, operator: Actor
    ) -> None:
        app, creator = owner_of("app", world.app), actor_for(cast.creator)
        set_limit(app, MONTHLY_CALLS, by=operator)

        set_limit(app, Terms("requests", "month", Decimal(80)), by=creator)
        for looser in (
            Terms("requests", "month", Decimal(81)),
            Terms("requests", "month", Decimal(10), mode="warn"),
        ):
            with pytest.raises(NotAllowed):
                set_limit(app, looser, by=creator)

    def test_takes_that_away_once_an_operator_has_changed_it(
        self, cast: Cast, world: World, operator: Actor
    ) -> None:
        app, creator = owner_of("app", world.app), actor_for(cast.creator)
        set_limit(app, MONTHLY_CALLS, by=creator)
        set_limit(app, Terms("requests", "month", Decimal(50)), by=operator)

        with pytest.raises(NotAllowed):
            set_limit(app, MONTHLY_CALLS, by=creator)

    def test_lets_makers_raise_what_they_set_themselves(self, cast: Cast, world: World) -> None:
        app, creator = owner_of("app", world.app), actor_for(cast.creator)
        set_limit(app, MONTHLY_CALLS, by=creator)

        assert set_limit(app, Terms("requests", "month", Decimal(200)), by=creator).limit_value == 200


class TestEndLimit:
    def test_ends_now_and_says_why(self, team: Owner, operator: Actor) -> None:
        limit = set_limit(team, MONTHLY_CALLS, by=operator)

        limits.end_limit(limit, owner=team, by=operator, at=NOW, reason="no longer needed")

        assert queries.limits_of("team", team.pk, at=NOW) == []
        assert audit.history(limit)[-1].reason == "no longer needed"

    def test_happens_once(self, team: Owner, operator: Actor) -> None:
        limit = set_limit(team, MONTHLY_CALLS, by=operator)
        limits.end_limit(limit, owner=team, by=operator, at=NOW)

        with pytest.raises(LimitEnded):
            limits.end_limit(limit, owner=team, by=operator, at=NOW)

    def test_leaves_the_limits_of_plans_alone(self, world: World, operator: Actor) -> None:
        default = Limit.objects.filter(subscription=world.subscription).first()
        assert default is not None

        with pytest.raises(DefaultLimit):
            limits.end_limit(default, owner=owner_of("subscription", world.subscription), by=operator, at=NOW)

    def test_is_not_for_makers_when_others_set_it(self, cast: Cast, world: World, operator: Actor) -> None:
        app = owner_of("app", world.app)
        limit = set_limit(app, MONTHLY_CALLS, by=operator)

        with pytest.raises(NotAllowed):
            limits.end_limit(limit, owner=app, by=actor_for(cast.creator), at=NOW)
