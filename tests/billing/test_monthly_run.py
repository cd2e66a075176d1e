from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import IntegrityError, transaction

from billing import added_lines, background, invoicing, monthly_run, parking, run_planning
from billing.added_lines import DraftIsFinal
from billing.close import close_period
from billing.ledger.verify import verify
from billing.models import AddedLine, BillingPeriod, Invoice, InvoiceLine, ParkedBill, Posting, RunBatch
from billing.monthly_run import NothingToDraft, TurnOver, refresh_drafts, run_state
from billing.parking import BillsParked
from marketplace.catalog.models import Subscription
from marketplace.core.errors import Conflict, InvalidInput
from marketplace.core.models import AuditEntry, Job, Notice
from marketplace.core.periods import parse_month
from metering.models import ClosedPeriod
from tests import factories
from tests.billing.test_close import AT, COST, DECEMBER, FEE, TERMS, lines_of, subscribe
from tests.billing.usage import use
from tests.conftest import Cast

OCTOBER = parse_month("2026-10")
# Nobody measures answers, so a plan that asks for them has no price.
ANSWERS = {"code": "answers", "model": "per_unit", "unit_amount": "1"}


def draft(name: str = "2026-10", *, at: datetime = AT) -> list[Invoice]:
    refresh_drafts(name, at=at, terms=TERMS)
    return list(Invoice.objects.filter(period=name, state="draft").order_by("total_minor"))


def close(**options: Any) -> list[str]:
    close_period("2026-10", at=AT, terms=TERMS, **options)
    return sorted(str(one) for one in Invoice.objects.filter(period="2026-10"))


def of_center(cast: Cast, code: str, charges: list[dict[str, Any]], **fields: Any) -> Subscription:
    center = factories.make_cost_center(cast.company, code=code, mode="chargeback")
    return subscribe(cast, charges, cost_center=center, **fields)


class TestDrafts:
    def test_show_what_a_close_would_bill_and_take_no_numbers(self, cast: Cast) -> None:
        use(subscribe(cast, [FEE, COST]), requests=10_000, cost="100")

        (found,) = draft()

        assert (found.number, found.total_minor) == (None, 18_000)
        assert lines_of(found) == [("fee", 1, 5_000), ("cost", 100, 13_000)]
        assert not Posting.objects.exists()
        assert not ClosedPeriod.objects.exists()

    def test_take_in_usage_that_comes_within_the_grace_and_keep_their_id(self, cast: Cast) -> None:
        subscription = subscribe(cast, [FEE, COST])
        (before,) = draft()
        use(subscription, requests=10, cost="10")

        (after,) = draft()

        assert after.pk == before.pk
        # 50 + 10 x 1.3
        assert after.total_minor == 6_300
        assert InvoiceLine.objects.count() == 2

    def test_change_nothing_when_nothing_happened(self, cast: Cast) -> None:
        use(subscribe(cast, [FEE, COST]), requests=10_000, cost="100")
        draft()
        before = list(
            InvoiceLine.objects.order_by("position").values_list("code", "amount_minor", "creator_minor")
        )

        draft()

        again = InvoiceLine.objects.order_by("position").values_list("code", "amount_minor", "creator_minor")
        assert list(again) == before
        assert Invoice.objects.count() == 1

    def test_go_when_their_payer_owes_nothing_any_more(self, cast: Cast) -> None:
        subscription = subscribe(cast, [FEE])
        draft()
        Subscription.objects.filter(pk=subscription.pk).update(ends_at=subscription.starts_at)

        assert draft() == []

    def test_become_the_bills_of_the_close(self, cast: Cast) -> None:
        subscription = subscribe(cast, [FEE, COST])
        (found,) = draft()
        use(subscription, requests=10, cost="10")

        close()

        invoice = Invoice.objects.get()
        assert (invoice.pk, invoice.number, invoice.total_minor) == (found.pk, "ST-2026-000001", 6_300)

    def test_are_made_of_months_that_are_over_and_open(self, cast: Cast) -> None:
        with pytest.raises(NothingToDraft):
            refresh_drafts("2026-11", at=AT, terms=TERMS)
        close()

        with pytest.raises(NothingToDraft):
            draft()


class TestAddedLines:
    def add(self, found: Invoice, cast: Cast, amount_minor: int = 2_500, key: str = "a") -> AddedLine:
        return added_lines.add(
            found,
            description="Training of the team",
            amount_minor=amount_minor,
            reason="Agreed on 12 October",
            request_key=key,
            at=AT,
            by=cast.finance,
        )

    def test_stay_when_the_draft_is_worked_out_anew(self, cast: Cast) -> None:
        subscribe(cast, [FEE])
        (found,) = draft()
        self.add(found, cast)
        self.add(found, cast)

        draft()
        close()

        invoice = Invoice.objects.get()
        assert lines_of(invoice) == [("fee", 1, 5_000), ("manual", 1, 2_500)]
        line = invoice.lines.get(kind="manual")
        # It is of no app and no creator: all of it is the platform's.
        assert (line.app, line.creator_minor, line.platform_minor) == (None, 0, 2_500)
        sums = dict(Posting.objects.filter(entry__invoice=invoice).values_list("account", "amount_minor"))
        assert sums["cost_center_charge"] == 7_500
        assert all(verdict.is_ok for verdict in verify())

    def test_can_be_taken_away_while_it_is_a_draft(self, cast: Cast) -> None:
        subscribe(cast, [FEE])
        (found,) = draft()
        line = self.add(found, cast)

        added_lines.remove(line, invoice=found, at=AT, by=cast.finance)

        assert draft()[0].total_minor == 5_000

    def test_are_refused_once_the_bill_is_final(self, cast: Cast) -> None:
        subscribe(cast, [FEE])
        draft()
        close()

        with pytest.raises(DraftIsFinal):
            self.add(Invoice.objects.get(), cast)

    @pytest.mark.parametrize("wrong", [{"description": " "}, {"reason": ""}, {"amount_minor": 0}])
    def test_say_what_for_how_much_and_why(self, cast: Cast, wrong: dict[str, Any]) -> None:
        subscribe(cast, [FEE])
        (found,) = draft()
        given: dict[str, Any] = {"description": "a", "amount_minor": 1, "reason": "b"} | wrong

        with pytest.raises(InvalidInput):
            added_lines.add(found, **given, request_key="a", at=AT, by=cast.finance)


class TestErrorsOfOneBill:
    def test_park_it_with_its_reason_and_let_the_rest_go_on(self, cast: Cast) -> None:
        of_center(cast, "CC-A", [ANSWERS])
        of_center(cast, "CC-B", [FEE])

        with pytest.raises(BillsParked, match="CC-A"):
            close()

        parked = ParkedBill.objects.get()
        assert (str(parked.cost_center), parked.cause, parked.code) == (
            str(parked.cost_center),
            "error",
            "plan_not_billable",
        )
        assert "answers" in parked.reason
        assert [str(one) for one in Invoice.objects.all()] == ["ST-2026-000001"]
        assert BillingPeriod.objects.get(pk="2026-10").state == "closing"
        state = run_state("2026-10")
        assert (state.finalized, state.drafts, state.failed, state.held) == (1, 0, 1, 0)

    def test_are_tried_again_by_the_next_close(self, cast: Cast) -> None:
        subscription = of_center(cast, "CC-A", [ANSWERS])
        of_center(cast, "CC-B", [FEE])
        with pytest.raises(BillsParked):
            close()
        with pytest.raises(BillsParked):
            close()
        assert list(ParkedBill.objects.order_by("pk").values_list("state", "attempts")) == [
            ("released", 1),
            ("parked", 2),
        ]
        priced = factories.make_plan(subscription.app, charges=[FEE])
        Subscription.objects.filter(pk=subscription.pk).update(plan=priced)

        issued = close()

        assert issued == ["ST-2026-000001", "ST-2026-000002"]
        assert not ParkedBill.objects.filter(state="parked").exists()
        assert all(verdict.is_ok for verdict in verify())

    def test_of_the_database_park_a_bill_too(self, cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
        of_center(cast, "CC-A", [FEE])
        of_center(cast, "CC-B", [FEE])
        finalize = invoicing.finalize

        def refuse_one(invoice: Invoice, **options: Any) -> None:
            finalize(invoice, **options)
            if invoice.cost_center and invoice.cost_center.code == "CC-A":
                raise IntegrityError("violates check constraint")

        monkeypatch.setattr(invoicing, "finalize", refuse_one)
        with pytest.raises(BillsParked):
            close()

        # Its number went back, and the other one has it.
        assert {str(one.cost_center): one.number for one in Invoice.objects.all()} == {
            str(Invoice.objects.get(state="draft").cost_center): None,
            str(Invoice.objects.get(state="finalized").cost_center): "ST-2026-000001",
        }
        assert ParkedBill.objects.get().code == "finalizing_failed"

    def test_show_in_drafts_before_anything_is_closed(self, cast: Cast) -> None:
        of_center(cast, "CC-A", [ANSWERS])

        assert draft() == []
        assert ParkedBill.objects.get().reason


class TestHeldBills:
    def test_wait_until_they_are_released(self, cast: Cast) -> None:
        of_center(cast, "CC-A", [FEE])
        of_center(cast, "CC-B", [FEE, COST])
        first = draft()[0]
        held = parking.hold(first, reason="The customer disputes the days", at=AT, by=cast.finance)

        with pytest.raises(BillsParked, match="disputes the days"):
            close()
        with pytest.raises(BillsParked):
            close()
        assert Invoice.objects.filter(state="draft").count() == 1

        parking.release(held, at=AT, by=cast.finance)
        issued = close()

        assert issued == ["ST-2026-000001", "ST-2026-000002"]
        assert AuditEntry.objects.filter(action="billing.parked.released").count() == 1

    def test_can_be_changed_while_the_month_closes(self, cast: Cast) -> None:
        of_center(cast, "CC-A", [FEE])
        (found,) = draft()
        held = parking.hold(found, reason="Wait", at=AT, by=cast.finance)
        with pytest.raises(BillsParked):
            close()

        TestAddedLines().add(found, cast)
        parking.release(held, at=AT, by=cast.finance)
        close()

        assert Invoice.objects.get().total_minor == 7_500

    def test_are_held_once_and_with_a_reason(self, cast: Cast) -> None:
        of_center(cast, "CC-A", [FEE])
        (found,) = draft()

        with pytest.raises(InvalidInput):
            parking.hold(found, reason="  ", at=AT, by=cast.finance)
        first = parking.hold(found, reason="Wait", at=AT, by=cast.finance)
        second = parking.hold(found, reason="Wait more", at=AT, by=cast.finance)

        assert first == second

    def test_are_handed_over_with_a_notice(self, cast: Cast) -> None:
        of_center(cast, "CC-A", [FEE])
        held = parking.hold(draft()[0], reason="Wait", at=AT, by=cast.finance)

        parking.hand_over(held, to=cast.operator, note="Ask the customer", at=AT, by=cast.finance)

        held.refresh_from_db()
        assert (held.handed_to, held.note) == (cast.operator, "Ask the customer")
        assert "Ask the customer" in Notice.objects.get(recipient=cast.operator).text
        parking.release(held, at=AT, by=cast.finance)
        with pytest.raises(Conflict):
            parking.hand_over(held, to=cast.operator, note="", at=AT, by=cast.finance)

    @pytest.mark.parametrize("columns", [{"reason": ""}, {"cause": "held"}])
    def test_are_refused_by_the_database_without_reason_or_holder(
        self, cast: Cast, columns: dict[str, str]
    ) -> None:
        of_center(cast, "CC-A", [FEE])
        draft()
        given = {"cause": "error", "reason": "a"} | columns

        with pytest.raises(IntegrityError), transaction.atomic():
            ParkedBill.objects.create(
                period_id="2026-10", organization=cast.company, currency="USD", parked_at=AT, **given
            )


class TestTurns:
    def test_end_when_the_time_is_up_and_the_next_one_goes_on(self, cast: Cast) -> None:
        for code in ("CC-A", "CC-B", "CC-C"):
            of_center(cast, code, [FEE])
        asked: list[int] = []

        def after_three() -> bool:
            asked.append(1)
            return len(asked) == 3

        with pytest.raises(TurnOver):
            close(is_time_up=after_three)
        assert Invoice.objects.filter(state="finalized").count() == 2

        assert close() == ["ST-2026-000001", "ST-2026-000002", "ST-2026-000003"]

    def test_write_drafts_only_while_the_month_is_open(self, cast: Cast) -> None:
        of_center(cast, "CC-A", [FEE])
        draft()
        run = monthly_run.begin(BillingPeriod.objects.get(), monthly_run.Purpose.DRAFTS, at=AT)
        close()

        monthly_run.Worker(run, OCTOBER, TERMS, AT).draft_all()

        assert RunBatch.objects.filter(run=run, drafted_at=None).exists()
        assert Invoice.objects.get().state == "finalized"


class TestPlanning:
    def test_cuts_organizations_into_batches_and_never_one(self, cast: Cast) -> None:
        for team in (cast.stranger_team, cast.consumer_team, cast.consumer_team):
            subscribe(cast, [FEE], team=team)

        assert list(run_planning.batches(OCTOBER, size=1)) == [
            [cast.company.pk],
            [cast.stranger_team.organization_id],
        ]
        assert [len(one) for one in run_planning.batches(OCTOBER, size=100)] == [2]

    def test_keeps_together_who_shares_a_contract(self, cast: Cast) -> None:
        other = factories.make_cost_center(cast.stranger_team.organization)
        use(subscribe(cast, [FEE]), requests=1, cost="1", cost_center=other)

        assert [sorted(one) for one in run_planning.batches(OCTOBER, size=1)] == [
            sorted([cast.company.pk, cast.stranger_team.organization_id])
        ]


class TestGrace:
    def test_drafts_at_first_and_closes_when_it_is_over(self, cast: Cast) -> None:
        subscribe(cast, [FEE], starts_at=datetime(2026, 10, 1, tzinfo=UTC))
        use(Subscription.objects.get(), requests=1, cost="1")
        terms = replace(TERMS, grace=timedelta(days=3))

        background.tend_months(at=datetime(2026, 11, 3, 23, 59, tzinfo=UTC), terms=terms)
        assert Invoice.objects.get().state == "draft"
        assert not Job.objects.exists()

        background.tend_months(at=datetime(2026, 11, 4, tzinfo=UTC), terms=terms)
        background.tend_months(at=datetime(2026, 11, 4, 1, tzinfo=UTC), terms=terms)
        assert [job.name for job in Job.objects.all()] == ["billing.close_period"]

    def test_without_one_leaves_the_close_to_finance(self, cast: Cast) -> None:
        use(subscribe(cast, [FEE]), requests=1, cost="1")

        background.tend_months(at=DECEMBER.replace(month=11, day=30), terms=TERMS)

        assert Invoice.objects.get().state == "draft"
        assert not Job.objects.exists()
