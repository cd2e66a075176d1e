"""Lines of what was billed before the month's end, and lines of the month's bill that take them off again.

Both are of the kind *progressive*, with the code of their charge, and the second are the mirror of the first, cost and
creator's part among it: a month that was billed in parts comes to what it would have come to in one.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

from billing.bill_lines import BillLine
from billing.billable import Payer
from billing.bills import PricedLine
from billing.models import InvoiceLine
from marketplace.core.money import to_text
from marketplace.core.periods import Period

KIND = InvoiceLine.Kind.PROGRESSIVE
LONGEST = 200
_SO_FAR = "So far this month. "


def as_progressive(line: BillLine) -> BillLine:
    """Make the line of a bill before the month's end out of a line as the month's bill would have it."""
    return replace(line, kind=KIND, description=f"{_SO_FAR}{line.description}"[:LONGEST])


def lines_by_payer(
    month: Period, organizations: Collection[int] | None, lines: Mapping[Payer, Sequence[BillLine]]
) -> dict[Payer, list[BillLine]]:
    """Give what takes off a month's bills what was billed before its end (one query)."""
    billed = InvoiceLine.objects.filter(invoice__period=month.name, invoice__part__gt=0, kind=KIND)
    if organizations is not None:
        billed = billed.filter(invoice__organization__in=organizations)
    found: dict[Payer, list[BillLine]] = {}
    for line in billed.select_related("invoice").order_by("invoice__number", "position"):
        payer = Payer(line.invoice.organization_id, line.invoice.cost_center_id, line.invoice.currency)
        found.setdefault(payer, []).append(mirror_of(line))
    return found


def mirror_of(line: InvoiceLine) -> BillLine:
    """Make the line that takes an earlier one off."""
    number = str(line.invoice.number)
    note: dict[str, Any] = {"label": f"billed on {number}", "amount": to_text(-line.amount)}
    priced = PricedLine(
        code=line.code,
        quantity=-line.quantity,
        amount=-line.amount,
        amount_minor=-line.amount_minor,
        platform_cost=-line.platform_cost,
        creator_minor=-line.creator_minor,
        explanation=(note,),
    )
    what = line.description.removeprefix(_SO_FAR)
    return BillLine(
        priced=priced,
        kind=KIND,
        description=f"Already billed on {number}. {what}"[:LONGEST],
        app_id=line.app_id,
        subscription_id=line.subscription_id,
        plan_id=line.plan_id,
        service=Period(line.service_starts_at, line.service_ends_at),
        is_correction=False,
    )
