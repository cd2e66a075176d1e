from decimal import Decimal
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from marketplace.accounts.access import actor_for
from marketplace.accounts.models import User
from quotas import budget_moves
from quotas.budget_models import BudgetMove
from tests.conftest import Cast
from tests.quotas.budget_world import BudgetWorld, limit_of, make_budget_world, set_budget
from tests.quotas.test_budgeting_views import spend_now

BUDGETS, MOVES = "/api/v1/budgets", "/api/v1/budget-moves"


@pytest.fixture
def there(cast: Cast) -> BudgetWorld:
    return make_budget_world(cast)


@pytest.fixture
def ask(client: Client) -> Any:
    def request(person: User, path: str, body: Any = None) -> Any:
        client.force_login(person)
        return client.get(path) if body is None else client.post(path, body, content_type="application/json")

    return request


def offer(there: BudgetWorld, amount: str = "250") -> BudgetMove:
    return budget_moves.offer(
        there.marketing_budget, to_budget=there.sales_budget, amount=Decimal(amount), reason="a fair",
        by=actor_for(there.giver), at=timezone.now(),
    )  # fmt: skip


class TestBudgets:
    def test_are_listed_with_where_they_stand(self, cast: Cast, there: BudgetWorld, ask: Any) -> None:
        spend_now(there.marketing_budget, "820.5", held="30")

        found = ask(cast.finance, f"{BUDGETS}?owner_kind=cost_center&owner_id=CC-700").json()["results"]

        assert len(found) == 1
        one = found[0]
        assert one["owner"] == {"kind": "cost_center", "id": "CC-700", "label": "CC-700 Marketing"}
        assert (one["amount"], one["currency"], one["mode"]) == ("1000", "USD", "hard")
        assert (one["used"], one["held"], one["remaining"], one["used_percent"]) == (
            "820.5",
            "30",
            "149.5",
            85,
        )
        assert (one["thresholds"], one["passed"]) == ([50, 80, 95, 100], [50, 80])
        assert one["answers_for_it"] == "giver@demo.example"
        assert one["forecast"] is None

    def test_are_filtered(self, cast: Cast, there: BudgetWorld, ask: Any) -> None:
        set_budget(there.sales, "400", by=actor_for(cast.finance), at=timezone.now(), mode="soft")

        def found(query: str) -> set[str]:
            answer = ask(cast.finance, f"{BUDGETS}?{query}")
            return {one["owner"]["id"] for one in answer.json()["results"]}

        assert found("") == {"CC-700", "CC-800", "team-ops"}
        assert found("owner_kind=team") == {"team-ops"}
        assert found("mode=soft") == {"CC-800"}
        assert found("organization=other") == set()
        assert ask(cast.finance, f"{BUDGETS}?mode=x").status_code == 400
        assert ask(cast.finance, f"{BUDGETS}?owner_kind=app&owner_id=x").status_code in (400, 404)

    def test_come_with_their_history(self, cast: Cast, there: BudgetWorld, ask: Any) -> None:
        one = ask(there.giver, f"{BUDGETS}/{there.marketing_budget.pk}").json()

        assert [(each["amount"], each["ends_at"]) for each in one["versions"]] == [("1000", None)]
        assert one["versions"][0]["made_by"] == "finance@demo.example"

    def test_are_not_there_for_the_stranger(self, cast: Cast, there: BudgetWorld, ask: Any) -> None:
        for person in (cast.stranger, cast.creator, cast.consumer):
            assert ask(person, f"{BUDGETS}/{there.marketing_budget.pk}").status_code == 404
            answer = ask(person, f"{BUDGETS}/{there.marketing_budget.pk}/thresholds", {"thresholds": [5]})
            assert answer.status_code == 404
        assert ask(cast.stranger, BUDGETS).json()["results"] == []


class TestSet:
    def test_sets_the_limit(self, cast: Cast, there: BudgetWorld, ask: Any) -> None:
        asked = {"owner": {"kind": "cost_center", "id": "CC-700"}, "amount": "1200", "thresholds": [90]}

        answer = ask(cast.finance, BUDGETS, asked)

        assert answer.status_code == 200
        assert (answer.json()["amount"], answer.json()["thresholds"]) == ("1200", [90])
        limits = ask(cast.finance, "/api/v1/limits?owner_kind=cost_center&owner_id=CC-700").json()["results"]
        assert [(one["id"], one["limit"]) for one in limits] == [(answer.json()["limit_id"], "1200")]

    def test_makes_one_where_there_is_none(self, cast: Cast, there: BudgetWorld, ask: Any) -> None:
        asked = {"owner": {"kind": "team", "id": "team-ux"}, "amount": "5", "mode": "soft"}

        assert ask(cast.operator, BUDGETS, asked).status_code == 201
        assert ask(cast.operator, BUDGETS, asked).status_code == 200

    @pytest.mark.parametrize(
        ("field", "change"),
        [
            ("amount", {"amount": 12.5}),
            ("amount", {"amount": None}),
            ("limit", {"amount": "-1"}),
            ("mode", {"mode": "warn"}),
            ("currency", {"currency": "EUR"}),
            ("thresholds", {"thresholds": ["50"]}),
            ("thresholds", {"thresholds": [500]}),
            ("starts_at", {"starts_at": "2090-01-02"}),
            ("owner", {"owner": "CC-700"}),
            ("owner.kind", {"owner": {"kind": "organization", "id": "demo"}}),
            ("color", {"color": "red"}),
        ],
    )
    def test_names_the_field_that_is_wrong(
        self, cast: Cast, there: BudgetWorld, ask: Any, field: str, change: dict[str, Any]
    ) -> None:
        asked = {"owner": {"kind": "cost_center", "id": "CC-700"}, "amount": "1200"} | change

        answer = ask(cast.finance, BUDGETS, asked)

        assert answer.status_code == 400, answer.content
        assert answer.json()["errors"][0]["field"] == field

    def test_is_for_finance_and_operators(self, cast: Cast, there: BudgetWorld, ask: Any) -> None:
        asked = {"owner": {"kind": "cost_center", "id": "CC-700"}, "amount": "1"}

        assert ask(there.giver, BUDGETS, asked).status_code == 403
        assert ask(cast.stranger, BUDGETS, asked).status_code == 404

    def test_of_thresholds_is_for_the_owner_too(self, there: BudgetWorld, ask: Any) -> None:
        answer = ask(there.giver, f"{BUDGETS}/{there.marketing_budget.pk}/thresholds", {"thresholds": [9, 3]})

        assert answer.json()["thresholds"] == [3, 9]


class TestMoves:
    def test_go_from_offer_to_acceptance(self, cast: Cast, there: BudgetWorld, ask: Any) -> None:
        asked = {
            "from": str(there.marketing_budget.pk), "to": str(there.sales_budget.pk), "amount": "250",
            "reason": "a fair",
        }  # fmt: skip

        made = ask(there.giver, MOVES, asked)
        assert made.status_code == 201, made.content
        path = f"{MOVES}/{made.json()['id']}"
        assert ask(there.taker, path).json()["state"] == "offered"
        accepted = ask(there.taker, f"{path}/accept", {"note": "thanks"}).json()

        assert (accepted["state"], accepted["decided_by"]) == ("accepted", "taker@demo.example")
        assert [accepted[name] for name in ("from_before", "from_after", "to_before", "to_after")] == [
            "1000", "750", "400", "650",
        ]  # fmt: skip
        assert limit_of(there.sales_budget, at=timezone.now()).limit_value == 650
        assert ask(there.taker, f"{path}/accept", {}).status_code == 409

    def test_are_declined_and_withdrawn(self, there: BudgetWorld, ask: Any) -> None:
        first, second = offer(there), offer(there)

        assert ask(there.taker, f"{MOVES}/{first.pk}/decline", {}).json()["state"] == "declined"
        assert ask(there.taker, f"{MOVES}/{second.pk}/withdraw", {}).status_code == 403
        assert ask(there.giver, f"{MOVES}/{second.pk}/withdraw", {}).json()["state"] == "withdrawn"

    def test_are_filtered(self, cast: Cast, there: BudgetWorld, ask: Any) -> None:
        first, second = offer(there), offer(there)
        budget_moves.decline(first, by=actor_for(there.taker), at=timezone.now())

        def found(query: str) -> list[str]:
            return [one["id"] for one in ask(cast.finance, f"{MOVES}?{query}").json()["results"]]

        assert found("state=offered") == [str(second.pk)]
        assert found(f"budget={there.sales_budget.pk}") == [str(second.pk), str(first.pk)]
        assert found(f"budget={there.team_budget.pk}") == []

    def test_are_not_there_for_the_stranger(self, cast: Cast, there: BudgetWorld, ask: Any) -> None:
        made = offer(there)
        asked = {
            "from": str(there.marketing_budget.pk),
            "to": str(there.sales_budget.pk),
            "amount": "1",
            "reason": "x",
        }

        for person in (cast.stranger, cast.consumer):
            assert ask(person, f"{MOVES}/{made.pk}").status_code == 404
            assert ask(person, f"{MOVES}/{made.pk}/accept", {}).status_code == 404
            assert ask(person, MOVES, asked).status_code == 404
            assert ask(person, MOVES).json()["results"] == []

    def test_tell_nothing_of_budgets_of_others(self, cast: Cast, there: BudgetWorld, ask: Any) -> None:
        foreign = set_budget(cast.stranger_team, "10", by=actor_for(cast.finance))
        asked = {"from": str(there.marketing_budget.pk), "amount": "1", "reason": "x"}

        assert ask(there.giver, MOVES, asked | {"to": str(foreign.pk)}).status_code == 404
        assert ask(there.giver, MOVES, asked | {"to": "x"}).status_code == 404
        assert ask(there.giver, MOVES, asked | {"to": str(there.marketing_budget.pk)}).status_code == 400

    def test_are_refused_when_too_little_is_left(self, there: BudgetWorld, ask: Any) -> None:
        spend_now(there.marketing_budget, "900")
        asked = {
            "from": str(there.marketing_budget.pk), "to": str(there.sales_budget.pk), "amount": "250", "reason": "x",
        }  # fmt: skip

        answer = ask(there.giver, MOVES, asked)

        assert answer.status_code == 409
        assert answer.json()["code"] == "budget_too_small"
