"""Lines of a bill that give back for service that was missed.

Credits are written down before a month is billed, so that preview, close and verification find the same.
"""

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence

from billing.bill_lines import BillLine, extra_line
from billing.billable import Payer
from billing.models import InvoiceLine, ServiceCredit
from marketplace.accounts.models import Organization
from marketplace.core.money import format_money, from_minor
from marketplace.core.periods import Period, parse_month

CODE = "service-credit"


def lines_by_payer(
    month: Period, organizations: Collection[int] | None, _: Mapping[Payer, Sequence[BillLine]]
) -> dict[Payer, list[BillLine]]:
    """Give the credits that the bills of a month have, as lines by payer (one query)."""
    credits = ServiceCredit.objects.filter(billed_in=month.name).select_related(
        "subscription__cost_center__organization", "subscription__app", "result"
    )
    if organizations is not None:
        credits = credits.filter(subscription__cost_center__organization__in=organizations)
    found: dict[Payer, list[BillLine]] = defaultdict(list)
    for credit in credits.order_by("subscription__app__name", "month", "objective", "pk"):
        found[_payer(credit)].append(_line(credit))
    return found


def _payer(credit: ServiceCredit) -> Payer:
    center = credit.subscription.cost_center
    pays_invoice = center.organization.billing == Organization.Billing.INVOICE
    return Payer(center.organization_id, None if pays_invoice else center.pk, credit.currency)


def _line(credit: ServiceCredit) -> BillLine:
    app = credit.subscription.app
    return extra_line(
        kind=InvoiceLine.Kind.SLA_CREDIT,
        code=CODE,
        description=f"{app.name}: service credit for {credit.objective} in {credit.month}",
        amount_minor=-credit.amount_minor,
        currency=credit.currency,
        service=parse_month(credit.month),
        explanation=tuple(_explained(credit)),
        creator_minor=-credit.creator_minor,
        app_id=app.pk,
        subscription_id=credit.subscription_id,
    )


def _explained(credit: ServiceCredit) -> Iterator[dict[str, str]]:
    result, fees = credit.result, format_money(credit.fees_minor, credit.currency)
    yield {"label": result.explanation["says"], "amount": "0"}
    yield {
        "label": f"{result.credit_percent.normalize():f} % of {fees}, the month's fees",
        "amount": f"{from_minor(-credit.amount_minor, credit.currency):f}",
    }
