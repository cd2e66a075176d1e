"""Roll-ups against events: rebuilding them, and proving that they are the same."""

from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from django.db import connection, transaction

from metering.periods import RECORDING_LOCK, next_month
from metering.staging import (
    HISTOGRAM,
    HISTOGRAM_COLUMNS,
    ROLLUP_COLUMNS,
    ROLLUP_KEY,
    ROLLUP_MEASURES,
    ROLLUP_SUMS,
)

_SUMMED = (
    f"SELECT {ROLLUP_KEY}, {ROLLUP_SUMS}, min(currency) "  # noqa: S608
    "FROM metering_usageevent {where} GROUP BY 1, 2, 3"
)


@dataclass(frozen=True)
class Totals:
    """Sums over a whole table, by measure."""

    values: dict[str, Decimal]


@dataclass(frozen=True)
class Difference:
    """An hour, attribution and period whose roll-up is not the sum of its events."""

    hour: str
    attribution_id: int
    period: date


def rebuild(*, period: date | None = None) -> int:
    """Make the roll-ups anew from the events, of one billing month or of all; returns how many rows there are.

    Latencies are counted by day: with a month, those of its days. Recording waits while this runs, so that nothing is
    counted twice or missed.
    """
    of_period, of_days, events_of_days = "", "", ""
    billed: list[date] = []
    days: list[date] = []
    if period:
        of_period, billed = "WHERE period = %s", [period]
        of_days, days = "WHERE day >= %s AND day < %s", [period, next_month(period)]
        events_of_days = "AND occurred_at >= %s::timestamp AT TIME ZONE 'UTC' AND occurred_at < %s::timestamp AT TIME ZONE 'UTC' "
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [RECORDING_LOCK])
        cursor.execute(f"DELETE FROM metering_latencyhistogram {of_days}", days)  # noqa: S608
        cursor.execute(
            f"INSERT INTO metering_latencyhistogram ({HISTOGRAM_COLUMNS}) "
            + HISTOGRAM.format(source="metering_usageevent", also=events_of_days),
            days,
        )
        cursor.execute(f"DELETE FROM metering_usagerollup {of_period}", billed)  # noqa: S608
        cursor.execute(
            f"INSERT INTO metering_usagerollup ({ROLLUP_COLUMNS}) " + _SUMMED.format(where=of_period),
            billed,
        )
        return cursor.rowcount


def totals() -> tuple[Totals, Totals]:
    """Return the sums over all events and over all roll-ups."""
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {ROLLUP_SUMS} FROM metering_usageevent")  # noqa: S608
        events = cursor.fetchone()
        cursor.execute(
            f"SELECT {', '.join(f'sum({name})' for name in ROLLUP_MEASURES)} FROM metering_usagerollup"  # noqa: S608
        )
        rolled = cursor.fetchone()
    return (
        Totals({name: Decimal(value or 0) for name, value in zip(ROLLUP_MEASURES, events, strict=True)}),
        Totals({name: Decimal(value or 0) for name, value in zip(ROLLUP_MEASURES, rolled, strict=True)}),
    )


def differences(*, limit: int = 100) -> list[Difference]:
    """Return the roll-ups that are not exactly the sum of their events, in any measure; empty when all agree."""
    summed = _SUMMED.format(where="")
    with connection.cursor() as cursor:
        cursor.execute(
            f"WITH summed ({ROLLUP_COLUMNS}) AS ({summed}), kept AS (SELECT {ROLLUP_COLUMNS} FROM metering_usagerollup) "  # noqa: S608
            "SELECT hour, attribution_id, period FROM (SELECT * FROM summed EXCEPT SELECT * FROM kept) a UNION "
            "SELECT hour, attribution_id, period FROM (SELECT * FROM kept EXCEPT SELECT * FROM summed) b LIMIT %s",
            [limit],
        )
        return [Difference(str(hour), attribution_id, period) for hour, attribution_id, period in cursor]


def differing_days(*, limit: int = 100) -> list[date]:
    """Return the days whose counted latencies are not exactly those of their events; empty when all agree."""
    counted = HISTOGRAM.format(source="metering_usageevent", also="")
    with connection.cursor() as cursor:
        cursor.execute(
            f"WITH counted ({HISTOGRAM_COLUMNS}) AS ({counted}), "  # noqa: S608
            f"kept AS (SELECT {HISTOGRAM_COLUMNS} FROM metering_latencyhistogram) "
            "SELECT day FROM (SELECT * FROM counted EXCEPT SELECT * FROM kept) a UNION "
            "SELECT day FROM (SELECT * FROM kept EXCEPT SELECT * FROM counted) b ORDER BY 1 LIMIT %s",
            [limit],
        )
        return [day for (day,) in cursor]
