"""Moving budget out of one at once, there and back at once, and while calls spend what is moved; telling of it at once."""

from decimal import Decimal

import pytest

from marketplace.accounts.access import actor_for
from marketplace.catalog.models import App
from marketplace.core.models import Notice
from metering.attribution import Dimensions
from quotas import budget_moves, limit_alerts
from quotas.budget_models import Budget, BudgetMove, LimitAlert
from quotas.budget_moves import BudgetTooSmall
from quotas.models import Limit, LimitCounter
from tests import factories
from tests.conftest import Cast
from tests.factories import LONG_AGO, NOW
from tests.quotas.budget_world import MONTH, BudgetWorld, limit_of, make_budget_world, set_budget, spend
from tests.races.processes import Processes
from tests.races.test_admission import _dimensions
from tests.races.test_prices import at_once

pytestmark = [pytest.mark.race, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def there(cast: Cast) -> BudgetWorld:
    return make_budget_world(cast)


def offer(giver: Budget, taker: Budget, amount: str) -> BudgetMove:
    made = budget_moves.offer(
        giver, to_budget=taker, amount=Decimal(amount), reason="race", by=actor_for(_owner(giver)), at=NOW
    )
    return BudgetMove.objects.select_related(*budget_moves.RELATED, "offered_by").get(pk=made.pk)


def _owner(budget: Budget):  # type: ignore[no-untyped-def]
    center = budget.cost_center or budget.team.cost_center
    return center.owner


def accept(move: BudgetMove) -> None:
    budget_moves.accept(move, by=actor_for(_owner(move.to_budget)), at=NOW)


def total() -> Decimal:
    return sum((one.limit_value for one in Limit.objects.filter(measure="cost", window="month")), Decimal(0))


class TestMoves:
    def test_out_of_one_budget_take_no_more_than_there_is(self, cast: Cast, there: BudgetWorld) -> None:
        takers = [there.sales_budget, there.team_budget] + [
            set_budget(factories.make_cost_center(cast.company), "100", by=actor_for(cast.finance), at=MONTH)
            for _ in range(2)
        ]
        spend(there.marketing_budget, "150")
        offers = [offer(there.marketing_budget, taker, "400") for taker in takers]
        before = total()

        done, errors = at_once([lambda one=one: accept(one) for one in offers])  # type: ignore[misc]

        # 850 are left, twice 400 fit
        assert len(done) == 2
        assert [type(error) for error in errors] == [BudgetTooSmall] * 2
        assert limit_of(there.marketing_budget).limit_value == 200
        assert total() == before

    def test_there_and_back_at_once_never_wait_in_a_circle(self, there: BudgetWorld) -> None:
        offers = [offer(there.marketing_budget, there.sales_budget, "10") for _ in range(6)]
        offers += [offer(there.sales_budget, there.marketing_budget, "30") for _ in range(6)]

        done, errors = at_once([lambda one=one: accept(one) for one in offers])  # type: ignore[misc]

        assert (len(done), errors) == (12, [])
        # 1,000 - 60 + 180 and 400 + 60 - 180
        assert limit_of(there.marketing_budget).limit_value == 1120
        assert limit_of(there.sales_budget).limit_value == 280

    def test_are_accepted_once_by_two_at_once(self, there: BudgetWorld) -> None:
        one = offer(there.marketing_budget, there.sales_budget, "100")
        same = [
            BudgetMove.objects.select_related(*budget_moves.RELATED, "offered_by").get(pk=one.pk)
            for _ in range(4)
        ]

        done, errors = at_once([lambda each=each: accept(each) for each in same])  # type: ignore[misc]

        assert (len(done), len(errors)) == (1, 3)
        assert limit_of(there.sales_budget).limit_value == 500


class TestMovesAgainstAdmission:
    def test_leave_nobody_more_than_there_is(self, cast: Cast, processes: Processes, app: App) -> None:
        """Three processes spend one budget while a fourth moves it away and back in small parts."""
        Limit.objects.update(ends_at=LONG_AGO)
        elsewhere = factories.make_team(cast.company, slug="team-law")
        whos = [_dimensions(app, team, cast) for team in (cast.consumer_team, elsewhere)]
        Limit.objects.update(ends_at=LONG_AGO)
        finance = actor_for(cast.finance)
        # 600 calls of 0.001 from each of the two cost centers at the beginning
        spent_from = set_budget(cast.cost_center, "0.6", by=finance, at=MONTH)
        taker = set_budget(elsewhere.cost_center, "0.6", by=finance, at=MONTH)
        away = [offer(spent_from, taker, "0.01").pk for _ in range(40)]
        back = [offer(taker, spent_from, "0.01").pk for _ in range(20)]
        moves = [one for pair in zip(away[:20], back, strict=True) for one in pair] + away[20:]

        tallies = [
            future.result(60)
            for future in [
                *processes.start(
                    "tests.races.calls:use_up",
                    [{"whos": _who(whos, seed), "tries": 5, "at": NOW, "seed": seed} for seed in range(3)],
                ),
                *processes.start("tests.races.moving:accept", [{"moves": moves, "at": NOW}]),
            ]
        ]

        *callers, mover = tallies
        assert [error for tally in callers for error in tally.errors] == []
        # A refusal is judged by the limit as it was at that moment, so none of them may be a phantom.
        assert [refusal for tally in callers for refusal in tally.phantom] == []
        assert mover.admitted
        for budget in (spent_from, taker):
            limit = limit_of(budget)
            counter = LimitCounter.objects.get(limit=limit)
            assert counter.held == counter.overrun == 0
            assert counter.spent <= limit.limit_value
            assert counter.spent <= counter.ceiling
        assert limit_of(spent_from).limit_value + limit_of(taker).limit_value == Decimal("1.2")
        admitted = sum(len(tally.admitted) for tally in callers)
        assert sum((row.spent for row in LimitCounter.objects.all()), Decimal(0)) == admitted * Decimal(
            "0.001"
        )


def _who(whos: list[Dimensions], seed: int) -> list[Dimensions]:
    return [whos[0], whos[seed % 2]]


class TestTelling:
    def test_at_once_tells_once(self, there: BudgetWorld) -> None:
        spend(there.marketing_budget, "960")

        done, errors = at_once([lambda: limit_alerts.tell(at=NOW)] * 4)

        assert errors == []
        assert sum(done) == 3
        assert LimitAlert.objects.count() == 3
        assert Notice.objects.filter(recipient=there.giver).count() == 1
