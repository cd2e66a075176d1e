"""The month in which something is posted that happens now."""

from datetime import datetime

from billing.models import BillingPeriod
from marketplace.core.periods import month_of


def running_month(at: datetime) -> BillingPeriod:
    """Give the month that is running, or the next one that is not closed; made when it is missing.

    A closed month takes no entries: what is found out about it later is posted when it is found out.
    """
    month = month_of(at)
    while True:
        period, _ = BillingPeriod.objects.get_or_create(
            name=month.name, defaults={"starts_at": month.starts_at, "ends_at": month.ends_at}
        )
        if period.state != BillingPeriod.State.CLOSED:
            return period
        month = month.next()
