from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import IntegrityError, transaction

from marketplace.accounts.access import actor_for
from marketplace.accounts.models import User
from marketplace.core.errors import Conflict, InvalidInput, NotAllowed
from marketplace.core.ids import uuid7
from marketplace.core.models import AuditEntry, Notice
from marketplace.core.transitions import IllegalTransition
from metering.attribution import Dimensions
from quotas import admission, budget_moves, counters, limits
from quotas.admission import Estimate, HoldRequest, Refused
from quotas.budget_models import BudgetMove
from quotas.budget_moves import BudgetTooSmall
from quotas.budgets import NoBudgetInForce
from quotas.models import LimitCounter
from quotas.owners import owner_of
from tests import factories
from tests.conftest import Cast
from tests.factories import NOW
from tests.metering.conftest import make_usage
from tests.quotas.budget_world import NEXT_MONTH, BudgetWorld, limit_of, make_budget_world, set_budget, spend

LATER = NOW + timedelta(hours=1)


@pytest.fixture
def there(cast: Cast) -> BudgetWorld:
    return make_budget_world(cast)


def offer(there: BudgetWorld, amount: str = "250", **fields: Any) -> BudgetMove:
    asked: dict[str, Any] = {
        "to_budget": there.sales_budget,
        "reason": "a fair",
        "by": there.giver,
        "at": NOW,
    }
    asked |= fields
    asked["by"] = actor_for(asked["by"])
    giver = asked.pop("giver", there.marketing_budget)
    return budget_moves.offer(giver, amount=Decimal(amount), **asked)


def amounts(there: BudgetWorld, *, at: Any = LATER) -> tuple[Decimal, Decimal]:
    return limit_of(there.marketing_budget, at=at).limit_value, limit_of(
        there.sales_budget, at=at
    ).limit_value


class TestOffer:
    def test_changes_nothing_and_tells_the_other_owner(self, there: BudgetWorld) -> None:
        made = offer(there)

        assert amounts(there) == (1000, 400)
        notice = Notice.objects.get(recipient=there.taker)
        assert "250 USD a month are offered to the budget of CC-800 Sales" in notice.text
        assert notice.path == f"/budgets/moves/{made.pk}/"
        assert AuditEntry.objects.get(action="quotas.budget_move.offered").new["amount"] == "250"

    def test_is_for_the_owner_of_the_giving_budget(self, cast: Cast, there: BudgetWorld) -> None:
        for person in (there.taker, cast.finance, cast.operator, cast.consumer, cast.stranger):
            with pytest.raises(NotAllowed):
                offer(there, by=person)

    def test_leaves_what_is_spent_and_held(self, there: BudgetWorld) -> None:
        spend(there.marketing_budget, "700", held="40", overrun="10")

        with pytest.raises(BudgetTooSmall, match="1000 USD a month, 750 are spent or held: at most 250 can"):
            offer(there, "250.01")
        offer(there, "250")

    @pytest.mark.parametrize("amount", ["0", "-5"])
    def test_is_of_something(self, there: BudgetWorld, amount: str) -> None:
        with pytest.raises(InvalidInput) as caught:
            offer(there, amount)
        assert caught.value.errors[0].field == "amount"

    def test_stays_inside_the_organization_and_goes_to_another(self, cast: Cast, there: BudgetWorld) -> None:
        foreign = set_budget(cast.stranger_team, "10", by=actor_for(cast.finance))

        for taker in (foreign, there.marketing_budget):
            with pytest.raises(InvalidInput) as caught:
                offer(there, to_budget=taker)
            assert caught.value.errors[0].field == "to"

    def test_needs_a_budget_in_force_on_both_sides(self, cast: Cast, there: BudgetWorld) -> None:
        limits.end_limit(
            limit_of(there.sales_budget),
            owner=owner_of("cost_center", there.sales),
            by=actor_for(cast.finance),
            at=NOW - timedelta(hours=1),
        )

        with pytest.raises(NoBudgetInForce, match="no budget of CC-800 Sales in force"):
            offer(there)


class TestAccept:
    def test_changes_both_limits_and_keeps_their_sum(self, cast: Cast, there: BudgetWorld) -> None:
        spend(there.marketing_budget, "300")
        made = offer(there)

        budget_moves.accept(made, by=actor_for(there.taker), at=LATER, note="thanks")

        assert amounts(there) == (750, 650)
        made.refresh_from_db()
        assert (made.from_before, made.from_after, made.to_before, made.to_after) == (1000, 750, 400, 650)
        assert (made.state, made.decided_by, made.note) == ("accepted", there.taker, "thanks")
        for budget, amount in ((there.marketing_budget, 750), (there.sales_budget, 650)):
            newest = budget.versions.latest("pk")
            assert (newest.amount, newest.starts_at, newest.move) == (amount, LATER, made)
        told = Notice.objects.filter(idempotency_key__endswith=":accepted").values_list(
            "recipient__email", flat=True
        )
        assert set(told) == {"giver@demo.example", "finance@demo.example"}

    def test_moves_the_ceiling_that_the_database_holds(self, there: BudgetWorld) -> None:
        spend(there.marketing_budget, "300", held="50")
        made = offer(there)
        budget_moves.accept(made, by=actor_for(there.taker), at=LATER)

        counter = LimitCounter.objects.get(limit=limit_of(there.marketing_budget))
        assert counter.ceiling == 750
        with pytest.raises(IntegrityError, match="limit_counter_within_limit"), transaction.atomic():
            LimitCounter.objects.filter(pk=counter.pk).update(held=451)

    def test_is_for_the_owner_of_the_other_budget(self, cast: Cast, there: BudgetWorld) -> None:
        made = offer(there)

        for person in (there.giver, cast.finance, cast.consumer, cast.stranger):
            with pytest.raises(NotAllowed):
                budget_moves.accept(made, by=actor_for(person), at=LATER)
        assert amounts(there) == (1000, 400)

    def test_looks_again_at_what_is_spent(self, there: BudgetWorld) -> None:
        made = offer(there)
        spend(there.marketing_budget, "700", held="51")

        with pytest.raises(BudgetTooSmall):
            budget_moves.accept(made, by=actor_for(there.taker), at=LATER)

        made.refresh_from_db()
        assert made.state == "offered"
        assert amounts(there) == (1000, 400)

    def test_of_two_offers_takes_no_more_than_there_is(self, there: BudgetWorld) -> None:
        first, second = offer(there, "600"), offer(there, "600", to_budget=there.team_budget)
        budget_moves.accept(first, by=actor_for(there.taker), at=LATER)

        with pytest.raises(BudgetTooSmall):
            budget_moves.accept(
                second, by=actor_for(User.objects.get(email="finance@demo.example")), at=LATER
            )
        assert amounts(there) == (400, 1000)

    def test_happens_once(self, there: BudgetWorld) -> None:
        made = offer(there)
        again = BudgetMove.objects.select_related(*budget_moves.RELATED).get(pk=made.pk)
        budget_moves.accept(made, by=actor_for(there.taker), at=LATER)

        with pytest.raises(IllegalTransition):
            budget_moves.accept(again, by=actor_for(there.taker), at=LATER)
        assert amounts(there) == (750, 650)

    def test_goes_there_and_back(self, there: BudgetWorld) -> None:
        made = offer(there)
        back = offer(there, "1", giver=there.sales_budget, to_budget=there.marketing_budget, by=there.taker)

        budget_moves.accept(made, by=actor_for(there.taker), at=LATER)
        budget_moves.accept(back, by=actor_for(there.giver), at=LATER)

        assert amounts(there) == (751, 649)

    def test_leaves_what_was_decided_for_later(self, cast: Cast, there: BudgetWorld) -> None:
        set_budget(there.marketing, "500", by=actor_for(cast.finance), starts_at=NEXT_MONTH)
        made = offer(there)
        budget_moves.accept(made, by=actor_for(there.taker), at=LATER)

        assert amounts(there) == (750, 650)
        assert amounts(there, at=NEXT_MONTH) == (500, 650)


class TestCallsUnderWay:
    def test_that_waited_for_a_move_are_admitted_by_what_it_left(
        self, there: BudgetWorld, who: Dimensions, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Admission reads the limits, waits for the counter that a move holds, and decides by the limit of after it."""
        made, lock = offer(there, "900"), counters.find_and_lock
        spend(there.marketing_budget, "60")

        def wait_for_the_move(*arguments: Any, **options: Any) -> Any:
            budget_moves.accept(made, by=actor_for(there.taker), at=LATER)
            return lock(*arguments, **options)

        monkeypatch.setattr(counters, "find_and_lock", wait_for_the_move)
        hold_id = uuid7()
        usage = make_usage(who._replace(cost_center_id=there.marketing.pk), str(hold_id))
        asked = HoldRequest(hold_id, usage, Estimate(1000, Decimal(50)), LATER + timedelta(minutes=5))

        answer = admission.reserve([asked], at=LATER)[0]

        # 60 of 100 are used; 50 more would have fitted into the 1,000 of before.
        assert isinstance(answer, Refused)
        assert (answer.standing.limit.value, answer.standing.used) == (100, 60)


class TestEnd:
    def test_by_the_other_owner_or_by_who_offered(self, cast: Cast, there: BudgetWorld) -> None:
        declined, withdrawn = offer(there), offer(there)

        with pytest.raises(NotAllowed):
            budget_moves.decline(declined, by=actor_for(there.giver), at=LATER)
        budget_moves.decline(declined, by=actor_for(there.taker), at=LATER, note="no need")
        with pytest.raises(NotAllowed):
            budget_moves.withdraw(withdrawn, by=actor_for(there.taker), at=LATER)
        budget_moves.withdraw(withdrawn, by=actor_for(there.giver), at=LATER)

        assert (declined.state, withdrawn.state) == ("declined", "withdrawn")
        for made in (declined, withdrawn):
            with pytest.raises(Conflict):
                budget_moves.accept(made, by=actor_for(there.taker), at=LATER)
        assert amounts(there) == (1000, 400)


class TestConstraints:
    def test_refuse_a_move_that_makes_or_loses_money(self, there: BudgetWorld) -> None:
        made = offer(there)
        decided: dict[str, Any] = {"state": "accepted", "decided_at": LATER, "decided_by": there.taker}
        kept = {"from_before": 1000, "from_after": 750, "to_before": 400, "to_after": 650}
        rows = BudgetMove.objects.filter(pk=made.pk)

        for wrong in ({"to_after": 651}, {"from_after": 751}, {"from_before": None}, {"to_before": None}):
            with pytest.raises(IntegrityError, match="budget_move_conserves"), transaction.atomic():
                rows.update(**decided | kept | wrong)
        with pytest.raises(IntegrityError, match="budget_move_conserves"), transaction.atomic():
            rows.update(**decided | {"from_before": 249, "from_after": -1, "to_before": 400, "to_after": 650})
        rows.update(**decided | kept)

    def test_refuse_nothing_itself_and_nobody(self, there: BudgetWorld) -> None:
        rows = BudgetMove.objects.filter(pk=offer(there).pk)

        for name, wrong in (
            ("budget_move_is_positive", {"amount": 0}),
            ("budget_move_between_two", {"to_budget": there.marketing_budget}),
            ("budget_move_decided_by_somebody", {"state": "declined"}),
        ):
            with pytest.raises(IntegrityError, match=name), transaction.atomic():
                rows.update(**wrong)


class TestTakers:
    def test_are_the_others_of_the_organization(self, cast: Cast, there: BudgetWorld) -> None:
        set_budget(cast.stranger_team, "10", by=actor_for(cast.finance))

        found = set(budget_moves.takers(there.marketing_budget))

        assert found == {there.sales_budget, there.team_budget}


class TestVisibleMoves:
    def test_are_seen_from_both_sides(self, cast: Cast, there: BudgetWorld) -> None:
        made = offer(there)

        for person in (there.giver, there.taker, cast.finance):
            assert list(budget_moves.visible_moves(actor_for(person))) == [made]
        for person in (cast.consumer, cast.stranger, factories.make_user()):
            assert not budget_moves.visible_moves(actor_for(person)).exists()
