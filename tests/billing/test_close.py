from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from django.db import DatabaseError, transaction

from billing import invoicing
from billing.close import MonthNotOver, OtherMonthClosing, close_period
from billing.drafting import bills_of
from billing.models import BillingPeriod, Invoice, InvoiceLine, JournalEntry, Posting, RevenueShareAgreement
from billing.terms import ShareTerms, Terms
from marketplace.catalog import subscriptions
from marketplace.catalog.models import Subscription
from marketplace.core.models import AuditEntry, NumberSequence
from marketplace.core.periods import parse_month
from metering.models import ClosedPeriod
from tests import factories
from tests.billing.usage import use, use_own
from tests.conftest import Cast

TERMS = Terms(legal_entity="Test Company", default_share=ShareTerms(Decimal("0.20")), currency="USD")
AT = datetime(2026, 11, 2, 8, tzinfo=UTC)
DECEMBER = datetime(2026, 12, 2, 8, tzinfo=UTC)
FEE = {"code": "fee", "model": "flat", "amount": "50", "prorate": True}
COST = {"code": "cost", "model": "cost_plus", "markup": "0.30"}


def subscribe(cast: Cast, charges: list[dict[str, Any]], **fields: Any) -> Subscription:
    app = factories.make_app(cast.creator_team)
    plan = factories.make_plan(app, charges=charges)
    return factories.make_subscription(app, fields.pop("team", cast.consumer_team), plan=plan, **fields)


def close(name: str = "2026-10", *, at: datetime = AT) -> list[Invoice]:
    close_period(name, at=at, terms=TERMS)
    return list(Invoice.objects.filter(period=name).order_by("number"))


def lines_of(invoice: Invoice) -> list[tuple[str, Decimal, int]]:
    return [(line.code, line.quantity.normalize(), line.amount_minor) for line in invoice.lines.all()]


def accounts(invoice: Invoice | None = None) -> dict[str, int]:
    postings = Posting.objects.filter(entry__invoice=invoice) if invoice else Posting.objects.all()
    sums: dict[str, int] = {}
    for posting in postings:
        sums[posting.account] = sums.get(posting.account, 0) + posting.amount_minor
    return sums


class TestClosePeriod:
    def test_bills_the_two_part_tariff(self, cast: Cast) -> None:
        # Cost 10 per 1,000 calls, multiplier 1.3, fee 50, 10,000 calls: 50 + 10 x 13 = 180.
        use(subscribe(cast, [FEE, COST]), requests=10_000, cost="100")

        (statement,) = close()

        assert lines_of(statement) == [("fee", 1, 5_000), ("cost", 100, 13_000)]
        assert statement.total_minor == 18_000
        assert statement.number == "ST-2026-000001"
        assert statement.cost_center == cast.cost_center
        assert statement.kind == "statement"
        # Net of cost: the creator gets (180 - 100) x 0.8 = 64.00, the platform 116.00, of which 100.00 is cost.
        assert accounts(statement) == {
            "cost_center_charge": 18_000,
            "creator_payable": -6_400,
            "platform_revenue": -11_600,
        }
        # 64.00 over lines of 50 and 130: 17.78 and 46.22.
        assert [line.creator_minor for line in statement.lines.all()] == [1_778, 4_622]

    def test_books_what_models_cost(self, cast: Cast) -> None:
        # 12.345 is 12.35, rounded once per app; the sandbox costs too, though nobody pays for it.
        use(subscribe(cast, [COST]), requests=1, cost="12.345")
        sandbox = subscribe(
            cast, [COST], environment="sandbox", sandbox_credit=Decimal(1), team=cast.creator_team
        )
        use(sandbox, requests=1, cost="0.75")

        close()

        entry = JournalEntry.objects.get(idempotency_key="provider-cost:2026-10")
        costs = entry.postings.filter(account="model_cost").values_list("amount_minor", flat=True)
        assert sorted(costs) == [75, 1_235]
        assert sum(entry.postings.values_list("amount_minor", flat=True)) == 0

    def test_never_bills_the_sandbox(self, cast: Cast) -> None:
        sandbox = subscribe(cast, [COST], environment="sandbox", sandbox_credit=Decimal(1))
        use(sandbox, requests=5, cost="3")

        assert close() == []

    def test_changes_nothing_the_second_time(self, cast: Cast) -> None:
        use(subscribe(cast, [FEE, COST]), requests=10_000, cost="100")
        close()
        before = (Invoice.objects.count(), InvoiceLine.objects.count(), Posting.objects.count())
        audited = AuditEntry.objects.count()

        again = close_period("2026-10", at=DECEMBER, terms=TERMS)

        assert not again.is_new
        assert again.period.closed_at == AT
        assert (Invoice.objects.count(), InvoiceLine.objects.count(), Posting.objects.count()) == before
        assert AuditEntry.objects.count() == audited
        assert NumberSequence.objects.get().last_number == 1

    def test_goes_on_after_a_crash_between_payers(self, cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
        use(subscribe(cast, [FEE]), requests=1, cost="0")
        other = factories.make_cost_center(cast.company, code="CC-200", mode="chargeback")
        use(subscribe(cast, [FEE], cost_center=other), requests=1, cost="0")
        finalize, calls = invoicing.finalize, []

        def crash_at_second(invoice: Invoice, **options: Any) -> None:
            calls.append(invoice)
            finalize(invoice, **options)
            if len(calls) == 2:
                raise RuntimeError("power cut")

        monkeypatch.setattr(invoicing, "finalize", crash_at_second)
        with pytest.raises(RuntimeError):
            close()
        assert BillingPeriod.objects.get(pk="2026-10").state == "closing"
        assert [one.number for one in Invoice.objects.exclude(state="draft")] == ["ST-2026-000001"]

        monkeypatch.undo()
        statements = close()

        assert [one.number for one in statements] == ["ST-2026-000001", "ST-2026-000002"]
        assert BillingPeriod.objects.get(pk="2026-10").state == "closed"

    def test_goes_on_with_the_numbers_when_the_legal_entity_is_renamed(self, cast: Cast) -> None:
        subscribe(cast, [FEE])
        close()

        close_period("2026-11", at=DECEMBER, terms=replace(TERMS, legal_entity="Renamed Company"))

        november = Invoice.objects.get(period="2026-11")
        assert (november.number, november.payer["issuer"]) == ("ST-2026-000002", "Renamed Company")

    def test_stops_the_month_from_taking_usage(self, cast: Cast) -> None:
        close()

        assert ClosedPeriod.objects.get().period == date(2026, 10, 1)

    def test_waits_for_the_end_of_the_month(self, cast: Cast) -> None:
        with pytest.raises(MonthNotOver):
            close_period("2026-11", at=datetime(2026, 11, 30, 23, 59, tzinfo=UTC), terms=TERMS)

    def test_closes_one_month_at_a_time(self, cast: Cast) -> None:
        BillingPeriod.objects.create(
            name="2026-09",
            starts_at=datetime(2026, 9, 1, tzinfo=UTC),
            ends_at=datetime(2026, 10, 1, tzinfo=UTC),
            state="closing",
        )

        with pytest.raises(OtherMonthClosing):
            close()

        assert not ClosedPeriod.objects.exists()

    def test_bills_what_the_preview_showed(self, cast: Cast) -> None:
        use(subscribe(cast, [FEE, COST]), requests=123, cost="4.567")
        (preview,) = bills_of(parse_month("2026-10"), default_share=TERMS.default_share)

        (statement,) = close()

        assert statement.total_minor == preview.subtotal_minor


class TestPayers:
    def test_invoices_an_organization_once_with_all_its_teams(self, cast: Cast) -> None:
        organization = cast.stranger_team.organization
        second = factories.make_team(organization)
        for team in (cast.stranger_team, second):
            use(subscribe(cast, [FEE], team=team), requests=1, cost="0")

        (invoice,) = close()

        assert invoice.number == "INV-2026-000001"
        assert invoice.cost_center is None
        assert invoice.total_minor == 10_000
        assert invoice.due_at == datetime(2026, 12, 2, 8, tzinfo=UTC)
        # Without cost the creator gets 100 x 0.8.
        assert accounts(invoice) == {
            "receivable": 10_000,
            "creator_payable": -8_000,
            "platform_revenue": -2_000,
        }

    @pytest.mark.parametrize("mode", ["showback", "parallel"])
    def test_posts_nothing_for_show(self, cast: Cast, mode: str) -> None:
        center = factories.make_cost_center(cast.company, mode=mode)
        use(subscribe(cast, [FEE, COST], cost_center=center), requests=10_000, cost="100")

        (statement,) = close()

        assert statement.state == "finalized"
        assert statement.mode == mode
        assert statement.total_minor == 18_000
        assert accounts(statement) == {}
        # The models were used all the same.
        assert accounts() == {"model_cost": 10_000, "provider_accrual": -10_000}

    def test_shares_a_subscription_among_cost_centers(self, cast: Cast) -> None:
        other = factories.make_cost_center(cast.company, code="CC-900", mode="chargeback")
        calls = {"code": "calls", "model": "per_unit", "unit_amount": "0.01", "free_units": "100"}
        subscription = subscribe(cast, [FEE, calls])
        use(subscription, requests=300, cost="1")
        use(subscription, requests=101, cost="0.5", cost_center=other)

        first, second = close()

        # 401 calls, 100 of them free: 3.01. By calls 300:101 that is 2.2519 and 0.7581, so 2.25 and 0.76.
        assert lines_of(first) == [("fee", 1, 5_000), ("calls", 300, 225)]
        assert lines_of(second) == [("calls", 101, 76)]
        assert second.lines.get().platform_cost == Decimal("0.5")

    def test_charges_an_owner_for_own_use_at_cost(self, cast: Cast) -> None:
        app = factories.make_app(cast.creator_team)
        use_own(app, requests=7, cost="1.005")

        (statement,) = close()

        # 1.005 is rounded half away from zero, and there is nothing to share.
        assert lines_of(statement) == [("cost", Decimal("1.005"), 101)]
        line = statement.lines.get()
        assert (line.creator_minor, line.platform_minor) == (0, 101)


class TestPrices:
    def test_prorates_the_fee_by_active_days(self, cast: Cast) -> None:
        # From 10 October: 22 of 31 days of 50 are 35.4838...
        subscribe(cast, [FEE], starts_at=datetime(2026, 10, 10, 15, tzinfo=UTC))

        (statement,) = close()

        assert lines_of(statement) == [("fee", 1, 3_548)]

    def test_follows_the_days_of_each_plan(self, cast: Cast) -> None:
        # 50 until 16 October, 100 from then: 15/31 of 50 is 24.19, 16/31 of 100 is 51.61.
        subscription = subscribe(cast, [FEE])
        old, new = subscription.plan, factories.make_plan(subscription.app, charges=[FEE | {"amount": "100"}])
        assert old is not None
        subscriptions.change_plan(
            subscription, plan=new, by=cast.consumer, at=datetime(2026, 10, 16, 12, tzinfo=UTC)
        )
        # A change after the month says nothing about the month.
        subscriptions.change_plan(
            subscription, plan=old, by=cast.consumer, at=datetime(2026, 11, 1, 12, tzinfo=UTC)
        )

        (statement,) = close()

        assert sorted(lines_of(statement)) == [("fee", 1, 2_419), ("fee", 1, 5_161)]

    def test_bills_nothing_to_what_ended_before(self, cast: Cast) -> None:
        ended = datetime(2026, 10, 1, tzinfo=UTC)
        subscribe(cast, [FEE], state="canceled", ends_at=ended)

        assert close() == []

    def test_gives_free_calls_before_paid_ones(self, cast: Cast) -> None:
        calls = {"code": "calls", "model": "per_unit", "unit_amount": "0.02", "free_units": "100"}
        use(subscribe(cast, [calls]), requests=350, cost="1")

        (statement,) = close()

        assert lines_of(statement) == [("calls", 350, 500)]
        # The cost stands on the calls when the plan does not pass it on: (5 - 1) x 0.8.
        line = statement.lines.get()
        assert (line.platform_cost, line.creator_minor) == (1, 320)

    def test_shows_calls_that_a_plan_includes(self, cast: Cast) -> None:
        use(subscribe(cast, [FEE]), requests=12, cost="3")

        (statement,) = close()

        assert lines_of(statement) == [("fee", 1, 5_000), ("calls", 12, 0)]
        # (50 - 3) x 0.8 on both lines together; all of it goes to the line that was paid.
        assert [line.creator_minor for line in statement.lines.all()] == [3_760, 0]
        assert [line.platform_cost for line in statement.lines.all()] == [0, 3]

    def test_bills_a_plan_that_costs_nothing(self, cast: Cast) -> None:
        use(subscribe(cast, []), requests=12, cost="3")

        (statement,) = close()

        assert lines_of(statement) == [("calls", 12, 0)]
        assert accounts(statement) == {}

    def test_follows_the_agreement_in_force(self, cast: Cast) -> None:
        subscription = subscribe(cast, [FEE, COST])
        RevenueShareAgreement.objects.create(
            app=subscription.app, basis="gross", share=Decimal("0.5"), starts_at=factories.LONG_AGO
        )
        use(subscription, requests=10_000, cost="100")

        (statement,) = close()

        # Half of 180, whatever it cost.
        assert accounts(statement)["creator_payable"] == -9_000

    def test_pays_the_creator_nothing_when_cost_is_above_the_price(self, cast: Cast) -> None:
        calls = {"code": "calls", "model": "per_unit", "unit_amount": "0.01"}
        use(subscribe(cast, [calls]), requests=100, cost="3")

        (statement,) = close()

        assert accounts(statement) == {"cost_center_charge": 100, "platform_revenue": -100}


class TestLateUsage:
    def test_is_corrected_by_the_difference_in_its_own_month(self, cast: Cast) -> None:
        # W39: 10 each for 5 in the first month; 2 more come late, and 3 in the second month.
        calls = {
            "code": "calls",
            "model": "graduated",
            "tiers": [{"up_to": "6", "unit_amount": "10"}, {"up_to": None, "unit_amount": "4"}],
        }
        subscription = subscribe(cast, [FEE, calls])
        use(subscription, requests=5, cost="1")
        close()
        use(subscription, requests=2, cost="0.4", period=date(2026, 11, 1))
        use(subscription, requests=3, cost="0.6", at=datetime(2026, 11, 5, tzinfo=UTC))

        (statement,) = close("2026-11", at=DECEMBER)

        # October as a whole: 6 x 10 + 1 x 4 = 64, of which 50 are billed. The fee is not repeated for October.
        assert lines_of(statement) == [("fee", 1, 5_000), ("calls", 3, 3_000), ("calls", 2, 1_400)]
        correction = statement.lines.get(is_correction=True)
        assert correction.service_starts_at == datetime(2026, 10, 1, tzinfo=UTC)
        assert correction.service_ends_at == datetime(2026, 11, 1, tzinfo=UTC)
        assert correction.description.startswith("Correction 2026-10")
        # October as a whole: (114 - 1.4) x 0.8 = 90.08, of which (100 - 1) x 0.8 = 79.20 was given.
        assert correction.creator_minor == 1_088

    def test_of_an_owner_is_a_correction_too(self, cast: Cast) -> None:
        app = factories.make_app(cast.creator_team)
        close()
        use_own(app, requests=1, cost="2", period=date(2026, 11, 1))

        (statement,) = close("2026-11", at=DECEMBER)

        line = statement.lines.get()
        assert (line.is_correction, line.amount_minor) == (True, 200)

    def test_may_come_in_two_months(self, cast: Cast) -> None:
        package = {"code": "calls", "model": "package", "package_size": "10", "package_amount": "15"}
        subscription = subscribe(cast, [package])
        use(subscription, requests=17, cost="0")
        close()
        use(subscription, requests=2, cost="0", period=date(2026, 11, 1))
        (second,) = close("2026-11", at=DECEMBER)
        use(subscription, requests=2, cost="0", period=date(2026, 12, 1))

        (third,) = close("2026-12", at=datetime(2027, 1, 2, tzinfo=UTC))

        # 17 are two packages, 19 too, 21 are three.
        assert lines_of(second) == [("calls", 2, 0)]
        assert lines_of(third) == [("calls", 2, 1_500)]
        assert third.number == "ST-2027-000001"


class TestFinalized:
    @pytest.fixture
    def statement(self, cast: Cast) -> Invoice:
        use(subscribe(cast, [FEE, COST]), requests=10, cost="1")
        (statement,) = close()
        return statement

    @pytest.mark.parametrize(
        "change", [{"total_minor": 1, "subtotal_minor": 1}, {"number": "X"}, {"payer": {}}]
    )
    def test_invoice_cannot_change(self, statement: Invoice, change: dict[str, Any]) -> None:
        with pytest.raises(DatabaseError, match="finalized"), transaction.atomic():
            Invoice.objects.filter(pk=statement.pk).update(**change)

    def test_invoice_cannot_go(self, statement: Invoice) -> None:
        with pytest.raises(DatabaseError), transaction.atomic():
            statement.delete()

    def test_line_cannot_change(self, statement: Invoice) -> None:
        with pytest.raises(DatabaseError, match="finalized"), transaction.atomic():
            statement.lines.update(description="cheaper")

    def test_line_cannot_be_added(self, statement: Invoice) -> None:
        line = statement.lines.first()
        assert line is not None
        line.pk, line.position = None, 99

        with pytest.raises(DatabaseError, match="finalized"), transaction.atomic():
            line.save()

    def test_posting_cannot_change(self, statement: Invoice) -> None:
        with pytest.raises(DatabaseError), transaction.atomic():
            Posting.objects.update(amount_minor=0)


class TestQueries:
    def test_do_not_grow_with_subscriptions(self, cast: Cast, django_assert_max_num_queries: Any) -> None:
        for _ in range(30):
            use(subscribe(cast, [FEE, COST]), requests=10, cost="1")

        with django_assert_max_num_queries(15):
            (bill,) = bills_of(parse_month("2026-10"), default_share=TERMS.default_share)

        assert len(bill.lines) == 60
