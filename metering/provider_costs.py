"""What providers say they charged beside what we rated: the deviation for each model and month."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from metering.measures import Measures, total
from metering.queries import usage
from metering.scopes import EVERYTHING
from metering.usage_reports import Part


@dataclass(frozen=True)
class Compared:
    """Events of which some tell what their provider charged; of the others nothing is compared."""

    measures: Measures

    @property
    def difference(self) -> Decimal:
        """What the provider charged more than we rated; negative when it charged less."""
        return self.measures.provider_cost - self.measures.compared_cost

    @property
    def share(self) -> Decimal | None:
        """The difference in a share of our cost; None when ours is zero."""
        if not self.measures.compared_cost:
            return None
        return self.difference / self.measures.compared_cost


@dataclass(frozen=True)
class Deviation(Compared):
    """The events of a month and model."""

    starts_at: datetime
    model: Part


def deviations(*, from_at: datetime, to_at: datetime, currency: str) -> Sequence[Deviation]:
    """Compare by month and model, the newest month first, then the largest difference first."""
    report = usage(
        from_at=from_at,
        to_at=to_at,
        granularity="month",
        group_by=["model"],
        filters={"currency": currency},
        visible=EVERYTHING,
    )
    found = [
        Deviation(row.measures, row.starts_at, row.parts[0])
        for row in report.rows
        if row.measures.provider_cost_events
    ]
    return sorted(found, key=lambda one: (-one.starts_at.timestamp(), -abs(one.difference), one.model.label))


def together(found: Sequence[Deviation]) -> Compared:
    """Add up what was compared."""
    return Compared(total(one.measures for one in found))
