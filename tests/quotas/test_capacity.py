from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import IntegrityError, transaction

from marketplace.accounts.access import Actor, actor_for
from marketplace.core.errors import InvalidInput, NotAllowed
from marketplace.core.models import AuditEntry
from metering.models import LanguageModel
from quotas import capacity, commitments
from quotas.commitments import CapacityEnded
from quotas.models import ModelCapacity
from quotas.owners import owner_of
from quotas.pending import Ask
from quotas.served import served
from quotas.serving import Rate
from tests import factories
from tests.conftest import Cast
from tests.factories import LONG_AGO, NOW
from tests.metering.usage_world import World

D = Decimal
HOUR = timedelta(hours=1)
# What was used on the 15th counts from the next midnight on.
TOMORROW = NOW + timedelta(days=1)


@pytest.fixture
def operator(cast: Cast) -> Actor:
    return actor_for(cast.operator)


def commit(operator: Actor, **fields: Any) -> ModelCapacity:
    model = LanguageModel.objects.filter(name="llm-8b").first() or factories.make_model("llm-8b")
    values: dict[str, Any] = {
        "provider": "demo",
        "requests_per_minute": 100,
        "tokens_per_minute": None,
        "note": "contract 17",
        "at": NOW,
    }
    return commitments.set_capacity(model, by=operator, **values | fields)


class TestSetCapacity:
    def test_replaces_the_one_before(self, operator: Actor) -> None:
        first = commit(operator)

        second = commit(operator, requests_per_minute=200, starts_at=NOW + HOUR)

        first.refresh_from_db()
        assert (first.ends_at, second.ends_at) == (NOW + HOUR, None)
        assert [one.requests_per_minute for one in capacity.in_force(at=NOW)] == [100]
        assert [one.requests_per_minute for one in capacity.in_force(at=NOW + HOUR)] == [200]

    def test_lets_a_later_word_replace_one_that_has_not_begun(self, operator: Actor) -> None:
        commit(operator, starts_at=NOW + HOUR)

        commit(operator, requests_per_minute=7)

        assert [one.requests_per_minute for one in capacity.in_force(at=NOW + 2 * HOUR)] == [7]

    def test_goes_to_the_trail(self, operator: Actor, cast: Cast) -> None:
        made = commit(operator)

        entry = AuditEntry.objects.get(action="quotas.capacity.set", subject_id=str(made.pk))
        assert (entry.actor, entry.new["requests_per_minute"], entry.reason) == (
            cast.operator,
            100,
            "contract 17",
        )

    @pytest.mark.parametrize(
        ("fields", "field"),
        [
            ({"provider": " "}, "provider"),
            ({"requests_per_minute": -1}, "requests_per_minute"),
            ({"requests_per_minute": None}, "requests_per_minute"),
            ({"note": ""}, "note"),
        ],
    )
    def test_names_what_is_wrong(self, operator: Actor, fields: dict[str, Any], field: str) -> None:
        with pytest.raises(InvalidInput) as caught:
            commit(operator, **fields)

        assert caught.value.field == field

    def test_is_for_operators_of_the_platform(self, cast: Cast) -> None:
        for person in (cast.finance, cast.approver, cast.stranger):
            with pytest.raises(NotAllowed):
                commit(actor_for(person))

    def test_holds_one_at_a_time_whoever_writes(self, operator: Actor, cast: Cast) -> None:
        made = commit(operator)

        with pytest.raises(IntegrityError, match="model_capacity_one_in_force"), transaction.atomic():
            ModelCapacity.objects.create(
                provider="demo",
                model=made.model,
                requests_per_minute=1,
                starts_at=NOW + HOUR,
                set_by=cast.operator,
                note="x",
            )

    def test_says_something_whoever_writes(self, operator: Actor, cast: Cast) -> None:
        made = commit(operator)

        with pytest.raises(IntegrityError, match="model_capacity_says_something"), transaction.atomic():
            ModelCapacity.objects.create(
                provider="other", model=made.model, starts_at=LONG_AGO, set_by=cast.operator, note="x"
            )


class TestEndCapacity:
    def test_ends_it_once(self, operator: Actor) -> None:
        made = commit(operator)

        commitments.end_capacity(made, by=operator, at=NOW + HOUR)

        assert list(capacity.in_force(at=NOW + HOUR)) == []
        with pytest.raises(CapacityEnded):
            commitments.end_capacity(made, by=operator, at=NOW + 2 * HOUR)


class TestServed:
    def test_finds_the_busiest_hour(self, world: World) -> None:
        busy = served(at=TOMORROW).models["llm-8b"]

        # From 11 to 12 on the 15th: 2 calls of 600,000 + 2,000,000 tokens; an hour has 60 minutes. 9 to 10: 4,000,000.
        assert busy.peak == Rate(D(2) / 60, D(4_000_000) / 60)
        # Of 720 hours only four had any use.
        assert busy.p95 == Rate()
        assert busy.by_hour[0] == Rate()

    def test_tells_what_calls_of_an_app_are_like(self, world: World) -> None:
        profile = served(at=TOMORROW).apps["where2eat"]

        # Four calls of 1,000,000 + 600,000 + 2,000,000 + 4,000,000 tokens, for 0.20 + 0.16 + 0.40 + 0.80 = 1.56.
        assert profile.requests == {"llm-8b": D(4)}
        assert profile.tokens == {"llm-8b": D(7_600_000)}
        assert profile.cost_per_request == D("0.39")

    def test_looks_again_on_the_next_day_only(self, world: World, django_assert_num_queries: Any) -> None:
        served(at=NOW)

        with django_assert_num_queries(0):
            served(at=NOW + 11 * HOUR)
        assert served(at=NOW + 12 * HOUR).until == NOW + 12 * HOUR


class TestHeadRoom:
    def test_is_what_the_grant_leaves(self, world: World, operator: Actor) -> None:
        commit(operator, requests_per_minute=100)

        found = capacity.head_room(
            owner_of("subscription", world.subscription),
            measure="requests",
            window="day",
            granted=D(15_400),
            at=TOMORROW,
        )

        # 14,400 more than the plan's 1,000 a day are 10 a minute; used 2/60 in the busiest hour.
        row = found.rows[0]
        assert (row.extra, row.pending) == (D(10), D(0))
        assert found.after_this == D("89.96")

    def test_is_not_known_without_a_capacity(self, world: World) -> None:
        found = capacity.head_room(
            owner_of("team", world.people_team),
            measure="requests",
            window="day",
            granted=D(10),
            at=TOMORROW,
        )

        assert (found.after_this, found.after_all_pending) == (None, None)
        assert "No capacity is set for llm-8b." in found.why


class TestStandings:
    def test_sums_what_is_committed_granted_used_and_asked_for(self, world: World, operator: Actor) -> None:
        commit(operator)
        commit(operator, provider="other", requests_per_minute=20, tokens_per_minute=1_000_000)

        one = capacity.standings(at=TOMORROW, pending=[Ask("requests", "minute", D(5), "where2eat")])[0]

        assert (one.name, one.committed.requests, one.committed.tokens) == ("llm-8b", D(120), D(1_000_000))
        # Three production subscriptions of 20,000 calls a month, which is less than 1,000 a day; one of a sandbox of 1.00 a
        # month, in calls of 0.01 each: 3 × 20,000 / 43,200 + 100 / 43,200.
        assert one.granted.requests.quantize(D("0.0001")) == D("1.3912")
        assert one.pending.requests == D(5)

    def test_shows_models_that_nobody_has_committed_last(self, world: World, operator: Actor) -> None:
        factories.make_model("llm-70b")
        model = LanguageModel.objects.get(name="llm-70b")
        commitments.set_capacity(
            model,
            provider="demo",
            requests_per_minute=1,
            tokens_per_minute=None,
            note="contract",
            by=operator,
            at=TOMORROW,
        )

        found = capacity.standings(at=TOMORROW, pending=[])

        assert [(one.name, one.free_now) for one in found] == [("llm-70b", D(100)), ("llm-8b", None)]
