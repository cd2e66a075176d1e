"""One line of a bill to be, whoever makes it: the price of usage, a discount, a credit, a line added by hand."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from uuid import UUID

from billing.bills import PricedLine
from billing.models import InvoiceLine
from marketplace.core.money import from_minor
from marketplace.core.periods import Period


@dataclass(frozen=True)
class BillLine:
    """A priced line, with what it is for; what is of no app (an added line) has none."""

    priced: PricedLine
    description: str
    app_id: int | None
    subscription_id: UUID | None
    plan_id: int | None
    service: Period
    is_correction: bool
    kind: str = InvoiceLine.Kind.CHARGE


def extra_line(
    *,
    kind: str,
    code: str,
    description: str,
    amount_minor: int,
    currency: str,
    service: Period,
    explanation: tuple[dict[str, Any], ...] = (),
    creator_minor: int = 0,
    app_id: int | None = None,
    subscription_id: UUID | None = None,
) -> BillLine:
    """Make a line that is no price of usage. What of it is not the creator's is the platform's."""
    priced = PricedLine(
        code=code,
        quantity=Decimal(1),
        amount=from_minor(amount_minor, currency),
        amount_minor=amount_minor,
        platform_cost=Decimal(0),
        creator_minor=creator_minor,
        explanation=explanation,
    )
    return BillLine(
        priced=priced,
        description=description[:200],
        app_id=app_id,
        subscription_id=subscription_id,
        plan_id=None,
        service=service,
        is_correction=False,
        kind=kind,
    )
