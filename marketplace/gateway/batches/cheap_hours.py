"""The hours in which calls are cheap to make, as operators set them: one week, hour by hour, in UTC."""

from collections.abc import Mapping
from datetime import datetime
from itertools import pairwise

from django.db import transaction

from marketplace.accounts.access import Actor, Role, require_platform
from marketplace.core import audit
from marketplace.core.errors import InvalidInput
from marketplace.gateway.batch_models import CheapHours

Span = tuple[int, int]


def parse(text: str, *, field: str) -> list[Span]:
    """Read hours such as ``0-6, 22-24``: from the first to before the second; empty for none. Raises InvalidInput."""
    spans = []
    for part in filter(None, (one.strip() for one in text.split(","))):
        begin, _, end = part.partition("-")
        if not (begin.strip().isdecimal() and end.strip().isdecimal()):
            raise InvalidInput(field, "must be hours such as 0-6, 22-24")
        spans.append((int(begin[:4]), int(end[:4])))
    ordered = sorted(spans)
    is_in_day = all(0 <= begin < end <= 24 for begin, end in ordered)
    is_apart = all(before[1] <= after[0] for before, after in pairwise(ordered))
    if not (is_in_day and is_apart):
        raise InvalidInput(field, "must be hours from 0 to 24 that do not overlap, such as 0-6, 22-24")
    return ordered


def as_texts() -> dict[int, str]:
    """Write the hours of each weekday as ``parse`` reads them."""
    texts: dict[int, list[str]] = {weekday: [] for weekday in range(len(CheapHours.WEEKDAYS))}
    for one in CheapHours.objects.order_by("weekday", "from_hour"):
        texts[one.weekday].append(f"{one.from_hour}-{one.to_hour}")
    return {weekday: ", ".join(spans) for weekday, spans in texts.items()}


def replace(week: Mapping[int, list[Span]], *, by: Actor, at: datetime) -> None:
    """Set the hours of every weekday, 0 for Monday; batches are planned by them from their next turn on."""
    require_platform(by, Role.OPERATOR)
    rows = [
        CheapHours(weekday=weekday, from_hour=begin, to_hour=end)
        for weekday, spans in week.items()
        for begin, end in spans
    ]
    with transaction.atomic():
        old = [str(one) for one in CheapHours.objects.order_by("weekday", "from_hour")]
        CheapHours.objects.all().delete()
        CheapHours.objects.bulk_create(rows)
        subject = rows[0] if rows else CheapHours(pk=0)
        audit.record(
            "gateway.cheap_hours.set",
            subject=subject,
            at=at,
            by=by.user,
            old={"hours": old},
            new={"hours": [str(one) for one in rows]},
        )
