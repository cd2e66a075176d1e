from collections.abc import Iterator
from datetime import UTC, date, datetime
from typing import Any
from unittest import mock

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse

from billing.allocation import shared_costs
from billing.allocation.shared_costs import Entry
from billing.chargeback import statements, switching
from billing.close import close_period
from billing.closing import discrepancies
from billing.models import (
    BillingPeriod,
    CostStatement,
    JournalBatch,
    RecoverySwitch,
    Reopening,
    SharedCost,
    SplitRule,
    StatementDispute,
    TotalsIncident,
)
from marketplace.accounts.access import actor_for
from marketplace.accounts.models import CostCenter, User
from marketplace.core.errors import InvalidInput
from marketplace.core.periods import parse_month
from tests import factories
from tests.billing.usage import use
from tests.conftest import Cast
from tests.journeys.test_three_closes import COST, TERMS

NOW = datetime(2026, 11, 3, 9, tzinfo=UTC)
LATER = datetime(2026, 11, 12, 9, tzinfo=UTC)


@pytest.fixture(autouse=True)
def clock() -> Iterator[Any]:
    with mock.patch("django.utils.timezone.now", return_value=NOW) as now:
        yield now


@pytest.fixture
def owner(cast: Cast) -> User:
    return factories.make_user("owner@demo.example")


@pytest.fixture
def second(cast: Cast) -> User:
    other = factories.make_user("second@demo.example")
    factories.join(other, None, "finance", organization=cast.company)
    return other


@pytest.fixture
def statement(cast: Cast, owner: User) -> CostStatement:
    """October is closed and published: 13.00 of own use and 31.00 shared by nobody yet."""
    center = factories.make_cost_center(cast.company, code="CC-200", owner=owner, mode="chargeback")
    team = factories.make_team(cast.company, cost_center=center)
    factories.join(owner, team, "consumer")
    app = factories.make_listed_app(cast.creator_team, name="Where2Eat")
    plan = factories.make_plan(app, charges=COST)
    use(factories.make_subscription(app, team, plan=plan), requests=10, cost="10")
    entry = Entry(cast.company, "license", "Vector store", 3_100, "USD", date(2026, 10, 1), date(2026, 11, 1))
    shared_costs.enter(entry, by=actor_for(cast.finance), at=NOW, source_key="k")
    close_period("2026-10", at=NOW, terms=TERMS, by=cast.finance)
    (found,) = statements.publish("2026-10", terms=TERMS, at=NOW, by=cast.finance)
    return found


def signed_in(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def text(client: Client, name: str, *args: Any, query: str = "") -> str:
    answer = client.get(reverse(f"billing:{name}", args=args) + query)
    assert answer.status_code == 200, (name, answer.status_code)
    return answer.content.decode()


def dispute(user: User, statement: CostStatement, **fields: Any) -> Any:
    body = {"amount": "5", "reason": "Not ours.", "event_ids": "", "app": "", **fields}
    return signed_in(user).post(reverse("billing:dispute-open", args=[statement.pk]), body, follow=True)


class TestAllocation:
    def test_goes_from_cost_center_to_charge_with_one_total(
        self, cast: Cast, statement: CostStatement
    ) -> None:
        client = signed_in(cast.finance)

        top = text(client, "allocation", query="?period=2026-10")
        app = statements.rows(statement)[0].app
        deep = text(client, "allocation", query=f"?period=2026-10&cost_center=demo/CC-200&app={app.slug}")
        rows = text(
            client,
            "allocation",
            query="?period=2026-10&cost_center=(nobody)&app=(none)&plan=(none)&sku=Vector store",
        )

        assert "$44.00" in top and "$31.00" in top
        assert "$13.00" in deep and "$31.00" not in deep
        assert "no rule" in rows and "$31.00" in rows

    def test_is_a_file_too(self, cast: Cast, statement: CostStatement) -> None:
        found = text(signed_in(cast.finance), "allocation-csv", query="?period=2026-10")

        assert "31.00" in found and str(statement.run_id) in found

    def test_shows_what_another_rule_would_do(self, cast: Cast, statement: CostStatement) -> None:
        query = f"?period=2026-10&organization={cast.company.pk}&kind=license&method=even&metric="

        shown = text(signed_in(cast.finance), "what-if", query=query)

        assert "What if: evenly" in shown and "$15.50" in shown
        assert not SplitRule.objects.exists()

    def test_takes_a_rule_by_two_people(self, cast: Cast, second: User, statement: CostStatement) -> None:
        body = {
            "organization": cast.company.pk, "kind": "license", "method": "fixed", "starts_month": "2026-11",
            "percentages": "CC-100 40\nCC-200 60", "reason": "Agreed.",
        }  # fmt: skip
        made = signed_in(cast.finance).post(reverse("billing:split-rule-new"), body, follow=True)
        rule = SplitRule.objects.get()
        address = reverse("billing:split-rule", args=[rule.pk])

        assert "It waits for a second person." in made.content.decode()
        assert "$18.60" in made.content.decode()
        own = signed_in(cast.finance).post(address, {"decision": "approve", "note": ""})
        assert "Nobody decides what they proposed" in own.content.decode()
        signed_in(second).post(address, {"decision": "approve", "note": ""})

        rule.refresh_from_db()
        assert (rule.state, rule.percentages) == ("approved", {"CC-100": "40", "CC-200": "60"})

    def test_takes_a_shared_cost_and_takes_it_back(self, cast: Cast, statement: CostStatement) -> None:
        client = signed_in(cast.finance)
        body = {
            "organization": cast.company.pk, "kind": "other", "name": "Help pages", "amount": "12.34", "currency": "USD",
            "starts_date": "2026-11-01", "ends_date": "2026-12-01", "key": "x",
        }  # fmt: skip
        client.post(reverse("billing:shared-costs"), body)
        client.post(reverse("billing:shared-costs"), body)
        cost = SharedCost.objects.get(name="Help pages")
        client.post(reverse("billing:shared-cost-back", args=[cost.pk]), {"reason": "Twice."})

        assert sum(SharedCost.objects.filter(name="Help pages").values_list("amount_minor", flat=True)) == 0


class TestStatements:
    def test_show_direct_and_shared_apart_on_page_and_pdf(
        self, cast: Cast, owner: User, statement: CostStatement
    ) -> None:
        shown = text(signed_in(owner), "statement", statement.pk)
        pdf = signed_in(owner).get(reverse("billing:statement-pdf", args=[statement.pk]))

        assert "$13.00" in shown and "Nothing is shared" in shown
        assert pdf.content.startswith(b"%PDF")
        assert (
            pdf.content == signed_in(owner).get(reverse("billing:statement-pdf", args=[statement.pk])).content
        )

    def test_are_told_to_the_owner(self, owner: User, statement: CostStatement) -> None:
        assert "came to $13.00" in owner.notices.get().text

    def test_are_disputed_with_evidence_and_decided_by_finance(
        self, cast: Cast, owner: User, statement: CostStatement
    ) -> None:
        attached = SimpleUploadedFile("note.txt", b"Cancelled on the 12th.")
        opened = dispute(owner, statement, attached=attached)
        found = StatementDispute.objects.get()
        address = reverse("billing:dispute", args=[found.pk])

        assert "note.txt" in opened.content.decode()
        file = signed_in(cast.finance).get(
            reverse("billing:dispute-file", args=[found.pk, found.files.get().pk])
        )
        assert file.content == b"Cancelled on the 12th."
        assert "attachment" in file["Content-Disposition"]
        refused = signed_in(cast.finance).post(address, {"decision": "accept", "note": ""})
        assert "Give a reason" in refused.content.decode()
        signed_in(cast.finance).post(address, {"decision": "accept", "note": "Right.", "amount": "3.50"})

        found.refresh_from_db()
        assert found.state == "accepted"
        (made,) = found.corrections.all()
        assert (made.amount_minor, made.period_id, made.service_month) == (-350, "2026-11", "2026-10")
        assert "$3.50" in text(signed_in(owner), "dispute", found.pk)

    @pytest.mark.parametrize(
        ("fields", "says"),
        [
            ({"amount": "13.01"}, "at most $13.00"),
            ({"amount": "1.234"}, "decimals"),
            ({"event_ids": "nothing-like-it"}, "is no event that this statement bills"),
            (
                {"attached": SimpleUploadedFile("x.bin", b"\x00\x01\x02\xff")},
                "is no PNG, JPEG, PDF or plain text",
            ),
        ],
    )
    def test_say_what_is_wrong_with_a_dispute(
        self, owner: User, statement: CostStatement, fields: dict[str, Any], says: str
    ) -> None:
        assert says in dispute(owner, statement, **fields).content.decode()
        assert not StatementDispute.objects.exists()

    def test_are_not_disputed_when_the_window_is_over(
        self, owner: User, statement: CostStatement, clock: Any
    ) -> None:
        clock.return_value = LATER

        assert "could be disputed until 10 November 2026" in dispute(owner, statement).content.decode()


class TestBatches:
    def test_are_previewed_posted_reversed_and_imported(
        self, cast: Cast, second: User, statement: CostStatement, clock: Any
    ) -> None:
        client = signed_in(cast.finance)
        preview = reverse("billing:journal-batch-preview", args=["2026-10", "demo", "USD"])
        early = client.get(preview).content.decode()
        assert "Nobody has approved 2026-10." in early and "can be disputed until" in early
        client.post(reverse("billing:checklist", args=["2026-10"]), {"do": "accept", "reason": "Quarterly."})
        signed_in(second).post(
            reverse("billing:checklist", args=["2026-10"]), {"do": "approve", "reason": ""}
        )
        clock.return_value = LATER

        page = client.post(preview, follow=True).content.decode()

        batch = JournalBatch.objects.get()
        assert batch.external_id == "HP-2026-10-demo-USD-1"
        assert "$13.00" in page
        file = text(client, "journal-batch-csv", batch.external_id)
        lines = file.strip().splitlines()[1:]
        assert all(line.startswith("HP-2026-10-demo-USD-1,") for line in lines)
        sent = client.get(reverse("billing:journal-batch-json", args=[batch.external_id])).json()
        assert {line["posting_period"] for line in sent["lines"]} == {"2026-10"}
        with pytest.raises(Exception, match="posted and cannot change"):
            JournalBatch.objects.filter(pk=batch.pk).update(debit_minor=1)

    def test_debit_the_budget_and_give_it_back(
        self, cast: Cast, second: User, statement: CostStatement, clock: Any
    ) -> None:
        client = signed_in(cast.finance)
        steps = reverse("billing:checklist", args=["2026-10"])
        client.post(steps, {"do": "accept", "reason": "Quarterly."})
        signed_in(second).post(steps, {"do": "approve", "reason": ""})
        clock.return_value = LATER
        client.post(reverse("billing:journal-batch-preview", args=["2026-10", "demo", "USD"]))
        batch = JournalBatch.objects.get()
        assert batch.budget_debits.get().amount_minor == 1_300

        client.post(reverse("billing:journal-batch", args=[batch.external_id]), {"reason": "Wrong account."})

        center = statement.cost_center
        assert sum(center.budget_debits.values_list("amount_minor", flat=True)) == 0
        assert "Wrong account." in text(client, "journal-batch", batch.external_id)


class TestSteps:
    def test_show_what_is_missing_and_are_done_one_after_another(
        self, cast: Cast, second: User, statement: CostStatement
    ) -> None:
        finance, other = signed_in(cast.finance), signed_in(second)
        address = reverse("billing:checklist", args=["2026-10"])

        assert "No bill of a provider is uploaded" in finance.get(address).content.decode()
        early = other.post(address, {"do": "approve", "reason": ""}, follow=True).content.decode()
        assert "reconcile it with the bills of providers" in early
        finance.post(address, {"do": "accept", "reason": "The bill comes with the quarter."})
        own = finance.post(address, {"do": "approve", "reason": ""}, follow=True).content.decode()
        assert "You closed this month" in own
        other.post(address, {"do": "approve", "reason": "Fine."})

        shown = finance.get(address).content.decode()
        assert "The bill comes with the quarter." in shown
        assert "Approved by second@demo.example" in shown

    def test_are_reopened_by_two_people_and_locked(
        self, cast: Cast, second: User, statement: CostStatement
    ) -> None:
        finance, other = signed_in(cast.finance), signed_in(second)
        address = reverse("billing:checklist", args=["2026-10"])
        finance.post(address, {"do": "reopen", "reason": "A fee was forgotten."})

        own = finance.post(address, {"do": "agree", "reason": ""}, follow=True).content.decode()
        assert "Nobody decides what they proposed" in own
        other.post(address, {"do": "agree", "reason": ""})
        assert "reopened for corrections" in finance.get(address).content.decode()
        finance.post(address, {"do": "lock", "reason": ""})

        assert Reopening.objects.get().state == "ended"
        assert BillingPeriod.objects.get(pk="2026-10").state == "closed"


class TestRecovery:
    def test_is_switched_when_the_owner_signs_off(
        self, cast: Cast, owner: User, statement: CostStatement
    ) -> None:
        center = statement.cost_center
        body = {"to_mode": "showback", "starts_month": "2026-12", "reason": "A pause."}
        signed_in(cast.finance).post(reverse("billing:recovery-propose", args=[center.pk]), body)
        switch = RecoverySwitch.objects.get()
        address = reverse("billing:recovery-switch", args=[switch.pk])

        refused = signed_in(cast.finance).post(address, {"decision": "approve", "note": ""})
        assert "signs this off" in refused.content.decode()
        signed_in(owner).post(address, {"decision": "approve", "note": ""})

        modes = {
            name: switching.mode_in(center, parse_month(name)) for name in ("2026-10", "2026-11", "2026-12")
        }
        assert modes == {"2026-10": "chargeback", "2026-11": "chargeback", "2026-12": "showback"}
        assert switching.begin(at=datetime(2026, 12, 1, tzinfo=UTC)) == 1
        assert CostCenter.objects.get(pk=center.pk).mode == "showback"
        # What a month was charged by stays, however the cost center is charged now.
        center.refresh_from_db()
        assert switching.mode_in(center, parse_month("2026-10")) == "chargeback"

    def test_does_not_begin_in_a_closed_month(self, cast: Cast, statement: CostStatement) -> None:
        with pytest.raises(InvalidInput):
            switching.propose(
                statement.cost_center, to_mode="parallel", starts_month="2026-10", reason="So.",
                by=actor_for(cast.finance), at=NOW,
            )  # fmt: skip


class TestTotalsThatDiffer:
    def test_are_one_incident_until_they_agree(self, cast: Cast) -> None:
        wrong = [{"name": "Books", "findings": [{"what": "2026-10", "is_ok": False}]}]
        right = [{"name": "Books", "findings": [{"what": "2026-10", "is_ok": True}]}]

        first = discrepancies.judge(wrong, at=NOW)
        assert discrepancies.judge(wrong, at=NOW) == first
        client = signed_in(cast.finance)
        assert "Books: 2026-10" in text(client, "verify")
        client.post(reverse("billing:verify-acknowledge"), {"note": "A test of ours."})
        discrepancies.judge(right, at=NOW)

        incident = TotalsIncident.objects.get()
        assert (incident.state, incident.note) == ("closed", "A test of ours.")


class TestAccess:
    def test_of_strangers_ends_at_404(self, cast: Cast, owner: User, statement: CostStatement) -> None:
        dispute(owner, statement)
        found = StatementDispute.objects.get()
        stranger = signed_in(cast.stranger)
        for name, args in (
            ("statement", [statement.pk]),
            ("statement-pdf", [statement.pk]),
            ("dispute-open", [statement.pk]),
            ("dispute", [found.pk]),
        ):
            assert stranger.get(reverse(f"billing:{name}", args=args)).status_code == 404
        assert "$13.00" not in text(stranger, "statements")
        assert "Not ours." not in text(stranger, "disputes")
        assert "$31.00" not in text(stranger, "allocation", query="?period=2026-10")

    def test_of_finance_of_another_organization_changes_nothing(
        self, cast: Cast, statement: CostStatement
    ) -> None:
        stranger = signed_in(cast.stranger)
        for name, args in (
            ("what-if", []),
            ("split-rule-new", []),
            ("unallocated-goal", []),
            ("journal-batches", []),
            ("journal-batch-preview", ["2026-10", "demo", "USD"]),
            ("recovery-propose", [statement.cost_center_id]),
        ):
            assert stranger.get(reverse(f"billing:{name}", args=args)).status_code == 403
        for body in ({"do": "publish"}, {"do": "reopen", "reason": "Mine."}):
            assert stranger.post(reverse("billing:checklist", args=["2026-10"]), body).status_code == 403

    def test_of_a_consumer_is_to_read(self, cast: Cast, statement: CostStatement) -> None:
        team_mate = factories.make_user()
        factories.join(team_mate, statement.cost_center.teams.get(), "consumer")

        assert "$13.00" in text(signed_in(team_mate), "statement", statement.pk)
        assert "Only the owner" in dispute(team_mate, statement).content.decode()


def test_lists_read_little(
    cast: Cast, owner: User, statement: CostStatement, django_assert_max_num_queries: Any
) -> None:
    dispute(owner, statement)
    client = signed_in(cast.finance)
    for name, args in (
        ("allocation", []), ("split-rules", []), ("shared-costs", []), ("statements", []), ("disputes", []),
        ("journal-batches", []), ("recovery", []), ("statement", [statement.pk]),
        ("dispute", [StatementDispute.objects.get().pk]),
    ):  # fmt: skip
        with django_assert_max_num_queries(12):
            text(client, name, *args)
