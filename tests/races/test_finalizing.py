"""Numbers under concurrency: eight finalizers, some of which roll back, leave no gap and give no number twice."""

import threading
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection, transaction

from billing import invoicing
from billing.close import close_period
from billing.ledger.verify import verify
from billing.models import Invoice, JournalEntry
from billing.monthly_run import refresh_drafts
from billing.terms import ShareTerms, Terms
from tests import factories
from tests.billing.usage import use
from tests.races.test_close import subscribe

TERMS = Terms(legal_entity="Test Company", default_share=ShareTerms(Decimal("0.20")), currency="USD")
AT = datetime(2026, 11, 2, 8, tzinfo=UTC)
FINALIZERS = 8
DRAFTS = 24

pytestmark = [pytest.mark.race, pytest.mark.django_db(transaction=True)]


class RolledBack(Exception):
    """What this test raises after a number was given."""


def finalize_and_sometimes_roll_back(invoices: list[Any], errors: list[Exception]) -> None:
    """Finalize drafts one by one; the first time every third is rolled back after it got its number."""
    try:
        for place, invoice in enumerate(invoices):
            for rolls_back in (place % 3 == 0, False):
                try:
                    with transaction.atomic():
                        fresh = Invoice.objects.select_for_update().get(pk=invoice.pk)
                        if fresh.state == "draft":
                            invoicing.finalize(fresh, terms=TERMS, at=AT)
                        if rolls_back:
                            raise RolledBack
                except RolledBack:
                    continue
                break
    except Exception as error:
        errors.append(error)
    finally:
        connection.close()


def test_numbers_are_gapless_with_eight_finalizers_and_rollbacks() -> None:
    company = factories.make_organization(is_platform=True)
    for _ in range(DRAFTS):
        use(subscribe(company), requests=200, cost="1.5")
    refresh_drafts("2026-10", at=AT, terms=TERMS)
    drafts = list(Invoice.objects.all())
    errors: list[Exception] = []
    # Each draft is in the hands of two of them.
    parts = [drafts[place::4] for place in range(4)] * 2
    threads = [
        threading.Thread(target=finalize_and_sometimes_roll_back, args=(part, errors)) for part in parts
    ]
    assert len(threads) == FINALIZERS
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert errors == []
    numbers = sorted(str(one.number) for one in Invoice.objects.all())
    assert numbers == [f"ST-2026-{place:06d}" for place in range(1, DRAFTS + 1)]
    assert JournalEntry.objects.count() == DRAFTS
    close_period("2026-10", at=AT, terms=TERMS)
    assert all(verdict.is_ok for verdict in verify())
