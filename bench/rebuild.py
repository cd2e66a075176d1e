"""Roll-ups and latencies of a month made anew from its events; against one GROUP BY over the same rows."""

from bench import _months
from bench._months import LARGE
from bench._report import tell


def main() -> None:
    asked = _months.arguments(__doc__)
    months = _months.make(events=asked.events, apps=asked.apps)
    from metering import rollups  # noqa: PLC0415  # Django must be set up first

    _group_by()
    once = _months.seconds(_group_by, times=3)
    taken = _months.seconds(lambda: rollups.rebuild(period=LARGE), times=3)
    if rollups.differences() or rollups.differing_days():
        raise SystemExit("Rebuilt roll-ups are not the sum of their events.")
    name = f"rebuild, {months.events:,} events, {months.rollups[LARGE]:,} roll-ups"
    tell(name, taken, "s", yardstick=once, of="one GROUP BY, s")


def _group_by() -> None:
    """Sum the events of the month by the key of roll-ups, into a table that nobody keeps."""
    from django.db import connection  # noqa: PLC0415

    from metering.staging import ROLLUP_COLUMNS, ROLLUP_KEY, ROLLUP_SUMS  # noqa: PLC0415

    with connection.cursor() as cursor:
        cursor.execute(
            f"CREATE TEMP TABLE bench_summed ({ROLLUP_COLUMNS}) AS "  # noqa: S608
            f"SELECT {ROLLUP_KEY}, {ROLLUP_SUMS}, min(currency) FROM metering_usageevent "
            "WHERE period = %s GROUP BY 1, 2, 3",
            [LARGE],
        )
        cursor.execute("DROP TABLE bench_summed")


if __name__ == "__main__":
    main()
