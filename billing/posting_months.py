"""The month in which something is posted that happens now."""

from datetime import datetime

from billing.models import BillingPeriod
from marketplace.core.periods import month_of


def running_month(at: datetime) -> BillingPeriod:
    """Give the month that is running, made when it is missing; it is not over, so it cannot be closed."""
    month = month_of(at)
    period, _ = BillingPeriod.objects.get_or_create(
        name=month.name, defaults={"starts_at": month.starts_at, "ends_at": month.ends_at}
    )
    return period
