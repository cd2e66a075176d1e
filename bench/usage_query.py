"""A month's usage by app, the dearest twenty first, from roll-ups; against the same on raw events."""

from datetime import date
from typing import Any

from bench import _months
from bench._months import LARGE, SMALL
from bench._report import tell

TOP = 20


def main() -> None:
    asked = _months.arguments(__doc__)
    months = _months.make(events=asked.events, apps=asked.apps)
    for period, events in ((SMALL, months.events // 10), (LARGE, months.events)):
        _require_same(_by_app(period), _by_app_from_events(period))
        taken = _months.seconds(lambda period=period: _by_app(period), times=15)
        raw = _months.seconds(lambda period=period: _by_app_from_events(period), times=3)
        name = f"usage_query, month of {events:,} events, {months.rollups[period]:,} roll-ups"
        tell(name, raw / taken, "times as fast")
        tell(name, taken * 1000, "ms", yardstick=raw * 1000, of="raw events, ms")


def _by_app(period: date) -> list[tuple[str, int, Any]]:
    """Ask as every page does: with names, in order."""
    from metering import queries  # noqa: PLC0415  # Django must be set up first
    from metering.periods import bounds  # noqa: PLC0415
    from metering.scopes import EVERYTHING  # noqa: PLC0415

    from_at, to_at = bounds(period)
    report = queries.usage(from_at=from_at, to_at=to_at, group_by=["app"], visible=EVERYTHING)
    return [(row.parts[0].id, row.measures.events, row.measures.cost) for row in report.rows[:TOP]]


def _by_app_from_events(period: date) -> list[tuple[str, int, Any]]:
    """Ask for the same measures of the same rows, in the best case: nothing is joined but names of twenty apps."""
    from django.db import connection  # noqa: PLC0415

    from metering.periods import bounds  # noqa: PLC0415
    from metering.staging import ROLLUP_SUMS  # noqa: PLC0415

    with connection.cursor() as cursor:
        cursor.execute(
            f"WITH summed AS (SELECT app_id, {ROLLUP_SUMS}, sum(cost) AS total FROM metering_usageevent "  # noqa: S608
            "WHERE occurred_at >= %s AND occurred_at < %s GROUP BY app_id ORDER BY total DESC LIMIT 20) "
            "SELECT a.slug, s.* FROM summed s JOIN catalog_app a ON a.id = s.app_id ORDER BY s.total DESC",
            bounds(period),
        )
        return [(row[0], row[2], row[-1]) for row in cursor.fetchall()]


def _require_same(found: list[Any], expected: list[Any]) -> None:
    if found != expected:
        raise SystemExit(f"Roll-ups and events differ:\n{found}\n{expected}")


if __name__ == "__main__":
    main()
