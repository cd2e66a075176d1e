import pytest
from django.db import IntegrityError, transaction

from billing.ledger import chart, journal
from billing.ledger.journal import Fact, Leg
from billing.models import BillingPeriod, JournalEntry
from billing.posting_months import running_month
from tests.billing.test_close import AT, close
from tests.conftest import Cast


class TestClosedMonth:
    def test_takes_no_entries(self, cast: Cast) -> None:
        close()
        legs = [Leg(chart.RECEIVABLE, 5, "USD"), Leg(chart.PLATFORM_REVENUE, -5, "USD")]
        fact = Fact(
            key="late", kind="test", memo="", legs=legs, period=BillingPeriod.objects.get(pk="2026-10")
        )

        with pytest.raises(IntegrityError, match="closed"), transaction.atomic():
            journal.post(fact, at=AT)

        assert not JournalEntry.objects.filter(idempotency_key="late").exists()

    def test_leaves_what_is_found_later_to_the_next_open_one(self, cast: Cast) -> None:
        close()

        assert running_month(AT.replace(month=10)).name == "2026-11"
