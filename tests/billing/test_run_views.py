from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from pytest_django import DjangoAssertNumQueries

from billing.close import close_period
from billing.models import AddedLine, Invoice, JournalEntry, ParkedBill
from billing.monthly_run import refresh_drafts
from marketplace.accounts.models import User
from tests.billing.test_close import AT, COST, FEE, TERMS, subscribe
from tests.billing.test_monthly_run import ANSWERS, of_center
from tests.billing.usage import use
from tests.conftest import Cast


def signed_in(person: User) -> Client:
    client = Client()
    client.force_login(person)
    return client


@pytest.fixture
def draft(cast: Cast) -> Invoice:
    use(subscribe(cast, [FEE, COST]), requests=10_000, cost="100")
    refresh_drafts("2026-10", at=AT, terms=TERMS)
    return Invoice.objects.get()


class TestDraftPages:
    def test_list_and_show_drafts_with_few_queries(
        self, cast: Cast, draft: Invoice, django_assert_max_num_queries: DjangoAssertNumQueries
    ) -> None:
        client = signed_in(cast.finance)
        with django_assert_max_num_queries(12):
            page = client.get(reverse("billing:drafts", args=["2026-10"])).content.decode()

        assert "$180.00" in page
        assert reverse("billing:draft", args=[draft.pk]) in page
        assert "monthly fee" in client.get(reverse("billing:draft", args=[draft.pk])).content.decode()

    def test_add_a_line_once_and_take_it_off(self, cast: Cast, draft: Invoice) -> None:
        client, url = signed_in(cast.finance), reverse("billing:draft", args=[draft.pk])
        typed = {"description": "Training", "amount": "-12.50", "reason": "Agreed", "key": "k"}

        for _ in range(2):
            assert client.post(url, typed).status_code == 302
        assert Invoice.objects.get().total_minor == 16_750

        client.post(
            reverse("billing:draft-remove-line", args=[draft.pk]), {"line": AddedLine.objects.get().pk}
        )
        assert Invoice.objects.get().total_minor == 18_000

    def test_hold_and_release(self, cast: Cast, draft: Invoice) -> None:
        client = signed_in(cast.finance)

        client.post(reverse("billing:draft-hold", args=[draft.pk]), {"reason": "Disputed"})
        assert "Disputed" in client.get(reverse("billing:parked", args=["2026-10"])).content.decode()
        client.post(reverse("billing:draft-release", args=[draft.pk]))

        assert ParkedBill.objects.get().state == "released"

    def test_lead_to_the_invoice_once_it_is_final(self, cast: Cast, draft: Invoice) -> None:
        close_period("2026-10", at=AT, terms=TERMS)

        answer = signed_in(cast.finance).get(reverse("billing:draft", args=[draft.pk]))

        assert answer["Location"] == reverse("billing:invoice", args=["ST-2026-000001"])

    def test_are_hidden_from_strangers_and_changed_by_finance_only(self, cast: Cast, draft: Invoice) -> None:
        url = reverse("billing:draft", args=[draft.pk])

        assert signed_in(cast.stranger).get(url).status_code == 404
        assert signed_in(cast.consumer).get(url).status_code == 200
        assert signed_in(cast.consumer).post(url, {}).status_code == 403
        for name in ("billing:draft-hold", "billing:draft-release", "billing:draft-remove-line"):
            assert signed_in(cast.consumer).post(reverse(name, args=[draft.pk])).status_code == 403


class TestParkedPage:
    def test_retries_and_hands_over(self, cast: Cast) -> None:
        of_center(cast, "CC-A", [ANSWERS])
        refresh_drafts("2026-10", at=AT, terms=TERMS)
        parked, client = ParkedBill.objects.get(), signed_in(cast.finance)

        assert "answers" in client.get(reverse("billing:parked", args=["2026-10"])).content.decode()
        client.post(
            reverse("billing:parked-hand-over", args=[parked.pk]),
            {"person": cast.operator.pk, "note": "Look"},
        )
        client.post(reverse("billing:parked-retry", args=[parked.pk]))

        parked.refresh_from_db()
        assert (parked.handed_to, parked.state) == (cast.operator, "released")

    def test_is_for_the_finance_of_the_platform(self, cast: Cast) -> None:
        for person in (cast.consumer, cast.stranger, cast.operator):
            assert signed_in(person).get(reverse("billing:parked", args=["2026-10"])).status_code == 403


LEDGER: list[tuple[str, Callable[[], list[Any]]]] = [
    ("billing:chart", list),
    ("billing:facts", list),
    ("billing:account", lambda: ["cost_center_charge"]),
    ("billing:entry", lambda: [JournalEntry.objects.exclude(invoice=None).get().pk]),
]


class TestLedgerPages:
    @pytest.mark.parametrize(("name", "arguments"), LEDGER)
    def test_show_what_is_posted_with_few_queries(
        self,
        cast: Cast,
        draft: Invoice,
        name: str,
        arguments: Callable[[], list[Any]],
        django_assert_max_num_queries: DjangoAssertNumQueries,
    ) -> None:
        close_period("2026-10", at=AT, terms=TERMS)
        url, client = reverse(name, args=arguments()), signed_in(cast.finance)

        with django_assert_max_num_queries(12):
            page = client.get(url).content.decode()

        assert "Charged to cost centers" in page
        assert signed_in(cast.stranger).get(url).status_code == 403

    def test_give_balances_as_of_a_day(self, cast: Cast, draft: Invoice) -> None:
        close_period("2026-10", at=AT, terms=TERMS)
        client, url = signed_in(cast.finance), reverse("billing:account", args=["cost_center_charge"])

        assert "$180.00" in client.get(url, {"on": "2026-11-02"}).content.decode()
        assert "$180.00" not in client.get(url, {"on": "2026-11-01"}).content.decode()

    def test_narrow_the_journal(self, cast: Cast, draft: Invoice) -> None:
        close_period("2026-10", at=AT, terms=TERMS)
        client, url = signed_in(cast.finance), reverse("billing:ledger")

        assert "Cost of models in 2026-10" in client.get(url).content.decode()
        assert (
            "Cost of models in 2026-10"
            not in client.get(url, {"account": "creator_payable"}).content.decode()
        )
        assert client.get(url, {"kind": "nonsense", "words": "x"}).status_code == 200
