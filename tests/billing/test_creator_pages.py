from datetime import UTC, date, datetime

import pytest
from django.test import Client
from django.urls import reverse

from billing.creators import documents, paying, plans, statements
from billing.creators.balances import balances_of, outlooks
from billing.models import Payout
from marketplace.accounts.access import Actor
from marketplace.accounts.models import Team, User
from marketplace.core.periods import parse_month
from tests.billing.paying import TENTH, TERMS, choose, in_file, pay, sell
from tests.conftest import Cast


def signed_in(client: Client, person: User) -> Client:
    client.force_login(person)
    return client


class TestEarnings:
    def test_show_what_waits_and_what_comes_next(self, client: Client, payout: Payout, maker: User) -> None:
        page = signed_in(client, maker).get(reverse("billing:earnings")).content.decode()

        assert "By month and app" in page
        assert "$40.00" in page
        assert "On its way" in page

    def test_are_of_ones_own_teams(self, client: Client, payout: Payout, cast: Cast) -> None:
        for person in (cast.stranger, cast.creator):
            page = signed_in(client, person).get(reverse("billing:earnings")).content.decode()
            assert "$40.00" not in page

    @pytest.mark.parametrize("name", ["billing:earnings", "billing:payouts"])
    def test_take_few_queries(
        self, client: Client, payout: Payout, cast: Cast, django_assert_max_num_queries: object, name: str
    ) -> None:
        signed_in(client, cast.finance)
        with django_assert_max_num_queries(12):  # type: ignore[operator]
            client.get(reverse(name))


class TestStatement:
    def test_ties(self, client: Client, payout: Payout, finance: Actor, maker: User, studio: Team) -> None:
        in_file(payout, finance)
        paying.confirm(payout, reference="B-1", by=finance, at=TENTH)

        found = statements.statement_of(studio, currency="USD", month=parse_month("2026-11"))

        assert [(one.kind, one.held_minor, one.available_minor) for one in found.sums] == [
            ("earned", 4_000, 0),
            ("released", -4_000, 4_000),
            ("paid", 0, -4_000),
        ]
        assert (found.opening.minor, found.closing.minor) == (0, 0)
        following = statements.statement_of(studio, currency="USD", month=parse_month("2026-12"))
        assert following.opening == found.closing

    def test_is_a_page_a_file_and_a_document(
        self, client: Client, payout: Payout, maker: User, studio: Team, cast: Cast
    ) -> None:
        month = (studio.pk, "USD", "2026-11")
        signed_in(client, maker)

        page = client.get(reverse("billing:creator-statement", args=month)).content.decode()
        rows = client.get(reverse("billing:creator-statement-csv", args=month)).content.decode().splitlines()
        pdf = client.get(reverse("billing:creator-statement-pdf", args=month)).content

        assert "Closing balance" in page
        assert [row.split(",")[1] for row in rows] == ["kind", "opening", "earned", "released", "closing"]
        assert rows[-1].endswith("0.00,40.00,40.00,USD")
        found = statements.statement_of(studio, currency="USD", month=parse_month("2026-11"))
        assert pdf.startswith(b"%PDF") and pdf == documents.statement_pdf(
            found, issuer="Halfpenny Demo Company"
        )
        for person in (cast.stranger, cast.creator):
            for name in ("creator-statement", "creator-statement-csv", "creator-statement-pdf"):
                answer = signed_in(client, person).get(reverse(f"billing:{name}", args=month))
                assert answer.status_code == 404


class TestPlan:
    def test_is_chosen_by_the_team(self, client: Client, studio: Team, maker: User, cast: Cast) -> None:
        typed = {
            "how": "bank", "holder": "Makers", "iban": "DE89370400440532013001", "schedule": "weekly", "day": "2",
            "threshold": "10.00", "hold_days": "3",
        }  # fmt: skip
        address = reverse("billing:payout-plan", args=[studio.pk, "USD"])
        signed_in(client, maker)

        assert "check digits" in client.post(address, typed).content.decode()
        answer = client.post(address, typed | {"iban": "DE89370400440532013000"})

        assert answer.status_code == 302
        plan = plans.find(studio, "USD")
        assert plan is not None
        assert (plan.threshold_minor, plan.day, plan.schedule) == (1_000, 2, "weekly")
        client.post(address, {"consent": "yes"})
        plan.refresh_from_db()
        assert plan.consent_text == plans.CONSENT
        assert signed_in(client, cast.stranger).get(address).status_code == 404


class TestPayouts:
    def test_are_approved_together_and_go_into_a_file(
        self, client: Client, payout: Payout, cast: Cast
    ) -> None:
        signed_in(client, cast.finance)

        client.post(reverse("billing:payouts"), {"payout": [str(payout.pk), "nonsense"]})
        client.post(
            reverse("billing:payout-file-make"),
            {"currency": "USD", "execution_date": "2026-11-11"},
            follow=True,
        )

        payout.refresh_from_db()
        assert payout.is_approved
        assert payout.file is None  # the house has no bank account in this test
        assert "approved" in client.get(reverse("billing:payout", args=[payout.pk])).content.decode().lower()

    def test_are_confirmed_with_the_banks_reference(
        self, client: Client, payout: Payout, finance: Actor, cast: Cast, maker: User
    ) -> None:
        in_file(payout, finance)
        address = reverse("billing:payout", args=[payout.pk])
        signed_in(client, cast.finance)

        assert "is needed" in client.post(address, {"what": "confirm", "note": ""}).content.decode()
        assert client.post(address, {"what": "confirm", "note": "B-9"}).status_code == 302

        payout.refresh_from_db()
        assert (payout.state, payout.reference) == ("paid", "B-9")
        assert signed_in(client, maker).post(address, {"what": "hold", "note": "x"}).status_code == 403
        assert payout.file is not None
        download = reverse("billing:payout-file", args=[payout.file.pk])
        assert client.get(download).status_code == 404
        assert signed_in(client, cast.stranger).get(address).status_code == 404
        assert signed_in(client, cast.finance).get(download).content.decode() == payout.file.content


def test_outlook_counts_what_will_have_waited_long_enough(
    client: Client, cast: Cast, studio: Team, maker: User, finance: Actor
) -> None:

    pay(sell(studio, cast), finance)
    plan = choose(studio, maker)

    there = balances_of([studio.pk])
    # Released on the 3rd, five days to wait: by the 10th it is there, by a Thursday the 5th it is not.
    soon = outlooks([plan], there, on=date(2026, 11, 4))[studio.pk, "USD"]
    plan.schedule, plan.day = "weekly", 4
    sooner = outlooks([plan], there, on=date(2026, 11, 4))[studio.pk, "USD"]

    assert (soon.due_date, soon.minor) == (date(2026, 11, 10), 4_000)
    assert (sooner.due_date, sooner.minor) == (date(2026, 11, 5), 0)
    assert datetime(2026, 11, 10, tzinfo=UTC) < TENTH
    assert TERMS.currency == "USD"
