from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import DatabaseError, IntegrityError, transaction

from marketplace.accounts.access import actor_for
from marketplace.core.ids import uuid7
from marketplace.core.models import Notice
from metering.attribution import Dimensions
from quotas import admission, refusals
from quotas.admission import Estimate, HoldRequest
from quotas.budget_models import LimitRefusal
from quotas.limit_alerts import tell
from quotas.limit_watches import watch
from quotas.models import Limit
from tests.conftest import Cast
from tests.factories import LONG_AGO, NOW
from tests.metering.conftest import make_usage
from tests.quotas.budget_world import MONTH, BudgetWorld, limit_of, make_budget_world, set_budget, spend


@pytest.fixture
def there(cast: Cast) -> BudgetWorld:
    return make_budget_world(cast)


def ask(who: Dimensions, cost: str) -> list[Any]:
    hold_id = uuid7()
    usage = make_usage(who, str(hold_id))
    asked = HoldRequest(hold_id, usage, Estimate(1000, Decimal(cost)), NOW + timedelta(minutes=5))
    answers = admission.reserve([asked], at=NOW)
    refusals.note(answers, at=NOW)
    return answers


def told(person: Any) -> list[str]:
    notices = Notice.objects.filter(recipient=person, idempotency_key__startswith="limit-refusal:")
    return list(notices.order_by("created_at", "pk").values_list("text", flat=True))


class TestNote:
    def test_tells_owner_and_finance_that_calls_are_refused(
        self, cast: Cast, there: BudgetWorld, who: Dimensions
    ) -> None:
        at_marketing = who._replace(cost_center_id=there.marketing.pk)
        spend(there.marketing_budget, "400", held="50")

        ask(at_marketing, "560")
        tell(at=NOW)

        assert told(there.giver) == [
            "The budget of CC-700 Marketing refuses calls since 15 November, 12:00 UTC: $450.00 of $1,000.00 are spent "
            "or held, and a call asked for up to $560.00."
        ]
        assert told(cast.finance) == told(there.giver)
        assert told(there.taker) == told(cast.stranger) == []

    def test_does_so_once_for_a_month_and_amount(
        self, cast: Cast, there: BudgetWorld, who: Dimensions
    ) -> None:
        at_marketing = who._replace(cost_center_id=there.marketing.pk)
        spend(there.marketing_budget, "450")
        for _ in range(3):
            ask(at_marketing, "560")
            tell(at=NOW)
        assert len(told(there.giver)) == 1

        set_budget(there.marketing, "1001", by=actor_for(cast.finance))
        ask(at_marketing, "560")
        tell(at=NOW + timedelta(minutes=1))
        assert len(told(there.giver)) == 2

    def test_says_nothing_where_it_was_told_that_all_is_used(
        self, there: BudgetWorld, who: Dimensions
    ) -> None:
        spend(there.marketing_budget, "1000")
        ask(who._replace(cost_center_id=there.marketing.pk), "1")
        tell(at=NOW)

        assert told(there.giver) == []
        assert not LimitRefusal.objects.filter(told_at=None).exists()

    def test_tells_who_set_an_alert(self, cast: Cast, there: BudgetWorld, who: Dimensions) -> None:
        watch(budget=there.team_budget, percent=99, by=actor_for(cast.consumer), at=NOW)
        ask(who, "201")
        tell(at=NOW)

        assert len(told(cast.consumer)) == 1

    def test_is_of_budgets_only(self, who: Dimensions) -> None:
        Limit.objects.update(ends_at=LONG_AGO)
        Limit.objects.create(
            organization_id=who.organization_id, measure="cost", window="month", currency="USD", limit_value=1,
            starts_at=LONG_AGO,
        )  # fmt: skip
        Limit.objects.create(
            team_id=who.team_id, measure="requests", window="month", limit_value=0, starts_at=LONG_AGO
        )

        ask(who, "2")

        assert not LimitRefusal.objects.exists()

    def test_never_fails_answers_that_are_committed(
        self, there: BudgetWorld, who: Dimensions, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail(*_: Any, **__: Any) -> None:
            raise DatabaseError("away")

        monkeypatch.setattr(refusals, "_insert", fail)

        assert len(ask(who, "201")) == 1
        assert not LimitRefusal.objects.exists()

    def test_was_noted_once_says_the_database(self, there: BudgetWorld) -> None:
        row: dict[str, Any] = {
            "limit": limit_of(there.marketing_budget), "window_starts_at": MONTH, "limit_value": 1, "used": 1, "asked": 1,
            "first_at": NOW,
        }  # fmt: skip
        LimitRefusal.objects.create(**row)

        with pytest.raises(IntegrityError, match="limit_refusal_once"), transaction.atomic():
            LimitRefusal.objects.create(**row)
