"""Roll-ups against events: rebuilding them, and proving that they are the same."""

from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from django.db import connection, transaction

from metering.ingest import ROLLUP_KEY, ROLLUP_MEASURES, ROLLUP_SUMS
from metering.periods import RECORDING_LOCK

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

    Recording waits while this runs, so that nothing is counted twice or missed.
    """
    where, parameters = ("WHERE period = %s", [period]) if period else ("", [])
    columns = ", ".join(ROLLUP_MEASURES)
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [RECORDING_LOCK])
        cursor.execute(f"DELETE FROM metering_usagerollup {where}", parameters)  # noqa: S608
        cursor.execute(
            f"INSERT INTO metering_usagerollup (hour, attribution_id, period, {columns}, currency) "
            + _SUMMED.format(where=where),
            parameters,
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
    columns = ", ".join(ROLLUP_MEASURES)
    summed = _SUMMED.format(where="")
    with connection.cursor() as cursor:
        cursor.execute(
            f"WITH summed (hour, attribution_id, period, {columns}, currency) AS ({summed}) "  # noqa: S608
            "SELECT hour, attribution_id, period FROM "
            f"(SELECT hour, attribution_id, period, {columns}, currency FROM summed EXCEPT "
            f"SELECT hour, attribution_id, period, {columns}, currency FROM metering_usagerollup) a "
            "UNION SELECT hour, attribution_id, period FROM "
            f"(SELECT hour, attribution_id, period, {columns}, currency FROM metering_usagerollup EXCEPT "
            f"SELECT hour, attribution_id, period, {columns}, currency FROM summed) b LIMIT %s",
            [limit],
        )
        return [Difference(str(hour), attribution_id, period) for hour, attribution_id, period in cursor]
