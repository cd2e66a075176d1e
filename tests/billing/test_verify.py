from datetime import UTC, date, datetime
from decimal import Decimal
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.db import DatabaseError, connection, transaction
from django.db.models import F

from billing.ledger import chart, journal
from billing.ledger.journal import Fact, Leg
from billing.ledger.verify import verify
from billing.models import Invoice, InvoiceLine, JournalEntry, Posting
from marketplace.core.numbering import next_number
from metering.models import DailyRollup, UsageRollup
from tests import factories
from tests.billing.test_close import COST, FEE, close, subscribe
from tests.billing.usage import use, use_own
from tests.conftest import Cast

AT = datetime(2026, 11, 2, 8, tzinfo=UTC)
CALLS = {
    "code": "calls",
    "model": "per_unit",
    "unit_amount": "0.017",
    "free_units": "10",
    "minimum": "5",
    "maximum": "6",
}


@pytest.fixture
def closed(cast: Cast) -> Invoice:
    """October with every kind of usage there is: fees, free calls, bounds, sharing, own use, sandbox, late usage."""
    use(
        subscribe(cast, [FEE, COST], starts_at=datetime(2026, 10, 10, tzinfo=UTC)),
        requests=10_000,
        cost="100",
    )
    shared = subscribe(cast, [CALLS])
    use(shared, requests=100, cost="0.123456789")
    use(shared, requests=401, cost="0.5", cost_center=factories.make_cost_center(cast.company))
    use(subscribe(cast, [FEE, CALLS], team=cast.stranger_team), requests=7, cost="0.07")
    use(subscribe(cast, [COST], environment="sandbox", sandbox_credit=Decimal(1)), requests=2, cost="0.002")
    use_own(factories.make_app(cast.creator_team), requests=3, cost="0.0333")
    issued = close()
    use(shared, requests=3, cost="0.3", period=date(2026, 11, 1))
    return issued[0]


def wrong() -> list[str]:
    return [
        f"{verdict.name}: {finding.what}"
        for verdict in verify()
        for finding in verdict.findings
        if not finding.is_ok
    ]


def without_triggers(sql: str) -> None:
    """Break the data as no code could: triggers would refuse it."""
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute("SET session_replication_role = replica")
        cursor.execute(sql)
        cursor.execute("SET session_replication_role = DEFAULT")


class TestVerify:
    def test_agrees_after_a_close(self, closed: Invoice) -> None:
        assert wrong() == []

    def test_agrees_after_late_usage_was_corrected(self, closed: Invoice) -> None:
        close("2026-11", at=datetime(2026, 12, 2, tzinfo=UTC))

        assert InvoiceLine.objects.filter(is_correction=True).exists()
        assert wrong() == []

    def test_agrees_when_payers_are_billed_otherwise_later(self, closed: Invoice, cast: Cast) -> None:
        cast.company.billing = "invoice"
        cast.company.save()

        assert wrong() == []

    def test_agrees_on_nothing(self, cast: Cast) -> None:
        assert wrong() == []

    def test_finds_a_roll_up_that_is_off(self, closed: Invoice) -> None:
        UsageRollup.objects.filter(requests=10_000).update(cost=F("cost") + Decimal("0.000000000000000001"))

        found = wrong()

        assert "Roll-ups are the sum of events: cost" in found
        assert "Invoice lines are the roll-ups, priced again: 2026-10: platform cost" in found

    def test_finds_a_day_that_is_off(self, closed: Invoice) -> None:
        DailyRollup.objects.filter(requests=10_000).update(input_tokens=1)

        assert wrong() == ["Roll-ups are the sum of events: days that are not the sum of their hours"]

    def test_finds_a_line_that_is_off(self, closed: Invoice) -> None:
        without_triggers(
            "UPDATE billing_invoiceline SET amount_minor = amount_minor + 1, platform_minor = platform_minor + 1 "
            "WHERE position = 1"
        )

        found = wrong()

        assert "Invoice lines are the roll-ups, priced again: 2026-10: minor units" in found
        assert "Invoices are the sum of their lines: invoices that are not the sum of their lines" in found

    def test_finds_a_posting_that_is_off(self, closed: Invoice) -> None:
        without_triggers(
            "UPDATE billing_posting SET amount_minor = amount_minor + 1 WHERE account = 'receivable'"
        )

        found = {line.split(":")[0] for line in wrong()}

        assert found == {
            "Credit notes and payments are parts of invoices, and in the books",
            "The books are the posted invoices",
            "The books balance",
        }

    def test_finds_a_missing_number(self, closed: Invoice) -> None:
        with transaction.atomic():
            next_number("ST:2026")

        assert wrong() == ["Numbers have no gaps: numbers ST-2026"]


class TestVerifyCommand:
    def test_prints_totals_that_agree(self, closed: Invoice) -> None:
        out = StringIO()

        call_command("verify", stdout=out)

        assert "agree to the last unit" in out.getvalue()

    def test_fails_on_a_difference(self, closed: Invoice) -> None:
        UsageRollup.objects.filter(requests=10_000).update(requests=9_999)
        out = StringIO()

        with pytest.raises(SystemExit) as end:
            call_command("verify", stdout=out)

        assert end.value.code == 1
        assert "DIFFERS" in out.getvalue()


class TestClosePeriodCommand:
    def test_closes_and_tells_totals(self, cast: Cast) -> None:
        use(subscribe(cast, [FEE, COST]), requests=10_000, cost="100")
        out = StringIO()

        call_command("close_period", "2026-10", by="finance@demo.example", stdout=out)
        call_command("close_period", "2026-10", stdout=out)

        assert "Closed 2026-10." in out.getvalue()
        assert "1 statement: $180.00" in out.getvalue()
        assert "nothing changed" in out.getvalue()

    @pytest.mark.parametrize("period", ["2026-13", "October", "9998-01"])
    def test_refuses_what_cannot_be_closed(self, cast: Cast, period: str) -> None:
        with pytest.raises(CommandError):
            call_command("close_period", period)


class TestJournal:
    def test_refuses_an_unbalanced_entry(self, cast: Cast) -> None:
        legs = [Leg(chart.RECEIVABLE, 5, "USD"), Leg(chart.PLATFORM_REVENUE, -4, "USD")]

        with pytest.raises(journal.Unbalanced):
            journal.post(Fact(key="a", kind="test", memo="", legs=legs), at=AT)

        assert not JournalEntry.objects.exists()

    def test_refuses_currencies_that_balance_only_together(self, cast: Cast) -> None:
        legs = [Leg(chart.RECEIVABLE, 5, "USD"), Leg(chart.PLATFORM_REVENUE, -5, "EUR")]

        with pytest.raises(journal.Unbalanced):
            journal.post(Fact(key="a", kind="test", memo="", legs=legs), at=AT)

    def test_posts_a_fact_once(self, cast: Cast) -> None:
        legs = [Leg(chart.RECEIVABLE, 5, "USD"), Leg(chart.PLATFORM_REVENUE, -5, "USD")]
        fact = Fact(key="a", kind="test", memo="", legs=legs)

        first, second = journal.post(fact, at=AT), journal.post(fact, at=AT)

        assert first == second
        assert Posting.objects.count() == 2

    @pytest.mark.django_db(transaction=True)
    def test_unbalanced_entry_is_refused_by_the_database_at_commit(self) -> None:
        with pytest.raises(DatabaseError, match="does not sum to zero"), transaction.atomic():
            entry = JournalEntry.objects.create(idempotency_key="a", kind="test", posted_at=AT, memo="")
            Posting.objects.create(entry=entry, account="receivable", currency="USD", amount_minor=5)

        assert not JournalEntry.objects.exists()


class TestNumbers:
    def test_stay_gapless_when_a_transaction_is_rolled_back(self, cast: Cast) -> None:
        with pytest.raises(RuntimeError), transaction.atomic():
            assert next_number("ST:2026") == 1
            raise RuntimeError

        use(subscribe(cast, [FEE]), requests=1, cost="0")
        (statement,) = close()

        assert statement.number == "ST-2026-000001"
