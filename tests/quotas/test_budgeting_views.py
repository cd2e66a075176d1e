from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from marketplace.accounts.access import actor_for
from marketplace.accounts.models import User
from marketplace.core.models import Notice
from metering.models import ClosedPeriod
from quotas import budget_moves
from quotas.budget_models import Budget, BudgetMove, LimitWatch
from quotas.models import LimitCounter
from tests import factories
from tests.conftest import Cast
from tests.quotas.budget_world import BudgetWorld, limit_of, make_budget_world, set_budget

BUDGET = 12


@pytest.fixture
def there(cast: Cast) -> BudgetWorld:
    return make_budget_world(cast)


@pytest.fixture
def offered(there: BudgetWorld) -> BudgetMove:
    return budget_moves.offer(
        there.marketing_budget,
        to_budget=there.sales_budget,
        amount=Decimal(250),
        reason="A fair in December.",
        by=actor_for(there.giver),
        at=timezone.now(),
    )


def page(client: Client, person: User, path: str) -> str:
    client.force_login(person)
    answer = client.get(path)
    assert answer.status_code == 200, answer.status_code
    return answer.content.decode()


def post(client: Client, person: User, path: str, **data: Any) -> Any:
    client.force_login(person)
    return client.post(path, data)


def spend_now(budget: Budget, spent: str, *, held: str = "0") -> None:
    """Say what is used of a budget in the month of this moment."""
    now = timezone.now()
    first = now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    LimitCounter.objects.update_or_create(
        limit=limit_of(budget, at=now),
        window_starts_at=first,
        defaults={
            "window_ends_at": (first + timedelta(days=32)).replace(day=1),
            "is_hard": True,
            "ceiling": 1000,
            "spent": Decimal(spent),
            "held": Decimal(held),
        },
    )


class TestAllBudgets:
    def test_show_where_each_stands(self, cast: Cast, there: BudgetWorld, client: Client) -> None:
        spend_now(there.marketing_budget, "820", held="30")

        shown = page(client, cast.finance, "/budgets/")

        assert "CC-700 Marketing" in shown
        assert "$820.00" in shown
        assert "$30.00" in shown
        assert "$150.00" in shown
        assert "85 % taken" in shown
        assert "giver" in shown

    def test_filter_by_kind_and_mode(self, cast: Cast, there: BudgetWorld, client: Client) -> None:
        set_budget(there.sales, "400", by=actor_for(cast.finance), at=timezone.now(), mode="soft")

        assert "CC-700" not in page(client, cast.finance, "/budgets/?kind=team")
        soft = page(client, cast.finance, "/budgets/?mode=soft")
        assert "CC-800" in soft
        assert "CC-700" not in soft
        assert "CC-700" in page(client, cast.finance, "/budgets/?mode=nonsense&kind=x")

    def test_are_those_one_may_see(self, cast: Cast, there: BudgetWorld, client: Client) -> None:
        owners = page(client, there.giver, "/budgets/")
        assert "CC-700" in owners
        assert "CC-800" not in owners
        assert "Set a budget" not in owners
        assert "No budgets" in page(client, cast.creator, "/budgets/")
        assert "CC-700" not in page(client, cast.stranger, "/budgets/")

    def test_keep_to_their_number_of_queries(
        self,
        cast: Cast,
        there: BudgetWorld,
        client: Client,
        django_assert_max_num_queries: DjangoAssertNumQueries,
    ) -> None:
        for number in range(8):
            center = factories.make_cost_center(cast.company, code=f"CC-9{number}")
            set_budget(center, "100", by=actor_for(cast.finance))
        client.force_login(cast.finance)

        with django_assert_max_num_queries(BUDGET):
            client.get("/budgets/")


class TestBudget:
    def test_shows_the_month_its_history_and_who_is_told(
        self, cast: Cast, there: BudgetWorld, offered: BudgetMove, client: Client
    ) -> None:
        spend_now(there.marketing_budget, "820")

        shown = page(client, there.giver, f"/budgets/{there.marketing_budget.pk}/")

        assert "$820.00" in shown
        assert "In force" in shown
        assert "80 %, passed" in shown
        assert f"/budgets/moves/{offered.pk}/" in shown
        assert "Estimate" in shown
        assert "Move a part" in shown
        assert "Set thresholds" in shown

    def test_says_which_months_are_final(self, cast: Cast, there: BudgetWorld, client: Client) -> None:
        limit = limit_of(there.marketing_budget)
        for month, ends in (("2026-01-01", "2026-02-01"), ("2026-02-01", "2026-03-01")):
            LimitCounter.objects.create(
                limit=limit, window_starts_at=f"{month}T00:00Z", window_ends_at=f"{ends}T00:00Z", is_hard=True,
                ceiling=900, spent=333,
            )  # fmt: skip
        ClosedPeriod.objects.create(period="2026-01-01", closed_at=timezone.now())

        shown = page(client, cast.finance, f"/budgets/{there.marketing_budget.pk}/")

        assert "January 2026" in shown
        assert "$333.00" in shown
        assert shown.count("Final") == 1

    def test_is_not_there_for_the_stranger(
        self, cast: Cast, there: BudgetWorld, offered: BudgetMove, client: Client
    ) -> None:
        own = f"/budgets/{there.marketing_budget.pk}/"
        for person in (cast.stranger, cast.consumer, cast.creator, there.taker):
            client.force_login(person)
            assert client.get(own).status_code == 404
            assert client.get(f"{own}move/").status_code == 404
            assert client.post(f"{own}thresholds/", {"thresholds": "1"}).status_code == 404
        for person in (cast.stranger, cast.consumer):
            client.force_login(person)
            assert client.get(f"/budgets/moves/{offered.pk}/").status_code == 404
            assert client.post(f"/budgets/moves/{offered.pk}/", {"decision": "accept"}).status_code == 404

    def test_keeps_to_its_number_of_queries(
        self, cast: Cast, there: BudgetWorld, offered: BudgetMove, client: Client,
        django_assert_max_num_queries: DjangoAssertNumQueries,
    ) -> None:  # fmt: skip
        client.force_login(there.giver)

        with django_assert_max_num_queries(12):
            client.get(f"/budgets/{there.marketing_budget.pk}/")


class TestSetBudget:
    def test_sets_what_is_typed(self, cast: Cast, there: BudgetWorld, client: Client) -> None:
        typed = {
            "of": f"cost_center:{there.marketing.pk}", "amount": "1200.50", "mode": "soft", "begins": "",
            "thresholds": "70 %, 90", "reason": "a fair",
        }  # fmt: skip

        answer = post(client, cast.finance, "/budgets/set/", **typed)

        assert answer.headers["Location"] == f"/budgets/{there.marketing_budget.pk}/"
        limit = limit_of(there.marketing_budget, at=timezone.now())
        assert (limit.limit_value, limit.mode) == (Decimal("1200.50"), "soft")
        assert Budget.objects.get(pk=there.marketing_budget.pk).thresholds == [70, 90]

    def test_is_filled_with_the_present_one(self, cast: Cast, there: BudgetWorld, client: Client) -> None:
        shown = page(client, cast.finance, f"/budgets/set/?of=cost_center:{there.marketing.pk}")

        assert 'value="1000"' in shown
        assert 'value="50, 80, 95, 100"' in shown
        page(client, cast.finance, "/budgets/set/?of=team:99999999999999999999")

    def test_keeps_what_was_typed_beside_what_is_wrong(
        self, cast: Cast, there: BudgetWorld, client: Client
    ) -> None:
        typed = {"of": f"cost_center:{there.marketing.pk}", "amount": "7", "mode": "hard", "reason": "x"}

        shown = post(client, cast.finance, "/budgets/set/", **typed, thresholds="120").content.decode()

        assert "whole percentages from 1 to 100" in shown
        assert 'value="7"' in shown

    def test_is_for_finance_and_operators(self, cast: Cast, there: BudgetWorld, client: Client) -> None:
        for person in (cast.consumer, cast.creator, there.giver):
            client.force_login(person)
            assert client.get("/budgets/set/").status_code == 403
        # the stranger is finance of another company, and sees none of this one
        typed = {"of": f"cost_center:{there.marketing.pk}", "amount": "7", "mode": "hard", "reason": "x"}
        assert post(client, cast.stranger, "/budgets/set/", **typed).status_code == 200
        assert limit_of(there.marketing_budget, at=timezone.now()).limit_value == 1000


class TestSetThresholds:
    def test_sets_them(self, there: BudgetWorld, client: Client) -> None:
        path = f"/budgets/{there.marketing_budget.pk}/thresholds/"

        post(client, there.giver, path, thresholds="60,100")
        assert Budget.objects.get(pk=there.marketing_budget.pk).thresholds == [60, 100]
        for wrong in ("abc", "0", "60 60"):
            post(client, there.giver, path, thresholds=wrong)
        assert Budget.objects.get(pk=there.marketing_budget.pk).thresholds == [60, 100]


class TestMoves:
    def test_are_offered_and_accepted(self, there: BudgetWorld, client: Client) -> None:
        path = f"/budgets/{there.marketing_budget.pk}/move/"
        assert "At most $1,000.00" in page(client, there.giver, path)

        answer = post(
            client, there.giver, path, to=str(there.sales_budget.pk), amount="250", reason="A fair."
        )
        made = BudgetMove.objects.get()
        assert answer.headers["Location"] == f"/budgets/moves/{made.pk}/"
        assert Notice.objects.filter(recipient=there.taker).exists()

        shown = page(client, there.taker, f"/budgets/moves/{made.pk}/")
        assert "$750.00" in shown
        assert "$650.00" in shown
        post(client, there.taker, f"/budgets/moves/{made.pk}/", decision="accept", note="Thanks.")
        now = timezone.now()
        assert limit_of(there.marketing_budget, at=now).limit_value == 750
        assert limit_of(there.sales_budget, at=now).limit_value == 650
        assert "Accepted by" in page(client, there.giver, f"/budgets/moves/{made.pk}/")

    def test_say_what_is_too_much(self, there: BudgetWorld, client: Client) -> None:
        spend_now(there.marketing_budget, "900")
        path = f"/budgets/{there.marketing_budget.pk}/move/"

        shown = post(
            client, there.giver, path, to=str(there.sales_budget.pk), amount="250", reason="A fair."
        ).content.decode()

        assert "at most 100 can be moved" in shown
        assert not BudgetMove.objects.exists()

    def test_show_who_was_too_late_what_was_decided(
        self, there: BudgetWorld, offered: BudgetMove, client: Client
    ) -> None:
        budget_moves.withdraw(offered, by=actor_for(there.giver), at=timezone.now())

        shown = post(client, there.taker, f"/budgets/moves/{offered.pk}/", decision="accept").content.decode()

        assert "This budget move is withdrawn and cannot become accepted." in shown
        assert "Withdrawn by" in shown

    def test_have_buttons_for_those_who_decide(
        self, cast: Cast, there: BudgetWorld, offered: BudgetMove, client: Client
    ) -> None:
        path = f"/budgets/moves/{offered.pk}/"

        assert 'value="accept"' in page(client, there.taker, path)
        assert 'value="withdraw"' in page(client, there.giver, path)
        assert 'name="decision"' not in page(client, cast.finance, path)
        assert post(client, cast.finance, path, decision="accept").status_code == 403


class TestAlerts:
    def test_are_set_and_removed_on_the_page(self, cast: Cast, there: BudgetWorld, client: Client) -> None:
        own = f"/budgets/{there.team_budget.pk}/"
        asked = {"of": f"budget:{there.team_budget.pk}", "percent": "33", "from": "budget"}

        assert post(client, cast.consumer, "/budgets/alerts/", **asked).headers["Location"] == own
        one = LimitWatch.objects.get()
        assert "at 33 %" in page(client, cast.consumer, own)
        assert post(client, cast.stranger, f"/budgets/alerts/{one.pk}/remove/").status_code == 404
        post(client, cast.consumer, f"/budgets/alerts/{one.pk}/remove/", **{"from": "budget"})
        assert not LimitWatch.objects.exists()

    def test_are_of_what_one_may_see(self, cast: Cast, there: BudgetWorld, client: Client) -> None:
        for of in (f"budget:{there.team_budget.pk}", "budget:x", "subscription:x", "x", ""):
            answer = post(client, cast.stranger, "/budgets/alerts/", of=of, percent="33")
            assert answer.status_code in (302, 404)
        assert not LimitWatch.objects.exists()
