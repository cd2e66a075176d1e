import csv
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from io import StringIO
from typing import Any
from unittest import mock

import pytest
from django.test import Client
from django.urls import reverse

from billing import background
from billing import tasks as _tasks  # noqa: F401  registers the work of the jobs run here
from billing.models import BillingPeriod, Invoice
from marketplace.accounts.models import User
from marketplace.core import jobs
from marketplace.core.models import Job, Notice
from tests import factories
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


@pytest.fixture
def stranger_invoice(cast: Cast) -> Invoice:
    use(subscribe(cast, [FEE], team=cast.stranger_team), requests=1, cost="0")
    (invoice,) = close()
    return invoice


def signed_in(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def text(response: Any) -> str:
    assert response.status_code == 200, response.status_code
    return str(response.content.decode())


class TestOverview:
    def test_offers_to_close_the_oldest_month_that_is_over(self, cast: Cast) -> None:
        use(subscribe(cast, [FEE]), requests=1, cost="0", at=datetime(2026, 9, 3, tzinfo=UTC))

        page = text(signed_in(cast.finance).get(reverse("billing:overview")))

        assert "Close September 2026" in page
        assert "October 2026" in page
        assert "November 2026" in page

    def test_shows_totals_of_closed_months(self, cast: Cast, statement: Invoice) -> None:
        page = text(signed_in(cast.finance).get(reverse("billing:overview")))

        assert "$180.00" in page

    def test_is_for_finance(self, cast: Cast) -> None:
        for person in (cast.creator, cast.consumer, cast.approver, cast.operator):
            assert signed_in(person).get(reverse("billing:overview")).status_code == 403

    def test_tells_another_organization_nothing(self, cast: Cast, statement: Invoice) -> None:
        page = text(signed_in(cast.stranger).get(reverse("billing:overview")))

        assert "$180.00" not in page
        assert "Close October" not in page

    def test_reads_little(self, cast: Cast, statement: Invoice, django_assert_max_num_queries: Any) -> None:
        client = signed_in(cast.finance)
        with django_assert_max_num_queries(12):
            client.get(reverse("billing:overview"))


class TestClosing:
    def test_shows_what_will_be_billed_before_it_is(self, cast: Cast) -> None:
        use(subscribe(cast, [FEE, COST]), requests=10_000, cost="100")

        page = text(signed_in(cast.finance).get(reverse("billing:period-close", args=["2026-10"])))

        assert "$180.00" in page
        assert not BillingPeriod.objects.exists()

    def test_reads_little_for_the_preview(
        self, cast: Cast, statement: Invoice, django_assert_max_num_queries: Any
    ) -> None:
        use(subscribe(cast, [FEE]), requests=1, cost="0", at=datetime(2026, 9, 3, tzinfo=UTC))
        client = signed_in(cast.finance)
        with django_assert_max_num_queries(24):
            client.get(reverse("billing:period-close", args=["2026-09"]))

    def test_is_done_by_a_worker_and_told(self, cast: Cast) -> None:
        use(subscribe(cast, [FEE, COST]), requests=10_000, cost="100")
        client = signed_in(cast.finance)

        answer = client.post(reverse("billing:period-close", args=["2026-10"]), follow=True)
        assert "Waiting for a worker" in text(answer)
        client.post(reverse("billing:period-close", args=["2026-10"]))
        job = Job.objects.get()
        jobs.run(job.pk, at=NOW)

        assert Invoice.objects.get().total_minor == 18_000
        assert BillingPeriod.objects.get().closed_by == cast.finance
        told = [notice.text for notice in Notice.objects.filter(recipient=cast.finance)]
        assert sum("closed" in text for text in told) == 1, told
        polled = client.get(reverse("billing:period-progress", args=["2026-10"]))
        assert polled["HX-Refresh"] == "true"
        assert "$180.00" in text(client.get(reverse("billing:period", args=["2026-10"])))

    def test_can_be_asked_for_again_after_it_failed(self, cast: Cast) -> None:
        first = background.request_close("2026-10", at=NOW, by=cast.finance)
        Job.objects.filter(pk=first.pk).update(state=Job.State.FAILED, last_error="No price.", ended_at=NOW)
        client = signed_in(cast.finance)

        assert "No price." in text(client.get(reverse("billing:period", args=["2026-10"])))
        client.post(reverse("billing:period-close", args=["2026-10"]))

        assert Job.objects.count() == 2

    def test_says_when_something_has_no_price(self, cast: Cast) -> None:
        answers = {"code": "answers", "model": "per_unit", "unit_amount": "1"}
        use(subscribe(cast, [answers]), requests=1, cost="1")

        page = text(signed_in(cast.finance).get(reverse("billing:period-close", args=["2026-10"])))

        assert "no price" in page
        assert "answers" in page

    @pytest.mark.parametrize("name", ["2026-10", "2026-11"])
    def test_is_for_the_finance_of_the_platform(self, cast: Cast, name: str) -> None:
        for person in (cast.creator, cast.consumer, cast.approver, cast.operator, cast.stranger):
            assert signed_in(person).post(reverse("billing:period-close", args=[name])).status_code == 403
        assert not Job.objects.exists()

    def test_of_a_running_month_is_not_offered(self, cast: Cast) -> None:
        client = signed_in(cast.finance)

        assert client.post(reverse("billing:period-close", args=["2026-11"])).status_code == 302
        assert not Job.objects.exists()

    @pytest.mark.parametrize("name", ["2026-13", "soon"])
    def test_of_no_month_is_refused(self, cast: Cast, name: str) -> None:
        assert signed_in(cast.finance).get(reverse("billing:period", args=[name])).status_code == 400


class TestPeriodPage:
    def test_loads_what_there_is_so_far(self, cast: Cast) -> None:
        use(subscribe(cast, [FEE]), requests=1, cost="0", at=datetime(2026, 11, 2, tzinfo=UTC))
        client = signed_in(cast.finance)

        assert "So far" in text(client.get(reverse("billing:period", args=["2026-11"])))
        url = reverse("billing:period-preview", args=["2026-11"])
        assert "$50.00" in text(client.get(url))
        assert "<html" not in text(client.get(url, headers={"HX-Request": "true"}))

    def test_reads_little(self, cast: Cast, statement: Invoice, django_assert_max_num_queries: Any) -> None:
        client = signed_in(cast.finance)
        with django_assert_max_num_queries(12):
            client.get(reverse("billing:period", args=["2026-10"]))


class TestInvoices:
    @pytest.mark.parametrize(
        ("asked", "is_found"),
        [
            ({}, True),
            ({"kind": "statement"}, True),
            ({"kind": "invoice"}, False),
            ({"period": "2026-10"}, True),
            ({"period": "2026-09"}, False),
            ({"payer": "cc-100"}, True),
            ({"payer": "nobody"}, False),
            ({"state": "paid"}, False),
            ({"state": "draft"}, False),
        ],
    )
    def test_are_narrowed(
        self, cast: Cast, statement: Invoice, asked: dict[str, str], is_found: bool
    ) -> None:
        page = text(signed_in(cast.finance).get(reverse("billing:invoices"), asked))

        assert ("ST-2026-000001" in page) is is_found

    def test_file_equals_the_page(self, cast: Cast, statement: Invoice) -> None:
        center = factories.make_cost_center(cast.company, mode="showback")
        use(
            subscribe(cast, [FEE], cost_center=center),
            requests=1,
            cost="0",
            at=datetime(2026, 9, 1, tzinfo=UTC),
        )
        close("2026-09")
        client = signed_in(cast.finance)

        page = text(client.get(reverse("billing:invoices")))
        file = client.get(reverse("billing:invoices-csv")).content.decode()

        total = sum(Decimal(row["total"]) for row in csv.DictReader(StringIO(file)))
        # October's 180, and 50 for each of the two subscriptions in September.
        assert total == Decimal("280.00")
        assert "$280.00" in page

    def test_read_little(self, cast: Cast, statement: Invoice, django_assert_max_num_queries: Any) -> None:
        client = signed_in(cast.finance)
        with django_assert_max_num_queries(12):
            client.get(reverse("billing:invoices"))


class TestInvoicePage:
    def test_explains_every_line(self, cast: Cast, statement: Invoice) -> None:
        page = text(signed_in(cast.finance).get(reverse("billing:invoice", args=[statement.number])))

        assert "cost with markup: 100 × $1.30 = $130.00" in page
        assert "$64.00" in page  # the creator's part

    def test_is_for_finance_the_owner_and_teams_of_the_cost_center(
        self, cast: Cast, statement: Invoice
    ) -> None:
        owner = factories.make_user("owner@demo.example")
        cast.cost_center.owner = owner
        cast.cost_center.save()

        for name in ("invoice", "invoice-pdf", "invoice-csv"):
            url = reverse(f"billing:{name}", args=[statement.number])
            for person in (cast.finance, owner, cast.consumer, cast.creator):
                assert signed_in(person).get(url).status_code == 200
            for person in (cast.stranger, cast.approver, cast.operator):
                assert signed_in(person).get(url).status_code == 404
            assert Client().get(url).status_code == 302

    def test_of_an_organization_is_for_its_finance(self, cast: Cast, stranger_invoice: Invoice) -> None:
        url = reverse("billing:invoice", args=[stranger_invoice.number])

        assert signed_in(cast.stranger).get(url).status_code == 200
        assert signed_in(cast.finance).get(url).status_code == 200
        assert signed_in(cast.consumer).get(url).status_code == 404

    def test_reads_little(self, cast: Cast, statement: Invoice, django_assert_max_num_queries: Any) -> None:
        client = signed_in(cast.finance)
        with django_assert_max_num_queries(12):
            client.get(reverse("billing:invoice", args=[statement.number]))

    def test_gives_the_pdf(self, cast: Cast, statement: Invoice) -> None:
        answer = signed_in(cast.consumer).get(reverse("billing:invoice-pdf", args=[statement.number]))

        assert answer["Content-Type"] == "application/pdf"
        assert answer.content.startswith(b"%PDF")


class TestBills:
    def test_show_statements_of_own_cost_centers(self, cast: Cast, statement: Invoice) -> None:
        assert "ST-2026-000001" in text(signed_in(cast.consumer).get(reverse("billing:bills")))
        assert "ST-2026-000001" not in text(signed_in(cast.stranger).get(reverse("billing:bills")))


class TestLedger:
    def test_shows_balance_and_journal(self, cast: Cast, statement: Invoice) -> None:
        client = signed_in(cast.finance)

        page = text(client.get(reverse("billing:ledger"), {"period": "2026-10"}))
        file = client.get(reverse("billing:journal-csv")).content.decode()

        assert "balanced" in page
        assert "$280.00" in page  # 180 charged and 100 of model cost
        debits = [Decimal(row["debit"] or 0) for row in csv.DictReader(StringIO(file))]
        assert sum(debits) == Decimal("280.00")

    def test_is_for_the_finance_of_the_platform(self, cast: Cast) -> None:
        for name in ("ledger", "journal-csv", "verify"):
            for person in (cast.creator, cast.consumer, cast.operator, cast.stranger):
                assert signed_in(person).get(reverse(f"billing:{name}")).status_code == 403

    def test_reads_little(self, cast: Cast, statement: Invoice, django_assert_max_num_queries: Any) -> None:
        client = signed_in(cast.finance)
        with django_assert_max_num_queries(12):
            client.get(reverse("billing:ledger"))


class TestEarnings:
    def test_show_what_own_teams_were_credited(self, cast: Cast, statement: Invoice) -> None:
        url = reverse("billing:earnings")

        assert "$64.00" in text(signed_in(cast.creator).get(url))
        assert "$64.00" in text(signed_in(cast.finance).get(url))
        assert "$64.00" not in text(signed_in(cast.consumer).get(url))
        assert "$64.00" not in text(signed_in(cast.stranger).get(url))


class TestVerification:
    def test_is_done_by_a_worker_and_shown(self, cast: Cast, statement: Invoice) -> None:
        client = signed_in(cast.finance)

        client.post(reverse("billing:verify"))
        client.post(reverse("billing:verify"))
        jobs.run(Job.objects.get().pk, at=NOW)
        page = text(client.get(reverse("billing:verify")))

        assert "all agree" in page
        assert "agree" in text(client.get(reverse("billing:overview")))
