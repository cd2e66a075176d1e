"""Lines of a bill that no plan asks for: credits for service that was missed.

They are written down before a month is billed, so that preview, close and verification find the same.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import UUID

from billing.bills import ZERO, PricedLine
from billing.models import ServiceCredit
from marketplace.core.money import format_money, from_minor
from marketplace.core.periods import Period, parse_month

if TYPE_CHECKING:
    from billing.billable import Billable, Payer

SERVICE_CREDIT = "service-credit"
# Nothing was used for them: who prices a month again, or corrects it, leaves them out.
CODES = (SERVICE_CREDIT,)


@dataclass(frozen=True)
class ExtraLine:
    """A line with what it is for, named as a line of a bill is."""

    priced: PricedLine
    description: str
    app_id: int
    subscription_id: UUID | None
    plan_id: int | None
    service: Period


def of_month(books: "Billable") -> Iterator[tuple["Payer", ExtraLine]]:
    """Yield who gets which extra line with the bill of a month (one query)."""
    credits = ServiceCredit.objects.filter(billed_in=books.month.name).select_related(
        "subscription__cost_center__organization", "subscription__app", "result"
    )
    for credit in credits.order_by("subscription__app__name", "month", "objective", "pk"):
        center = credit.subscription.cost_center
        books.cost_centers.setdefault(center.pk, center)
        books.organizations.setdefault(center.organization_id, center.organization)
        yield books.payer(center.organization_id, center.pk, credit.currency), _line(credit)


def _line(credit: ServiceCredit) -> ExtraLine:
    app = credit.subscription.app
    return ExtraLine(
        priced=PricedLine(
            code=SERVICE_CREDIT,
            quantity=ZERO,
            amount=-from_minor(credit.amount_minor, credit.currency),
            amount_minor=-credit.amount_minor,
            platform_cost=ZERO,
            creator_minor=-credit.creator_minor,
            explanation=tuple(_explained(credit)),
        ),
        description=f"{app.name}: service credit for {credit.objective} in {credit.month}"[:200],
        app_id=app.pk,
        subscription_id=credit.subscription_id,
        plan_id=credit.plan_id,
        service=parse_month(credit.month),
    )


def _explained(credit: ServiceCredit) -> Iterator[dict[str, str]]:
    result, fees = credit.result, format_money(credit.fees_minor, credit.currency)
    yield {"label": result.explanation["says"], "amount": "0"}
    yield {
        "label": f"{result.credit_percent.normalize():f} % of {fees}, the month's fees",
        "amount": f"-{from_minor(credit.amount_minor, credit.currency):f}",
    }
