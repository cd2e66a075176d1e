from datetime import datetime, timedelta
from decimal import Decimal

import pytest
from django.db import IntegrityError, transaction

from marketplace.accounts.access import Actor, actor_for
from marketplace.core.errors import InvalidInput, NotAllowed
from marketplace.core.models import AuditEntry
from quotas import budgets, limits
from quotas.budget_history import follow
from quotas.budget_models import Budget, BudgetVersion
from quotas.limits import Terms
from quotas.models import Limit
from quotas.owners import owner_of
from tests import factories
from tests.conftest import Cast
from tests.factories import NOW
from tests.quotas.budget_world import (
    MONTH,
    NEXT_MONTH,
    BudgetWorld,
    limit_of,
    make_budget_world,
    set_budget,
    spend,
)

JANUARY = datetime.fromisoformat("2027-01-01T00:00:00+00:00")


@pytest.fixture
def finance(cast: Cast) -> Actor:
    return actor_for(cast.finance)


@pytest.fixture
def there(cast: Cast) -> BudgetWorld:
    return make_budget_world(cast)


def history(budget: Budget) -> list[tuple[Decimal, str, datetime, datetime | None]]:
    """Return the versions that ever held, the oldest first."""
    rows = budget.versions.order_by("starts_at", "pk").values_list("amount", "mode", "starts_at", "ends_at")
    return [row for row in rows if row[2] != row[3]]


class TestSetBudget:
    def test_is_the_monthly_cost_limit_of_its_owner(self, there: BudgetWorld) -> None:
        limit = limit_of(there.marketing_budget)

        assert (limit.cost_center, limit.measure, limit.window) == (there.marketing, "cost", "month")
        assert (limit.limit_value, limit.currency, limit.mode) == (1000, "USD", "hard")
        assert there.marketing_budget.thresholds == [50, 80, 95, 100]
        assert history(there.marketing_budget) == [(1000, "hard", MONTH, None)]

    def test_keeps_what_was_and_what_is_spent(self, there: BudgetWorld, finance: Actor) -> None:
        spend(there.marketing_budget, "300", held="20")
        before = limit_of(there.marketing_budget)

        set_budget(there.marketing, "1500", by=finance, mode="soft", reason="a fair in December")

        assert limit_of(there.marketing_budget).pk == before.pk
        assert before.counters.get().spent == 300
        assert history(there.marketing_budget) == [(1000, "hard", MONTH, NOW), (1500, "soft", NOW, None)]
        newest = there.marketing_budget.versions.latest("pk")
        assert (newest.made_by, newest.reason) == (finance.user, "a fair in December")

    def test_begins_with_a_later_month_when_asked(self, there: BudgetWorld, finance: Actor) -> None:
        set_budget(there.marketing, "700", by=finance, starts_at=NEXT_MONTH)

        assert limit_of(there.marketing_budget).limit_value == 1000
        assert limit_of(there.marketing_budget, at=NEXT_MONTH - timedelta(seconds=1)).limit_value == 1000
        assert limit_of(there.marketing_budget, at=NEXT_MONTH).limit_value == 700
        assert history(there.marketing_budget) == [
            (1000, "hard", MONTH, NEXT_MONTH),
            (700, "hard", NEXT_MONTH, None),
        ]

    def test_leaves_no_month_without_one_when_a_later_one_is_put_off(
        self, there: BudgetWorld, finance: Actor
    ) -> None:
        set_budget(there.marketing, "700", by=finance, starts_at=NEXT_MONTH)
        set_budget(there.marketing, "800", by=finance, starts_at=JANUARY)

        assert limit_of(there.marketing_budget, at=NEXT_MONTH).limit_value == 1000
        assert limit_of(there.marketing_budget, at=JANUARY).limit_value == 800
        assert history(there.marketing_budget) == [
            (1000, "hard", MONTH, JANUARY),
            (800, "hard", JANUARY, None),
        ]

    def test_changes_the_present_and_leaves_what_was_decided_for_later(
        self, there: BudgetWorld, finance: Actor
    ) -> None:
        set_budget(there.marketing, "700", by=finance, starts_at=NEXT_MONTH)
        set_budget(there.marketing, "1200", by=finance)

        assert limit_of(there.marketing_budget).limit_value == 1200
        # in_force().get() fails when two held at once
        assert limit_of(there.marketing_budget, at=NEXT_MONTH).limit_value == 700
        assert history(there.marketing_budget) == [
            (1000, "hard", MONTH, NOW),
            (1200, "hard", NOW, NEXT_MONTH),
            (700, "hard", NEXT_MONTH, None),
        ]

    def test_is_for_finance_and_operators(self, cast: Cast, there: BudgetWorld) -> None:
        for person in (there.giver, cast.consumer, cast.creator, cast.approver, cast.stranger):
            with pytest.raises(NotAllowed):
                set_budget(there.marketing, "1", by=actor_for(person))

        set_budget(there.marketing, "900", by=actor_for(cast.operator))

    @pytest.mark.parametrize(
        ("field", "asked"),
        [
            ("starts_at", {"starts_at": NOW + timedelta(days=3)}),
            ("mode", {"mode": "warn"}),
            ("thresholds", {"thresholds": [0]}),
            ("thresholds", {"thresholds": [101]}),
            ("thresholds", {"thresholds": [50, 50]}),
            ("thresholds", {"thresholds": list(range(1, 12))}),
        ],
    )
    def test_names_what_is_wrong(
        self, there: BudgetWorld, finance: Actor, field: str, asked: dict[str, object]
    ) -> None:
        with pytest.raises(InvalidInput) as caught:
            set_budget(there.marketing, "10", by=finance, **asked)

        assert caught.value.errors[0].field == field
        assert limit_of(there.marketing_budget).limit_value == 1000

    def test_of_an_app_is_none(self, cast: Cast, finance: Actor) -> None:
        app = factories.make_listed_app(cast.creator_team)

        with pytest.raises(InvalidInput, match="has no budget"):
            budgets.set_budget(owner_of("app", app), amount=Decimal(1), currency="USD", by=finance, at=NOW)


class TestHistory:
    def test_follows_limits_that_are_set_as_limits(self, there: BudgetWorld, finance: Actor) -> None:
        owner = owner_of("cost_center", there.marketing)

        limits.set_limit(owner, terms=Terms("cost", "month", Decimal(50), "hard", "USD"), by=finance, at=NOW)
        limits.end_limit(
            limit_of(there.marketing_budget), owner=owner, by=finance, at=NOW + timedelta(days=1)
        )

        assert history(there.marketing_budget) == [
            (1000, "hard", MONTH, NOW),
            (50, "hard", NOW, NOW + timedelta(days=1)),
        ]

    def test_is_of_monthly_cost_of_cost_centers_and_teams_only(self, cast: Cast, finance: Actor) -> None:
        company = owner_of("organization", cast.company)
        team = owner_of("team", cast.consumer_team)

        limits.set_limit(
            company, terms=Terms("cost", "month", Decimal(50), "hard", "USD"), by=finance, at=NOW
        )
        limits.set_limit(team, terms=Terms("cost", "day", Decimal(50), "hard", "USD"), by=finance, at=NOW)
        limits.set_limit(team, terms=Terms("requests", "month", Decimal(50)), by=finance, at=NOW)

        assert not Budget.objects.exists()

    def test_has_one_version_at_any_moment(self, there: BudgetWorld) -> None:
        limit = limit_of(there.marketing_budget)
        later = {"starts_at": NOW, "ends_at": None, "made_at": NOW, "mode": "hard", "currency": "USD"}

        with pytest.raises(IntegrityError, match="budget_version_one_in_force"), transaction.atomic():
            BudgetVersion.objects.create(
                budget=there.marketing_budget, limit=limit, amount=Decimal(1), **later
            )

    def test_is_in_order_when_the_clock_of_a_process_is_behind(
        self, there: BudgetWorld, finance: Actor
    ) -> None:
        limit = limit_of(there.marketing_budget)
        Limit.objects.filter(pk=limit.pk).update(limit_value=5)
        limit.refresh_from_db()

        follow(limit, by=finance.user, at=MONTH - timedelta(seconds=1))

        assert history(there.marketing_budget) == [(5, "hard", MONTH, None)]

    def test_is_never_deleted(self, there: BudgetWorld) -> None:
        with pytest.raises(Exception, match="Cannot delete"), transaction.atomic():
            there.marketing_budget.versions.all().delete()

    def test_has_one_owner(self, cast: Cast, there: BudgetWorld) -> None:
        with pytest.raises(IntegrityError, match="budget_has_one_owner"), transaction.atomic():
            Budget.objects.create(cost_center=cast.cost_center, team=cast.creator_team, created_at=NOW)
        with pytest.raises(IntegrityError, match="budget_one_of_team"), transaction.atomic():
            Budget.objects.create(team=cast.consumer_team, created_at=NOW)
        with pytest.raises(IntegrityError, match="budget_one_of_cost_center"), transaction.atomic():
            Budget.objects.create(cost_center=there.sales, created_at=NOW)


class TestSetThresholds:
    def test_is_for_the_owner_and_finance(self, cast: Cast, there: BudgetWorld) -> None:
        budgets.set_thresholds(there.marketing_budget, thresholds=[90, 70], by=actor_for(there.giver), at=NOW)

        assert Budget.objects.get(pk=there.marketing_budget.pk).thresholds == [70, 90]
        entry = AuditEntry.objects.get(action="quotas.budget.thresholds")
        assert (entry.old, entry.new) == ({"thresholds": [50, 80, 95, 100]}, {"thresholds": [70, 90]})
        for person in (there.taker, cast.consumer, cast.stranger):
            with pytest.raises(NotAllowed):
                budgets.set_thresholds(there.marketing_budget, thresholds=[10], by=actor_for(person), at=NOW)


class TestVisibleBudgets:
    def test_are_those_one_answers_for_serves_or_belongs_to(self, cast: Cast, there: BudgetWorld) -> None:
        all_of_them = {there.marketing_budget, there.sales_budget, there.team_budget}

        def seen_by(person: object) -> set[Budget]:
            return set(budgets.visible_budgets(actor_for(person)))  # type: ignore[arg-type]

        assert seen_by(cast.finance) == seen_by(cast.operator) == all_of_them
        assert seen_by(there.giver) == {there.marketing_budget}
        assert seen_by(cast.consumer) == {there.team_budget}
        # finance of the cast owns the cost center of the team
        assert budgets.who_answers(there.team_budget) == cast.finance
        assert seen_by(cast.stranger) == seen_by(cast.creator) == set()
