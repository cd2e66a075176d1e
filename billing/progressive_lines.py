"""Lines of what was billed before the month's end, and lines of the month's bill that take them off again.

Both have the code of their charge with ``:progressive`` behind it, and the second are the mirror of the first, cost and
creator's part among it: a month that was billed in parts comes to what it would have come to in one.
"""

from dataclasses import replace
from typing import Any

from billing.bill_lines import BillLine
from billing.billable import Payer
from billing.bills import PricedLine
from billing.models import InvoiceLine
from marketplace.core.money import to_text
from marketplace.core.periods import Period

PROGRESSIVE = ":progressive"
LONGEST = 200


def as_progressive(line: BillLine) -> BillLine:
    """Make the line of a bill before the month's end out of a line as the month's bill would have it."""
    priced = replace(line.priced, code=line.priced.code + PROGRESSIVE)
    return replace(line, priced=priced, description=f"So far this month. {line.description}"[:LONGEST])


def deduct(lines: dict[Payer, list[BillLine]], *, month: Period) -> None:
    """Add to the lines of a month's bills what takes off again what was billed before its end (one query)."""
    billed = InvoiceLine.objects.filter(
        invoice__period=month.name, invoice__part__gt=0, code__endswith=PROGRESSIVE
    ).select_related("invoice")
    for line in billed.order_by("invoice__part", "invoice__number", "position"):
        payer = Payer(line.invoice.organization_id, line.invoice.cost_center_id, line.invoice.currency)
        lines.setdefault(payer, []).append(mirror_of(line))


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
    what = line.description.removeprefix("So far this month. ")
    return BillLine(
        priced=priced,
        description=f"Already billed on {number}. {what}"[:LONGEST],
        app_id=line.app_id,
        subscription_id=line.subscription_id,
        plan_id=line.plan_id,
        service=Period(line.service_starts_at, line.service_ends_at),
        is_correction=False,
    )
