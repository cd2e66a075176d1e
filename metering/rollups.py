"""Roll-ups against events: rebuilding them, and proving that they are the same.

Events of archived months are not there to be compared with: their roll-ups are left as they are by a rebuild, and
compared with what the manifests say.
"""

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from django.db import connection, transaction
from psycopg import sql

from metering import manifests
from metering.measures import COUNTED, MEASURES, Measures, total
from metering.models import ArchivedPeriod
from metering.partitions import PeriodArchived, archived, lock_recording
from metering.periods import bounds, next_month
from metering.staging import (
    DAILY_COLUMNS,
    DAILY_SUMS,
    HISTOGRAM,
    HISTOGRAM_COLUMNS,
    ROLLUP_COLUMNS,
    ROLLUP_KEY,
    ROLLUP_MEASURES,
    ROLLUP_SUMS,
)

_SUMMED = (
    f"SELECT {ROLLUP_KEY}, {ROLLUP_SUMS}, min(currency) "  # noqa: S608
    "FROM metering_usageevent WHERE {where} GROUP BY 1, 2, 3"
)
_SUMS_OF_ROLLUPS = ", ".join(f"coalesce(sum({name}), 0)" for name in ROLLUP_MEASURES)
_OF_DAYS = (
    "AND occurred_at >= %s::timestamp AT TIME ZONE 'UTC' AND occurred_at < %s::timestamp AT TIME ZONE 'UTC' "
)
# What does not fit into the memory, of each process that takes part, goes by way of the disk.
_FOR_GROUPING = {"enable_sort": "off", "parallel_tuple_cost": "0", "work_mem": "'96MB'"}


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


@dataclass(frozen=True)
class ArchivedSums:
    """What an archived month sums up to in one currency: by manifest and late events, and by roll-ups."""

    period: date
    currency: str
    expected: Measures
    found: Measures

    @property
    def differing(self) -> list[str]:
        """Name the measures, but the cost, of which there is more or less."""
        return [
            name.replace("_", " ")
            for name in COUNTED
            if getattr(self.expected, name) != getattr(self.found, name)
        ]


@dataclass(frozen=True)
class _Live:
    """The condition that leaves out archived months, for the columns that tell a time; true when there are none."""

    ranges: str

    @classmethod
    def now(cls) -> "_Live":
        ranges = [f"[{starts_at}, {ends_at})" for starts_at, ends_at in map(bounds, sorted(archived()))]
        return cls("{" + ", ".join(ranges) + "}" if ranges else "")

    def of(self, column: str) -> str:
        return f"NOT {column} <@ '{self.ranges}'::tstzmultirange" if self.ranges else "TRUE"

    @property
    def of_days(self) -> str:
        return self.of("(day::timestamp AT TIME ZONE 'UTC')")


def rebuild(*, period: date | None = None) -> int:
    """Make the roll-ups anew from the events, of one billing month or of all; returns how many rows there are.

    Latencies are counted by day: with a month, those of its days. Recording waits while this runs, so that nothing is
    counted twice or missed. Raises PeriodArchived.
    """
    of_period, of_days, events_of_days = "", "", ""
    billed: list[date] = []
    days: list[date] = []
    if period:
        of_period, billed = "AND period = %s", [period]
        of_days, days = "AND day >= %s AND day < %s", [period, next_month(period)]
        events_of_days = _OF_DAYS
    with transaction.atomic(), connection.cursor() as cursor:
        lock_recording()
        if period in archived():
            raise PeriodArchived(period)
        live = _Live.now()
        events = f"{live.of('occurred_at')} "
        counted = HISTOGRAM.format(source="metering_usageevent", also=f"AND {events}{events_of_days}")
        summed = _SUMMED.format(where=events + of_period)
        cursor.execute(f"DELETE FROM metering_latencyhistogram WHERE {live.of_days} {of_days}", days)  # noqa: S608
        _insert_grouped(cursor, "metering_latencyhistogram", HISTOGRAM_COLUMNS, counted, days)
        cursor.execute(f"DELETE FROM metering_usagerollup WHERE {live.of('hour')} {of_period}", billed)  # noqa: S608
        count = _insert_grouped(cursor, "metering_usagerollup", ROLLUP_COLUMNS, summed, billed)
        hours = f"metering_usagerollup WHERE {live.of('hour')} {of_period}"
        cursor.execute(f"DELETE FROM metering_dailyrollup WHERE {live.of_days} {of_period}", billed)  # noqa: S608
        cursor.execute(
            f"INSERT INTO metering_dailyrollup ({DAILY_COLUMNS}) {DAILY_SUMS.format(source=hours)} ORDER BY 1, 2, 3",
            billed,
        )
        return count


def _insert_grouped(cursor: Any, table: str, columns: str, statement: str, values: list[date]) -> int:
    """Insert the groups of a statement in the order of their key; returns how many there are.

    PostgreSQL reads in parallel for a table of the session, but not for one that stays. It takes every event for a
    group of its own, since nothing tells how many share an hour, and would sort them all: so it is told to hash.
    """
    for setting, value in _FOR_GROUPING.items():
        cursor.execute(f"SET LOCAL {setting} = {value}")
    cursor.execute(f"CREATE TEMP TABLE metering_grouped ({columns}) ON COMMIT DROP AS {statement}", values)
    for setting in _FOR_GROUPING:
        cursor.execute(f"SET LOCAL {setting} TO DEFAULT")
    cursor.execute(
        f"INSERT INTO {table} ({columns}) SELECT {columns} FROM metering_grouped ORDER BY 1, 2, 3"  # noqa: S608
    )
    count = int(cursor.rowcount)
    cursor.execute("DROP TABLE metering_grouped")
    return count


def totals() -> tuple[Totals, Totals]:
    """Return the sums over all events, those in the archive as their manifests tell, and over all roll-ups."""
    live = _sums_by_currency("metering_usageevent", ROLLUP_SUMS)
    rolled = _sums_by_currency("metering_usagerollup", _SUMS_OF_ROLLUPS)
    in_archive = [measures for sums in archived_sums().values() for measures in sums.values()]
    return _totals([*live.values(), *in_archive]), _totals(list(rolled.values()))


def differences(*, limit: int = 100) -> list[Difference]:
    """Return the roll-ups that are not exactly the sum of their events, in any measure; empty when all agree."""
    live = _Live.now()
    summed = _SUMMED.format(where=live.of("occurred_at"))
    kept = f"SELECT {ROLLUP_COLUMNS} FROM metering_usagerollup WHERE {live.of('hour')}"  # noqa: S608
    with connection.cursor() as cursor:
        cursor.execute(
            f"WITH summed ({ROLLUP_COLUMNS}) AS ({summed}), kept AS ({kept}) "  # noqa: S608
            "SELECT hour, attribution_id, period FROM (SELECT * FROM summed EXCEPT SELECT * FROM kept) a UNION "
            "SELECT hour, attribution_id, period FROM (SELECT * FROM kept EXCEPT SELECT * FROM summed) b LIMIT %s",
            [limit],
        )
        return [Difference(str(hour), attribution_id, period) for hour, attribution_id, period in cursor]


def differing_daily_sums(*, limit: int = 100) -> list[date]:
    """Return the days whose roll-ups are not exactly the sum of those of their hours, archived ones among them."""
    summed = DAILY_SUMS.format(source="metering_usagerollup")
    with connection.cursor() as cursor:
        cursor.execute(
            f"WITH summed ({DAILY_COLUMNS}) AS ({summed}), "  # noqa: S608
            f"kept AS (SELECT {DAILY_COLUMNS} FROM metering_dailyrollup) "
            "SELECT day FROM (SELECT * FROM summed EXCEPT SELECT * FROM kept) a UNION "
            "SELECT day FROM (SELECT * FROM kept EXCEPT SELECT * FROM summed) b ORDER BY 1 LIMIT %s",
            [limit],
        )
        return [day for (day,) in cursor]


def differing_days(*, limit: int = 100) -> list[date]:
    """Return the days whose counted latencies are not exactly those of their events; empty when all agree."""
    live = _Live.now()
    counted = HISTOGRAM.format(source="metering_usageevent", also=f"AND {live.of('occurred_at')} ")
    with connection.cursor() as cursor:
        cursor.execute(
            f"WITH counted ({HISTOGRAM_COLUMNS}) AS ({counted}), "  # noqa: S608
            f"kept AS (SELECT {HISTOGRAM_COLUMNS} FROM metering_latencyhistogram WHERE {live.of_days}) "
            "SELECT day FROM (SELECT * FROM counted EXCEPT SELECT * FROM kept) a UNION "
            "SELECT day FROM (SELECT * FROM kept EXCEPT SELECT * FROM counted) b ORDER BY 1 LIMIT %s",
            [limit],
        )
        return [day for (day,) in cursor]


# --- archived months -------------------------------------------------------------------------------------


def archived_sums() -> dict[date, dict[str, Measures]]:
    """Return what each archived month sums up to by currency, as its manifest tells."""
    rows = ArchivedPeriod.objects.archived().order_by("period")
    return {row.period: manifests.parse(row.manifest).sums for row in rows}


def compare_archived() -> list[ArchivedSums]:
    """Compare the manifest of each archived month, and events of it that came afterwards, with its roll-ups."""
    compared = []
    for period, sums in archived_sums().items():
        month = bounds(period)
        late = _sums_by_currency("metering_usageevent", ROLLUP_SUMS, column="occurred_at", between=month)
        found = _sums_by_currency("metering_usagerollup", _SUMS_OF_ROLLUPS, column="hour", between=month)
        compared += [
            ArchivedSums(
                period,
                currency,
                expected=total([sums.get(currency, Measures()), late.get(currency, Measures())]),
                found=found.get(currency, Measures()),
            )
            for currency in sorted(sums.keys() | late.keys() | found.keys())
        ]
    return compared


def sums_of_events(table: str) -> dict[str, Measures]:
    """Return the sums by currency over a table that has the columns of events."""
    return _sums_by_currency(table, ROLLUP_SUMS)


def events_between(month: tuple[datetime, datetime]) -> int:
    """Return how many events the roll-ups of a time tell of."""
    sums = _sums_by_currency("metering_usagerollup", _SUMS_OF_ROLLUPS, column="hour", between=month)
    return sum(measures.events for measures in sums.values())


def differing_from(summed: bytes, month: tuple[datetime, datetime]) -> int:
    """Return how many roll-ups of a time are not those given, which are CSV in the order of ROLLUP_COLUMNS."""
    kept = f"SELECT {ROLLUP_COLUMNS} FROM metering_usagerollup WHERE hour >= %s AND hour < %s"  # noqa: S608
    given = f"SELECT {ROLLUP_COLUMNS} FROM metering_given_rollup"  # noqa: S608
    with connection.cursor() as cursor:
        cursor.execute("DROP TABLE IF EXISTS metering_given_rollup")
        cursor.execute("CREATE TEMP TABLE metering_given_rollup (LIKE metering_usagerollup) ON COMMIT DROP")
        statement = f"COPY metering_given_rollup ({ROLLUP_COLUMNS}) FROM STDIN (FORMAT csv)"
        with connection.wrap_database_errors, cursor.copy(statement) as copy:
            copy.write(summed)
        cursor.execute(
            f"SELECT count(*) FROM (({kept} EXCEPT ALL {given}) UNION ALL ({given} EXCEPT ALL {kept})) d",  # noqa: S608
            [*month, *month],
        )
        (count,) = cursor.fetchone()
    return int(count)


def _sums_by_currency(
    table: str, sums: str, *, column: str = "", between: tuple[datetime, datetime] | None = None
) -> dict[str, Measures]:
    condition = sql.SQL("{column} >= {0} AND {column} < {1}") if between else sql.SQL("TRUE")
    statement = sql.SQL("SELECT currency, {sums} FROM {table} WHERE {condition} GROUP BY currency").format(
        sums=sql.SQL(sums),
        table=sql.Identifier(table),
        condition=condition.format(*(between or ()), column=sql.Identifier(column or "currency")),
    )
    with connection.cursor() as cursor:
        cursor.execute(statement)
        return {currency: _measures(values) for currency, *values in cursor.fetchall()}


def _measures(values: list[Any]) -> Measures:
    sums = dict(zip(ROLLUP_MEASURES, values, strict=True))
    return Measures(**sums | {name: int(sums[name]) for name in COUNTED})


def _totals(parts: list[Measures]) -> Totals:
    summed = total(parts)
    return Totals({name: Decimal(getattr(summed, name)) for name in MEASURES})
