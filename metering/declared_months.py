"""What the last full month of each app was, handed to the catalogue, which knows what was declared."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

from django.db.models import Sum

from marketplace.catalog import declared
from marketplace.catalog.declared import Used
from marketplace.catalog.models import Environment
from metering.models import DailyRollup


def tell(*, at: datetime) -> int:
    """Compare the month before this one, for every app that was listed in all of it; returns how many are new.

    Only production counts. An app whose calls cost several currencies is compared in the one of most calls.
    """
    ends = at.astimezone(UTC).date().replace(day=1)
    starts = (ends - timedelta(days=1)).replace(day=1)
    rows = (
        DailyRollup.objects.filter(
            day__gte=starts, day__lt=ends, attribution__environment=Environment.PRODUCTION
        )
        .values("attribution__app_id", "currency")
        .annotate(calls=Sum("requests"), spent=Sum("cost"))
        .order_by("calls")
    )
    used = {
        row["attribution__app_id"]: Used(
            max(int(row["calls"] or 0), 0), Decimal(row["spent"] or 0), row["currency"]
        )
        for row in rows
    }
    return declared.note(starts, used, at=at)
