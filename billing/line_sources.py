"""Who adds lines to bills beside the price of usage: one entry each, asked in this order.

A source gets the month, the organizations that are worked on (None: all of them) and the lines of each payer so far, and
gives more lines by payer; also for payers that have none yet. It reads in a fixed number of queries and writes nothing:
the preview asks it too, and every redrafting of a draft asks it anew.
"""

from collections.abc import Callable, Collection, Mapping, Sequence

from billing import added_lines, progressive_lines
from billing.bill_lines import BillLine
from billing.billable import Payer
from billing.service_credits import lines as service_credits
from marketplace.core.periods import Period

LinesByPayer = Mapping[Payer, Sequence[BillLine]]
LineSource = Callable[[Period, Collection[int] | None, LinesByPayer], LinesByPayer]

SOURCES: tuple[LineSource, ...] = (
    added_lines.lines_by_payer,
    service_credits.lines_by_payer,
    progressive_lines.lines_by_payer,
)
