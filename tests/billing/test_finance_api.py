import csv
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from io import StringIO
from typing import Any
from unittest import mock

import pytest
from rest_framework.test import APIClient

from billing import tasks as _tasks  # noqa: F401  registers the work of the jobs run here
from billing.models import Invoice
from marketplace.accounts import people
from marketplace.accounts.models import User
from marketplace.core import jobs
from tests.billing.test_close import COST, FEE, close, subscribe
from tests.billing.usage import use
from tests.conftest import Cast

NOW = datetime(2026, 11, 15, 12, tzinfo=UTC)


@pytest.fixture(autouse=True)
def clock() -> Iterator[None]:
    with mock.patch("django.utils.timezone.now", return_value=NOW):
        yield


@pytest.fixture
def statement(cast: Cast) -> Invoice:
    use(subscribe(cast, [FEE, COST]), requests=10_000, cost="100")
    (statement,) = close()
    return statement


def client_of(user: User) -> APIClient:
    _, secret = people.issue_personal_key(user, by=user, at=NOW)
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {secret}")
    return client


class TestPeriods:
    def test_are_listed_for_finance(self, cast: Cast, statement: Invoice) -> None:
        answer = client_of(cast.finance).get("/api/v1/periods")

        months = [(one["name"], one["state"]) for one in answer.json()["results"]]
        assert months == [("2026-11", "open"), ("2026-10", "closed")]

    def test_are_closed_in_the_background(self, cast: Cast) -> None:
        use(subscribe(cast, [FEE, COST]), requests=10_000, cost="100")
        client = client_of(cast.finance)

        started = client.post("/api/v1/periods/2026-10/close")
        assert started.status_code == 202
        jobs.run(started.json()["job"]["id"], at=NOW)
        again = client.post("/api/v1/periods/2026-10/close")

        assert again.status_code == 200
        assert again.json()["state"] == "closed"
        assert again.json()["job"]["state"] == "done"
        assert Invoice.objects.get().total_minor == 18_000

    def test_are_not_closed_before_they_end(self, cast: Cast) -> None:
        answer = client_of(cast.finance).post("/api/v1/periods/2026-11/close")

        assert answer.status_code == 409
        assert answer.json()["code"] == "month_not_over"

    def test_are_not_for_others(self, cast: Cast) -> None:
        for person in (cast.creator, cast.consumer, cast.approver, cast.operator):
            assert client_of(person).get("/api/v1/periods").status_code == 403
            assert client_of(person).post("/api/v1/periods/2026-10/close").status_code == 403
        assert client_of(cast.stranger).post("/api/v1/periods/2026-10/close").status_code == 403
        assert APIClient().get("/api/v1/periods").status_code == 401

    def test_that_are_no_months_are_refused(self, cast: Cast) -> None:
        assert client_of(cast.finance).get("/api/v1/periods/2026-13").status_code == 400
        assert client_of(cast.finance).get("/api/v1/periods/soon").status_code == 404


class TestInvoices:
    def test_show_lines_with_explanation(self, cast: Cast, statement: Invoice) -> None:
        answer = client_of(cast.consumer).get("/api/v1/invoices/ST-2026-000001")

        body = answer.json()
        assert body["total_minor"] == 18_000
        assert body["total"] == "180.00"
        assert body["cost_center"] == "CC-100"
        assert body["is_posted"] is True
        fee, cost = body["lines"]
        assert (fee["code"], fee["amount"], fee["amount_minor"]) == ("fee", "50", 5_000)
        assert (cost["quantity"], cost["amount"], cost["platform_cost"]) == ("100", "130", "100")
        assert cost["explanation"][0]["unit_amount"] == "1.3"

    @pytest.mark.parametrize(
        ("query", "count"),
        [
            ("", 1),
            ("?period=2026-10", 1),
            ("?period=2026-09", 0),
            ("?cost_center=CC-100&kind=statement", 1),
            ("?cost_center=CC-1", 0),
            ("?kind=invoice", 0),
        ],
    )
    def test_are_filtered(self, cast: Cast, statement: Invoice, query: str, count: int) -> None:
        answer = client_of(cast.finance).get(f"/api/v1/invoices{query}")

        assert len(answer.json()["results"]) == count

    def test_refuse_a_kind_that_is_none(self, cast: Cast) -> None:
        assert client_of(cast.finance).get("/api/v1/invoices?kind=gift").status_code == 400

    def test_are_not_for_strangers(self, cast: Cast, statement: Invoice) -> None:
        client = client_of(cast.stranger)

        assert client.get("/api/v1/invoices").json()["results"] == []
        assert client.get("/api/v1/statements").json()["results"] == []
        assert client.get("/api/v1/invoices/ST-2026-000001").status_code == 404
        assert client.get("/api/v1/invoices/ST-2026-000001.pdf").status_code == 404
        assert client.get("/api/v1/exports/journal.csv").status_code == 403
        assert client.get("/api/v1/exports/invoices.csv").content.decode().count("\r\n") == 1

    def test_are_given_as_pdf(self, cast: Cast, statement: Invoice) -> None:
        client = client_of(cast.finance)

        first = client.get("/api/v1/invoices/ST-2026-000001.pdf")

        assert first["Content-Type"] == "application/pdf"
        assert first.content == client.get("/api/v1/invoices/ST-2026-000001.pdf").content

    def test_read_little(self, cast: Cast, statement: Invoice, django_assert_max_num_queries: Any) -> None:
        client = client_of(cast.finance)
        with django_assert_max_num_queries(8):
            client.get("/api/v1/invoices")


class TestStatements:
    def test_leave_invoices_out(self, cast: Cast) -> None:
        use(subscribe(cast, [FEE]), requests=1, cost="0")
        use(subscribe(cast, [FEE], team=cast.stranger_team), requests=1, cost="0")
        close()
        client = client_of(cast.finance)

        numbers = [one["number"] for one in client.get("/api/v1/statements").json()["results"]]

        assert numbers == ["ST-2026-000001"]
        assert len(client.get("/api/v1/invoices").json()["results"]) == 2


class TestExports:
    def test_of_the_journal_balance(self, cast: Cast, statement: Invoice) -> None:
        answer = client_of(cast.finance).get("/api/v1/exports/journal.csv?period=2026-10")

        rows = list(csv.DictReader(StringIO(answer.content.decode())))
        assert sum(Decimal(row["debit"] or 0) - Decimal(row["credit"] or 0) for row in rows) == 0
        assert {row["period"] for row in rows} == {"2026-10"}


class TestPathsOfTheApi:
    def test_that_do_not_exist_are_problems_too(self, cast: Cast) -> None:
        client = client_of(cast.finance)

        for answer in (client.get("/api/v1/nothing"), client.post("/api/v1/nothing/here", {})):
            assert (answer.status_code, answer["Content-Type"]) == (404, "application/problem+json")
            assert answer.json()["code"] == "not_found"

    def test_to_things_of_others_read_like_paths_to_nothing(self, cast: Cast, statement: Invoice) -> None:
        answer = client_of(cast.stranger).get(f"/api/v1/invoices/{statement.number}")

        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


class TestFilters:
    def test_of_months_take_a_state(self, cast: Cast, statement: Invoice) -> None:
        client = client_of(cast.finance)

        closed = client.get("/api/v1/periods?state=closed").json()["results"]

        assert [one["name"] for one in closed] == ["2026-10"]
        assert client.get("/api/v1/periods?state=shut").status_code == 400

    @pytest.mark.parametrize(
        "path", ["invoices", "statements", "exports/invoices.csv", "exports/journal.csv"]
    )
    def test_refuse_what_is_no_month(self, cast: Cast, path: str) -> None:
        answer = client_of(cast.finance).get(f"/api/v1/{path}?period=2026-1")

        assert answer.status_code == 400
        assert answer.json()["errors"][0]["field"] == "period"
