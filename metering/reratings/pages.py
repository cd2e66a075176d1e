"""What the pages, files and answers of re-ratings show."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from django.db.models import Count, F, QuerySet, Sum

from marketplace.core.csv import Cell
from marketplace.core.models import Job
from marketplace.core.money import exact
from metering.models import Correction, Rerating, ReratingPart
from metering.proposals import TOKEN_PRICES
from metering.rate_cards.pages import LABELS
from metering.reratings.proposing import APPLY, PREVIEW

ZERO = Decimal(0)
SHOWN_PARTS = 100
CSV_COLUMNS = (
    "organization", "app", "cost_center", "billing_period", "events", "old_cost", "new_cost", "difference", "currency",
)  # fmt: skip


@dataclass(frozen=True)
class Totals:
    """What would change in all: so many events, and their cost before and after."""

    events: int = 0
    old_cost: Decimal = ZERO
    new_cost: Decimal = ZERO

    @property
    def difference(self) -> Decimal:
        with exact():
            return self.new_cost - self.old_cost

    @property
    def share(self) -> Decimal | None:
        """The difference in a share of the old cost; None where that is nothing."""
        return self.difference / self.old_cost if self.old_cost else None


@dataclass(frozen=True)
class PartRow(Totals):
    """What would change for one app, payer and billing month."""

    organization: str = ""
    app: str = ""
    cost_center: str = ""
    period: date = date.min


@dataclass(frozen=True)
class Written:
    """What was written into one billing month."""

    period: date
    events: int
    difference: Decimal


def listed() -> QuerySet[Rerating]:
    """Return every re-rating, the newest first."""
    return Rerating.objects.select_related("proposed_by", "decided_by").order_by("-pk")


def with_sums(found: Iterable[Rerating]) -> list[tuple[Rerating, Totals]]:
    """Put beside each re-rating what it would change (one query)."""
    rows = list(found)
    sums = (
        ReratingPart.objects.filter(rerating__in=rows)
        .values("rerating")
        .annotate(count=Sum("events"), old=Sum("old_cost"), new=Sum("new_cost"))
    )
    totals = {row["rerating"]: Totals(row["count"], row["old"], row["new"]) for row in sums}
    return [(row, totals.get(row.pk, Totals())) for row in rows]


def totals(rerating: Rerating) -> Totals:
    """Sum what a re-rating would change."""
    return with_sums([rerating])[0][1]


def parts(rerating: Rerating) -> list[PartRow]:
    """List what would change, the largest difference first."""
    rows = ReratingPart.objects.filter(rerating=rerating).select_related("organization", "app", "cost_center")
    found = [
        PartRow(
            row.events,
            row.old_cost,
            row.new_cost,
            row.organization.name,
            row.app.name,
            row.cost_center.code,
            row.period,
        )
        for row in rows
    ]
    return sorted(found, key=lambda one: (-abs(one.difference), one.app, one.cost_center, one.period))


def csv_rows(rerating: Rerating) -> Iterator[list[Cell]]:
    """Give the lines of the file, in the order of CSV_COLUMNS."""
    for one in parts(rerating):
        yield [
            one.organization,
            one.app,
            one.cost_center,
            f"{one.period:%Y-%m}",
            one.events,
            one.old_cost,
            one.new_cost,
            one.difference,
            rerating.currency,
        ]


def written(rerating: Rerating) -> list[Written]:
    """Sum what has been written so far by the month that bills it."""
    rows = (
        Correction.objects.filter(rerating=rerating)
        .values("period")
        .annotate(events=Count("pk"), added=Sum(F("new_cost") - F("old_cost")))
        .order_by("period")
    )
    return [Written(row["period"], row["events"], row["added"]) for row in rows]


def prices(rerating: Rerating) -> list[tuple[str, Decimal]]:
    """List the prices of a re-rating with their labels."""
    names = TOKEN_PRICES if rerating.is_of_tokens else ("price_per_hour",)
    return [(LABELS[name], getattr(rerating, name)) for name in names]


def job_of(rerating: Rerating) -> Job | None:
    """Return the job that works on a re-rating now: the one that works it out, or the one that writes it."""
    name = {Rerating.State.PREVIEWING: PREVIEW, Rerating.State.APPROVED: APPLY}.get(
        Rerating.State(rerating.state)
    )
    return Job.objects.filter(idempotency_key=f"{name}:{rerating.pk}").first() if name else None
