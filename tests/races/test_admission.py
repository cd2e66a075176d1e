"""Budgets under four processes of 64 callers each."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from marketplace.accounts.models import Team
from marketplace.catalog.models import App, Subscription
from marketplace.catalog.subscriptions import issue_subscription_key
from marketplace.core.ids import uuid7
from metering import rollups
from metering.attribution import Dimensions
from metering.ingest import Usage
from metering.models import UsageEvent
from metering.rating import Quantities
from quotas import admission
from quotas.admission import Admitted, Estimate, HoldRequest
from quotas.models import Hold, Limit, LimitCounter, OverrunEntry
from tests import factories
from tests.conftest import Cast
from tests.factories import LONG_AGO, NOW
from tests.races.calls import COST, TOKENS, Tally
from tests.races.processes import Processes, shuffled

pytestmark = [pytest.mark.race, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def whos(cast: Cast, app: App) -> list[Dimensions]:
    """Nine callers of one company: three teams, three apps, two cost centers, a subscription for each pair."""
    elsewhere = factories.make_team(cast.company, slug="team-law")
    apps = [app, *(factories.make_listed_app(cast.creator_team) for _ in range(2))]
    pairs = [(each, team) for each in apps for team in (cast.consumer_team, cast.creator_team, elsewhere)]
    return [_dimensions(each, team, cast) for each, team in pairs]


def _dimensions(app: App, team: Team, cast: Cast) -> Dimensions:
    subscription = factories.make_subscription(app, team)
    return Dimensions(
        app_id=app.pk,
        owner_team_id=cast.creator_team.pk,
        organization_id=cast.company.pk,
        team_id=team.pk,
        cost_center_id=team.cost_center_id,
        subscription_id=subscription.pk,
        plan_id=subscription.plan_id,
        key_id=None,
        environment="production",
        model_id=None,
        model_asked="",
        instance_type="",
        feature="",
    )


def only_limit(**fields: object) -> Limit:
    """Put one limit in force instead of the default ones."""
    Limit.objects.update(ends_at=LONG_AGO)
    return make_limit(**fields)


def make_limit(**fields: object) -> Limit:
    if fields["measure"] == "cost":
        fields["currency"] = "USD"
    return Limit.objects.create(**{"window": "month", "starts_at": LONG_AGO} | fields)


def used(limit: Limit) -> Decimal:
    """What counts of a limit, in all windows together."""
    rows = LimitCounter.objects.filter(limit=limit)
    return sum((row.spent + row.held + row.overrun for row in rows), Decimal(0))


def expect_no_trouble(tallies: list[Tally]) -> None:
    assert [error for tally in tallies for error in tally.errors] == []
    assert [refusal for tally in tallies for refusal in tally.phantom] == []


class TestOneBudget:
    @pytest.mark.parametrize(
        ("measure", "limit_value", "expected"),
        [
            ("cost", "0.5004", 500),  # 0.5004 / 0.001
            ("requests", "333", 333),
            ("tokens", "2004999", 400),  # 2,004,999 / 5,000
        ],
    )
    def test_admits_exactly_what_fits(
        self, processes: Processes, whos: list[Dimensions], measure: str, limit_value: str, expected: int
    ) -> None:
        budget = only_limit(
            organization_id=whos[0].organization_id, measure=measure, limit_value=Decimal(limit_value)
        )

        tallies = processes.run(
            "tests.races.calls:use_up",
            [{"whos": shuffled(whos, seed), "tries": 3, "at": NOW, "seed": seed} for seed in range(4)],
        )

        # 4 processes x 64 callers x 3 tries = 768 requests, more than there is room for
        expect_no_trouble(tallies)
        admitted = [hold_id for tally in tallies for hold_id in tally.admitted]
        assert len(admitted) == len(set(admitted)) == expected
        assert sum(tally.refused for tally in tallies) == 768 - expected
        assert sum(tally.ended for tally in tallies) == expected
        per_call = {"cost": COST, "requests": 1, "tokens": TOKENS}[measure]
        counter = LimitCounter.objects.get(limit=budget)
        assert (counter.spent, counter.held, counter.overrun) == (expected * per_call, 0, 0)
        assert set(Hold.objects.values_list("state", flat=True)) == {"settled"}
        assert UsageEvent.objects.count() == expected
        assert rollups.differences() == []


class TestMonthEdge:
    """Processes whose clocks differ by some seconds, two before and two after the end of the month in UTC."""

    MOMENTS = (
        datetime(2026, 11, 30, 23, 59, 58, tzinfo=UTC),
        datetime(2026, 11, 30, 23, 59, 59, 999_999, tzinfo=UTC),
        datetime(2026, 12, 1, tzinfo=UTC),
        datetime(2026, 12, 1, 0, 0, 3, tzinfo=UTC),
    )

    def test_gives_each_month_its_own_and_no_more(self, processes: Processes, whos: list[Dimensions]) -> None:
        budget = only_limit(organization_id=whos[0].organization_id, measure="cost", limit_value="0.15")
        make_limit(
            cost_center_id=whos[0].cost_center_id,
            measure="requests",
            limit_value=100_000,
            window="day",
            time_zone="Asia/Tokyo",
        )

        tallies = processes.run(
            "tests.races.calls:use_up",
            [
                {"whos": shuffled(whos, seed), "tries": 2, "at": at, "seed": seed}
                for seed, at in enumerate(self.MOMENTS)
            ],
        )

        # Two processes with 128 tries each of 0.001 in either month.
        expect_no_trouble(tallies)
        counters = LimitCounter.objects.filter(limit=budget).order_by("window_starts_at")
        assert [(row.window_starts_at.month, row.spent, row.held, row.overrun) for row in counters] == [
            (11, Decimal("0.15"), 0, 0),
            (12, Decimal("0.15"), 0, 0),
        ]
        assert UsageEvent.objects.count() == sum(tally.ended for tally in tallies) == 300
        assert rollups.differences() == []


class TestKinds:
    def test_of_keys_do_not_get_around_each_other(
        self, cast: Cast, processes: Processes, whos: list[Dimensions]
    ) -> None:
        first = whos[0]
        subscription = Subscription.objects.get(pk=first.subscription_id)
        keys = [issue_subscription_key(subscription, by=cast.consumer, at=NOW)[0] for _ in range(3)]
        of_keys = [first._replace(key_id=key.pk) for key in keys]
        own_use = first._replace(subscription_id=None, plan_id=None)
        Limit.objects.update(ends_at=LONG_AGO)
        per_key = [make_limit(key_id=key.pk, measure="requests", limit_value=100) for key in keys[:2]]
        in_all = make_limit(team_id=first.team_id, measure="requests", limit_value=250)

        tallies = processes.run(
            "tests.races.calls:use_up",
            [
                {"whos": shuffled([*of_keys, own_use], seed), "tries": 3, "at": NOW, "seed": seed}
                for seed in range(4)
            ],
        )

        expect_no_trouble(tallies)
        assert used(in_all) == 250
        assert all(used(limit) <= 100 for limit in per_key)
        assert UsageEvent.objects.count() == 250

    def test_of_models_take_what_is_left_of_their_class(
        self, processes: Processes, whos: list[Dimensions]
    ) -> None:
        factories.make_model("llm-70b", input_price="0.20", model_class="large")
        large = only_limit(
            organization_id=whos[0].organization_id, measure="cost", limit_value="0.1", model_class="large"
        )
        small = make_limit(
            organization_id=whos[0].organization_id, measure="requests", limit_value=50, model_class="small"
        )
        in_all = make_limit(team_id=whos[0].team_id, measure="cost", limit_value="0.08")

        tallies = processes.run(
            "tests.races.calls:use_up_classes",
            [{"whos": shuffled(whos, seed), "tries": 2, "at": NOW, "seed": seed} for seed in range(4)],
        )

        # 512 tries of 0.001; a third of the callers are of the team that may spend 0.08.
        expect_no_trouble(tallies)
        assert (used(large), used(small)) == (Decimal("0.1"), 50)
        assert used(in_all) <= Decimal("0.08")
        assert UsageEvent.objects.count() == 150
        assert not OverrunEntry.objects.exists()
        assert rollups.differences() == []


class TestOverlappingChains:
    def test_never_overrun_never_deadlock_and_add_up(
        self, processes: Processes, whos: list[Dimensions]
    ) -> None:
        limits = self._limits_of_all_kinds(whos)

        tallies = processes.run(
            "tests.races.calls:live",
            [{"whos": shuffled(whos, seed), "tries": 6, "at": NOW, "seed": seed} for seed in range(4)],
        )
        left = Hold.objects.filter(state="held").count()
        swept = processes.run("tests.races.calls:sweep", [{"at": NOW.replace(hour=13)}] * 4)

        expect_no_trouble(tallies)
        admitted = sum(len(tally.admitted) for tally in tallies)
        refused = sum(tally.refused for tally in tallies)
        assert admitted + refused == 4 * 64 * 6
        assert min(admitted, refused) > 0
        assert left == sum(swept) > 0
        assert sum(tally.ended for tally in tallies) + left == admitted == Hold.objects.count()
        assert not Hold.objects.filter(state="held").exists()
        reported = [event_id for tally in tallies for event_id in tally.reported]
        assert len(reported) == len(set(reported)) > 0
        self._expect_sums_of_events(limits)
        assert rollups.differences() == []

    def test_of_calls_that_fail_are_free_and_never_deadlock(
        self, processes: Processes, whos: list[Dimensions]
    ) -> None:
        limits = self._limits_of_all_kinds(whos)

        tallies = processes.run(
            "tests.races.calls:fail",
            [{"whos": shuffled(whos, seed), "tries": 12, "at": NOW, "seed": seed} for seed in range(4)],
        )

        expect_no_trouble(tallies)
        assert set(Hold.objects.values_list("state", flat=True)) == {"released"}
        assert [used(limit) for limit in limits] == [0] * len(limits)
        assert not UsageEvent.objects.exists()

    def _limits_of_all_kinds(self, whos: list[Dimensions]) -> list[Limit]:
        Limit.objects.update(ends_at=LONG_AGO)
        first, *_, last = whos
        return [
            make_limit(organization_id=first.organization_id, measure="cost", limit_value="2.5"),
            make_limit(cost_center_id=last.cost_center_id, measure="requests", limit_value=400, window="day"),
            make_limit(team_id=first.team_id, measure="tokens", limit_value=1_500_000, window="day"),
            make_limit(team_id=last.team_id, measure="cost", limit_value="0.5", window="minute"),
            make_limit(app_id=first.app_id, measure="requests", limit_value=300),
            make_limit(app_id=last.app_id, measure="concurrency", limit_value=20),
            make_limit(app_id=whos[4].app_id, measure="tokens", limit_value=10, mode="soft"),
            *(
                make_limit(
                    subscription_id=each.subscription_id, measure="cost", limit_value="0.4", window="day"
                )
                for each in whos
            ),
        ]

    def _expect_sums_of_events(self, limits: list[Limit]) -> None:
        """Every counter is what the events of its owner come to; nothing is held and the rest is overrun."""
        for limit in limits:
            counters = LimitCounter.objects.filter(limit=limit)
            assert [counter.held for counter in counters] == [0] * len(counters)
            events = UsageEvent.objects.filter(**{f"attribution__{limit.owner_kind}": limit.owner_id})
            amounts = {
                "cost": sum((event.cost for event in events), Decimal(0)),
                "requests": sum(event.requests for event in events),
                "tokens": sum(event.input_tokens for event in events),
                "concurrency": 0,
            }
            assert used(limit) == amounts[limit.measure], limit
            for counter in counters:
                assert limit.mode == "soft" or counter.spent <= Decimal(limit.limit_value)
        assert OverrunEntry.objects.exists()


class TestSettlement:
    def test_of_the_same_holds_by_all_processes_counts_once(
        self, processes: Processes, whos: list[Dimensions]
    ) -> None:
        budget = only_limit(organization_id=whos[0].organization_id, measure="cost", limit_value=1)
        asked = [self._request(who) for who in whos * 10]
        assert all(isinstance(answer, Admitted) for answer in admission.reserve(asked, at=NOW))
        by_id = {request.id: request.usage.who for request in asked}

        ended = processes.run(
            "tests.races.calls:settle_all",
            [{"hold_ids": shuffled(list(by_id), seed), "whos": by_id, "at": NOW} for seed in range(4)],
        )

        assert sum(ended) == UsageEvent.objects.count() == 90
        counter = LimitCounter.objects.get(limit=budget)
        assert (counter.spent, counter.held) == (90 * COST, 0)

    def _request(self, who: Dimensions) -> HoldRequest:
        hold_id = uuid7()
        usage = Usage(str(hold_id), NOW, who, "llm-8b", Quantities(input_tokens=TOKENS))
        return HoldRequest(hold_id, usage, Estimate(TOKENS, COST), NOW.replace(hour=13))
