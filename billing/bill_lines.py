"""A line of a bill, as a value."""

from dataclasses import dataclass
from uuid import UUID

from billing.bills import PricedLine
from marketplace.core.periods import Period


@dataclass(frozen=True)
class BillLine:
    """A priced line, with what it is for."""

    priced: PricedLine
    description: str
    app_id: int
    subscription_id: UUID | None
    plan_id: int | None
    service: Period
    is_correction: bool
