"""What pages and files tell of journal batches: lines with their names, what waits, budgets that were debited."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db.models import Q, QuerySet, Sum

from billing.ledger.chart import BY_CODE
from billing.models import BillingPeriod, BudgetDebit, CostStatement, JournalBatch, JournalBatchLine
from marketplace.accounts.models import CostCenter, Organization, Team
from marketplace.catalog.models import App
from marketplace.core.money import from_minor
from quotas.budget_models import BudgetVersion

# One row a line; the id of the batch stands on each, which is how NetSuite and Business Central tell journals apart.
COLUMNS = (
    "External ID", "Line", "Date", "Posting Period", "Currency", "Account", "Account Name", "Department",
    "Department Name", "Debit", "Credit", "Memo", "Team", "App", "Document No.", "Allocated with Journal No.",
    "Reverses",
)  # fmt: skip


@dataclass(frozen=True)
class Waiting:
    """A month, organization and currency whose statements are published."""

    period: BillingPeriod
    organization: Organization
    currency: str
    total_minor: int


@dataclass(frozen=True)
class Debited:
    """What posted batches took from the budget of a cost center in a month, beside how much it had."""

    cost_center: str
    budget: Decimal | None
    debited: Decimal
    currency: str

    @property
    def left(self) -> Decimal | None:
        return None if self.budget is None else self.budget - self.debited


def batches() -> QuerySet[JournalBatch]:
    """Give batches, the newest first."""
    found = JournalBatch.objects.select_related(
        "period", "organization", "posted_by", "reversed_by", "reverses", "reversal", "run"
    )
    return found.order_by("-period_id", "-posted_at", "-number")


def lines(batch: JournalBatch) -> QuerySet[JournalBatchLine]:
    """Give the lines of a batch with what they name."""
    return batch.lines.select_related("cost_center", "team", "app")


def waiting() -> list[Waiting]:
    """List what has charged statements, the newest month first (two queries)."""
    rows = (
        CostStatement.objects.filter(state=CostStatement.State.PUBLISHED, mode="chargeback")
        .values("period", "organization", "currency")
        .annotate(total=Sum("total_minor"))
        .order_by("-period", "organization", "currency")
    )
    found = list(rows)
    periods = BillingPeriod.objects.in_bulk({row["period"] for row in found})
    organizations = Organization.objects.in_bulk({row["organization"] for row in found})
    return [
        Waiting(
            periods[row["period"]], organizations[row["organization"]], row["currency"], int(row["total"])
        )
        for row in found
    ]


def debited(batch: JournalBatch) -> list[Debited]:
    """List the budgets that a batch debited, with all that batches took of them in its month (three queries)."""
    centers = list(batch.budget_debits.values_list("cost_center", flat=True))
    sums = (
        BudgetDebit.objects.filter(period=batch.period_id, currency=batch.currency, cost_center__in=centers)
        .values("cost_center", "cost_center__code", "cost_center__name")
        .annotate(total=Sum("amount_minor"))
        .order_by("cost_center__code")
    )
    amounts = _budgets(centers, at=batch.period.ends_at, currency=batch.currency)
    return [
        Debited(
            cost_center=f"{row['cost_center__code']} {row['cost_center__name']}",
            budget=amounts.get(row["cost_center"]),
            debited=from_minor(int(row["total"]), batch.currency),
            currency=batch.currency,
        )
        for row in sums
    ]


def _budgets(centers: list[int], *, at: datetime, currency: str) -> dict[int, Decimal]:
    """Read how much the budgets of cost centers were at the end of a month."""
    in_force = Q(starts_at__lt=at) & (Q(ends_at=None) | Q(ends_at__gte=at))
    found = BudgetVersion.objects.filter(in_force, budget__cost_center__in=centers, currency=currency)
    return dict(found.values_list("budget__cost_center", "amount"))


def rows(batch: JournalBatch) -> Iterator[tuple[Any, ...]]:
    """Give a row of COLUMNS for each line: a debit or a credit, never both."""
    for one in lines(batch):
        amount = from_minor(abs(one.amount_minor), batch.currency)
        yield (
            batch.external_id,
            one.position,
            batch.posting_date.isoformat(),
            batch.period_id,
            batch.currency,
            one.account,
            BY_CODE[one.account].title,
            one.cost_center.code if one.cost_center else None,
            one.cost_center.name if one.cost_center else None,
            amount if one.amount_minor > 0 else None,
            amount if one.amount_minor < 0 else None,
            one.memo,
            one.team.slug if one.team else None,
            one.app.slug if one.app else None,
            batch.external_id,
            str(batch.run_id) if batch.run_id and one.is_shared else None,
            batch.reverses.external_id if batch.reverses else None,
        )


def as_json(batch: JournalBatch) -> dict[str, Any]:
    """Write a batch for an import: a header and its lines; amounts are decimal strings."""
    names = [name.lower().replace(" ", "_").replace(".", "") for name in COLUMNS]
    made = [dict(zip(names, row, strict=True)) for row in rows(batch)]
    return {
        "external_id": batch.external_id,
        "posting_date": batch.posting_date.isoformat(),
        "posting_period": batch.period_id,
        "currency": batch.currency,
        "state": batch.state,
        "lines": [{name: _plain(value) for name, value in row.items()} for row in made],
    }


def _plain(value: Any) -> Any:
    return value if value is None or isinstance(value, int) else str(value)


@dataclass(frozen=True)
class Names:
    """What the lines of a preview are called by."""

    centers: dict[int, str]
    teams: dict[int, str]
    apps: dict[int, str]


def names(organization: Organization) -> Names:
    """Read the names that lines of an organization may have (three queries)."""
    centers = CostCenter.objects.filter(organization=organization)
    return Names(
        {center.pk: str(center) for center in centers},
        dict(Team.objects.values_list("pk", "name")),
        dict(App.objects.values_list("pk", "name")),
    )
