"""What the books take of shared parts and corrections: the difference between what statements say and what is booked.

A closed month takes no entries, so these stand in the month that is running; their key says which month they are of.
"""

from collections import defaultdict
from datetime import datetime

from django.db.models import Sum

from billing.ledger import chart, journal
from billing.ledger.journal import Fact, Leg
from billing.models import (
    BillingPeriod,
    CostStatement,
    JournalBatch,
    JournalEntry,
    Posting,
    StatementCorrection,
)
from billing.posting_months import running_month
from marketplace.accounts.models import CostCenter, Organization

KIND = "billing.allocation"


def shared_legs(period: BillingPeriod, organization: Organization, currency: str) -> list[Leg]:
    """Give what the books still lack of shared parts and corrections: what should be booked less what is."""
    due = _should_be_booked(period, organization, currency)
    for account, center, app, amount in _booked(period, organization, currency):
        due[account, center, app] -= amount
    return [
        Leg(
            chart.BY_CODE[account],
            amount,
            currency,
            organization_id=organization.pk,
            cost_center_id=center,
            app_id=app,
        )
        for (account, center, app), amount in sorted(due.items(), key=lambda item: str(item[0]))
        if amount
    ]


def _should_be_booked(
    period: BillingPeriod, organization: Organization, currency: str
) -> dict[tuple[str, int | None, int | None], int]:
    """Debit cost centers that are charged; credit what was shared, or let the platform bear what was corrected."""
    due: dict[tuple[str, int | None, int | None], int] = defaultdict(int)
    charged = CostStatement.objects.filter(
        period=period,
        organization=organization,
        currency=currency,
        state=CostStatement.State.PUBLISHED,
        mode=CostCenter.Mode.CHARGEBACK,
    )
    for center, shared_minor in charged.values_list("cost_center", "shared_minor"):
        due[chart.COST_CENTER_CHARGE.code, center, None] += shared_minor
        due[chart.SHARED_RECOVERED.code, center, None] -= shared_minor
    corrections = StatementCorrection.objects.filter(
        period=period, currency=currency, cost_center__in=charged.values("cost_center")
    )
    for center, app, amount_minor in corrections.values_list("cost_center", "app", "amount_minor"):
        due[chart.COST_CENTER_CHARGE.code, center, None] += amount_minor
        due[chart.PLATFORM_REVENUE.code, None, app] -= amount_minor
    return due


def _key(period: BillingPeriod, organization: Organization, currency: str) -> str:
    """Name the entries of a month's shared parts."""
    return f"allocation:{period.name}:{organization.pk}:{currency}:"


def _booked(
    period: BillingPeriod, organization: Organization, currency: str
) -> list[tuple[str, int | None, int | None, int]]:
    rows = (
        Posting.objects.filter(
            entry__kind=KIND,
            entry__idempotency_key__startswith=_key(period, organization, currency),
            currency=currency,
        )
        .values_list("account", "cost_center", "app")
        .annotate(total=Sum("amount_minor"))
        .order_by("account", "cost_center", "app")
    )
    return [(account, center, app, int(total)) for account, center, app, total in rows]


def book_shared(
    period: BillingPeriod, organization: Organization, currency: str, *, number: int, at: datetime
) -> list[JournalEntry]:
    """Book what the books still lack; no entry when they lack nothing. ``number`` is that of the batch."""
    entry = journal.post(
        Fact(
            key=f"{_key(period, organization, currency)}{number}",
            kind=KIND,
            memo=f"Shared costs and corrections of {period.name}, {organization.name}",
            legs=shared_legs(period, organization, currency),
            period=running_month(at),
        ),
        at=at,
    )
    return [entry] if entry else []


def unbook_shared(batch: JournalBatch, *, at: datetime) -> None:
    """Take back what the batch had booked itself; what the month's close booked stays in the books."""
    for one in batch.entries.filter(entry__kind=KIND, released_at=None).select_related("entry"):
        legs = [
            Leg(
                chart.BY_CODE[posting.account],
                -posting.amount_minor,
                posting.currency,
                organization_id=posting.organization_id,
                cost_center_id=posting.cost_center_id,
                app_id=posting.app_id,
            )
            for posting in one.entry.postings.order_by("pk")
        ]
        memo = f"Reversal of {batch.external_id}"
        journal.post(
            Fact(
                f"{one.entry.idempotency_key}:reversed",
                KIND,
                memo,
                legs,
                period=running_month(at),
                corrects=one.entry,
            ),
            at=at,
        )
