"""SIGKILL in the monthly run at every step: after rating, after drafting, between payers, before posting, before the mail."""

import importlib
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection

from billing import announcing, background
from billing.close import close_period
from billing.ledger.verify import verify
from billing.models import BillingPeriod, Invoice, JournalEntry, MonthlyRun
from billing.terms import ShareTerms, Terms
from marketplace.core.models import AuditEntry, Job, Notice
from tests import factories
from tests.billing.usage import use
from tests.races.killing import Steps, run_until_killed, wait_until_let_go
from tests.races.test_close import subscribe

TERMS = Terms(legal_entity="Test Company", default_share=ShareTerms(Decimal("0.20")), currency="USD")
AT = datetime(2026, 11, 2, 8, tzinfo=UTC)
PAYERS = 3
KILLED = -9

# Where the process dies: module, function, whether before or after it, and at which call.
PLACES = (
    ("billing.drafting:work_out", "after", 1),
    ("billing.draft_writing:write", "after", 1),
    ("billing.ledger.journal:post", "before", 2),
    ("billing.invoicing:finalize", "after", 2),
    ("billing.ledger.journal:post", "after", PAYERS + 1),
    ("billing.background:request_mails", "before", 1),
    ("billing.announcing:announce", "after", 2),
)

pytestmark = [pytest.mark.race, pytest.mark.django_db(transaction=True)]


def close_and_tell(*, steps: Steps, where: str, when: str) -> None:
    """Close October and tell payers, in a process that dies at one call of one function."""
    module_name, _, name = where.partition(":")
    module = importlib.import_module(module_name)
    inner: Callable[..., Any] = getattr(module, name)

    def counted(*args: Any, **kwargs: Any) -> Any:
        if when == "before":
            steps.step()
        result = inner(*args, **kwargs)
        if when == "after":
            steps.step()
        return result

    setattr(module, name, counted)
    close_period("2026-10", at=AT, terms=TERMS)
    background.request_mails("2026-10", at=AT)
    announcing.announce_month("2026-10", at=AT)


@pytest.mark.parametrize(("where", "when", "nth"), PLACES)
def test_a_killed_run_goes_on_as_if_nothing_had_been(where: str, when: str, nth: int) -> None:
    company = factories.make_organization(is_platform=True)
    for _ in range(PAYERS):
        use(subscribe(company), requests=200, cost="1.5")
    finance = factories.make_user()
    factories.join(finance, None, "finance", organization=company)

    code = run_until_killed(
        "tests.races.test_run_kills:close_and_tell",
        database=connection.settings_dict["NAME"],
        last=nth,
        where=where,
        when=when,
    )
    assert code == KILLED
    wait_until_let_go()
    for _ in range(2):
        close_period("2026-10", at=AT, terms=TERMS)
        background.request_mails("2026-10", at=AT)
        announcing.announce_month("2026-10", at=AT)

    assert BillingPeriod.objects.get().state == "closed"
    assert not MonthlyRun.objects.filter(ended_at=None).exists()
    numbers = sorted(str(one.number) for one in Invoice.objects.all())
    assert numbers == [f"ST-2026-{place:06d}" for place in range(1, PAYERS + 1)]
    # An entry for each, and one for what the models cost.
    assert JournalEntry.objects.count() == PAYERS + 1
    assert AuditEntry.objects.filter(action="billing.period.closed").count() == 1
    assert Job.objects.filter(name="billing.mail_bills").count() == 1
    assert (
        Notice.objects.filter(recipient=finance, idempotency_key__startswith="invoice-issued:").count()
        == PAYERS
    )
    assert all(verdict.is_ok for verdict in verify())
