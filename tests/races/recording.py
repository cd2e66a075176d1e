"""What each process of a race does with usage events and months."""

import time
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from typing import Any
from unittest.mock import patch

from django.db import transaction

from marketplace.core.models import AuditEntry
from metering import attribution, ingest, partitions, periods, staging
from metering.attribution import Dimensions
from metering.ingest import Usage
from metering.models import ClosedPeriod
from metering.rating import Quantities
from tests.races.processes import PATIENCE_S, cut, shuffled

NOVEMBER = datetime(2026, 11, 15, 12, tzinfo=UTC)
OCTOBER = datetime(2026, 10, 15, 12, tzinfo=UTC)


def usage(number: int, who: Dimensions, *, tokens: int = 100, start: datetime = NOVEMBER) -> Usage:
    """Make event ``number``: spread over hours and features, always the same for a number."""
    return Usage(
        event_id=f"event-{number}",
        occurred_at=start + timedelta(minutes=7 * (number % 50)),
        who=who._replace(feature=f"f{number % 5}"),
        model="llm-8b",
        quantities=Quantities(input_tokens=tokens + number, requests=1 + number % 2),
        latency_ms=number if number % 3 else None,
    )


def send_all(
    *, who: Dimensions, count: int, contested: int, seed: int, few: int, many: int
) -> dict[str, list[str]]:
    """Send the events 0 to ``count`` in an order and in batches of this process alone, some of them twice.

    The first ``contested`` ids come with a content that differs from that of every other process. A batch of ``many``
    events is first tried as if all of them were new. Gives the ids by what the receipts say.
    """
    events = [usage(number, who, tokens=100 + (seed if number < contested else 0)) for number in range(count)]
    stream = shuffled(events + events[:: 7 + seed], seed)
    told: dict[str, list[str]] = {"accepted": [], "duplicate": [], "conflict": []}
    with patch.multiple(staging, FEW=few, MANY=many):
        for batch in cut(stream, seed, largest=150):
            for receipt in ingest.record(batch, at=NOVEMBER):
                told[receipt.status].append(receipt.event_id)
    return told


def resolve(*, who: Dimensions, seed: int) -> dict[str, int]:
    """Ask for the rows of fifty new combinations at once; gives row ids by feature."""
    wanted = [who._replace(feature=f"new-{number}") for number in range(50)]
    ids = attribution.resolve(shuffled(wanted, seed))
    return {each.feature: ids[each] for each in wanted}


def record_until_closed(*, who: Dimensions, month: date, seed: int, more: int) -> Counter[str]:
    """Record usage of October, batch by batch, until the month is closed, and ``more`` batches after that."""
    told: Counter[str] = Counter()
    number = seed * 1_000_000
    left = more
    deadline = time.monotonic() + PATIENCE_S
    while left and time.monotonic() < deadline:
        left -= ClosedPeriod.objects.filter(period=month).exists()
        batch = [usage(number + offset, who, start=OCTOBER) for offset in range(10)]
        told.update(receipt.status for receipt in ingest.record(batch, at=NOVEMBER))
        number += 10
    return told


def close(*, month: date) -> bool:
    """Close a month; tell whether this process did it."""
    with transaction.atomic():
        return periods.close(month, at=NOVEMBER)


def record_and_make(
    *, who: Dimensions, count: int, months: list[date], seed: int, makes: bool
) -> dict[str, list[Any]]:
    """Send events whose months take turns; in the middle of it, a process that ``makes`` makes their partitions."""
    events = []
    for number in range(count):
        period = months[number % len(months)]
        events.append(usage(number, who, start=datetime(period.year, period.month, 3, tzinfo=UTC)))
    batches = cut(shuffled(events, seed), seed, largest=20)
    told: dict[str, list[Any]] = {"accepted": [], "made": []}
    for place, batch in enumerate(batches):
        if makes and place == len(batches) // 3:
            told["made"] += partitions.make(months)
        receipts = ingest.record(batch, at=NOVEMBER)
        told["accepted"] += [receipt.event_id for receipt in receipts if receipt.status == "accepted"]
    return told


def record_until_archived(*, who: Dimensions, old: datetime, seed: int) -> Counter[str]:
    """Record usage of now and now and then of an old month, until that month was archived and restored twice."""
    told: Counter[str] = Counter()
    number = seed * 1_000_000
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline and not _is_archived_for_the_third_time():
        number += 20
        start = old if number // 20 % 25 == 0 else NOVEMBER
        batch = [usage(each, who, start=start) for each in range(number, number + 20)]
        told += Counter(receipt.status for receipt in ingest.record(batch, at=NOVEMBER))
    return told


def _is_archived_for_the_third_time() -> bool:
    return AuditEntry.objects.filter(action="metering.period.archived").count() == 3
