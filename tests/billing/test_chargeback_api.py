from collections.abc import Iterator
from typing import Any
from unittest import mock

import pytest

from billing.models import CostStatement, Invoice, StatementDispute
from marketplace.accounts.models import User
from tests.billing.test_chargeback_pages import NOW, owner, second, statement
from tests.billing.test_finance_api import client_of
from tests.conftest import Cast

__all__ = ["owner", "second", "statement"]


@pytest.fixture(autouse=True)
def clock() -> Iterator[Any]:
    with mock.patch("django.utils.timezone.now", return_value=NOW) as now:
        yield now


class TestCostStatements:
    def test_are_listed_and_shown_with_their_rows(self, owner: User, statement: CostStatement) -> None:
        client = client_of(owner)

        listed = client.get("/api/v1/cost-statements", {"period": "2026-10", "cost_center": "CC-200"}).json()
        shown = client.get(f"/api/v1/cost-statements/{statement.pk}").json()

        assert [one["id"] for one in listed["results"]] == [str(statement.pk)]
        assert (shown["direct_minor"], shown["shared_minor"], shown["total"]) == (1_300, 0, "13.00")
        assert [(row["kind"], row["sku"], row["amount_minor"]) for row in shown["rows"]] == [
            ("direct", "cost", 1_300)
        ]

    def test_are_nothing_to_strangers(self, cast: Cast, statement: CostStatement) -> None:
        client = client_of(cast.stranger)

        assert client.get("/api/v1/cost-statements").json()["results"] == []
        assert client.get(f"/api/v1/cost-statements/{statement.pk}").status_code == 404


class TestDisputes:
    def test_are_opened_by_the_number_of_the_statement_and_accepted(
        self, cast: Cast, owner: User, statement: CostStatement
    ) -> None:
        number = Invoice.objects.get(cost_center=statement.cost_center).number
        body = {"statement": number, "amount": "5.00", "reason": "Not ours."}
        opened = client_of(owner).post("/api/v1/disputes", body)
        address = f"/api/v1/disputes/{opened.json()['id']}"

        assert (opened.status_code, opened.json()["amount_minor"]) == (201, 500)
        again = client_of(owner).post("/api/v1/disputes", body)
        assert (again.status_code, again.json()["code"]) == (409, "disputed_already")
        assert client_of(cast.stranger).get(address).status_code == 404
        assert client_of(owner).post(f"{address}/accept", {"note": "Mine."}).status_code == 403
        decided = client_of(cast.finance).post(
            f"{address}/accept", {"note": "Right.", "amount": "2.50", "charge_to": "CC-100"}
        )
        assert (decided.status_code, decided.json()["state"]) == (200, "accepted")
        late = client_of(cast.finance).post(f"{address}/reject", {"note": "No."})
        assert late.status_code == 409
        made = StatementDispute.objects.get().corrections.values_list("cost_center__code", "amount_minor")
        assert sorted(made) == [("CC-100", 250), ("CC-200", -250)]

    def test_refuse_floats_and_unknown_statements(self, owner: User, statement: CostStatement) -> None:
        client = client_of(owner)
        for body, field in (
            ({"statement": str(statement.pk), "amount": 5.5, "reason": "Not ours."}, "amount"),
            ({"statement": "ST-2026-999999", "amount": "5", "reason": "Not ours."}, "statement"),
            ({"statement": str(statement.pk), "amount": "5", "reason": "x", "app": "no-such-app"}, "app"),
        ):
            answer = client.post("/api/v1/disputes", body)
            assert answer.status_code == 400
            assert field in str(answer.json())


class TestReopening:
    def test_takes_two_people(self, cast: Cast, second: User, statement: CostStatement) -> None:
        address = "/api/v1/periods/2026-10/reopen"
        asked = client_of(cast.finance).post(address, {"reason": "A fee was forgotten."})

        assert (asked.status_code, asked.json()["state"]) == (202, "proposed")
        assert client_of(cast.finance).post(address, {}).status_code == 403
        assert client_of(cast.stranger).post(address, {"reason": "Mine."}).status_code == 403
        agreed = client_of(second).post(address, {})
        assert (agreed.status_code, agreed.json()["state"]) == (200, "approved")
        # Usage and invoices of it stay closed.
        assert client_of(cast.finance).get("/api/v1/periods/2026-10").json()["state"] == "closed"
        locked = client_of(cast.finance).post("/api/v1/periods/2026-10/lock")
        assert (locked.status_code, locked.json()["state"]) == (200, "ended")

    def test_is_of_closed_months(self, cast: Cast, statement: CostStatement) -> None:
        client = client_of(cast.finance)

        assert client.post("/api/v1/periods/2025-01/reopen", {"reason": "x"}).status_code == 404
        assert client.post("/api/v1/periods/2026-11/reopen", {"reason": "x"}).status_code in (404, 409)
