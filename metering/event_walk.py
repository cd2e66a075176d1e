"""Walking over events in order of their time, led by roll-ups.

Roll-ups tell in which hours there are events of what is asked for, of which apps and attributions, and how many. So only
rows that are wanted are read, by the primary key of events, however rare they are among the others; no index on events
is needed that recording would have to keep.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cached_property
from typing import Any, NamedTuple

import msgspec
from django.contrib.postgres.aggregates import ArrayAgg
from django.db import connection
from django.db.models import Q, QuerySet, Sum
from psycopg import sql

from metering.models import ArchivedPeriod, UsageRollup
from metering.periods import bounds
from metering.scopes import UsageScope
from metering.usage_questions import Question

HOURS_AT_ONCE = 200
HOUR = timedelta(hours=1)
NEAR = timedelta(days=7)
_COLUMNS = (
    "app_id", "event_id", "occurred_at", "received_at", "period", "attribution_id", "requests", "input_tokens",
    "output_tokens", "cached_input_tokens", "cache_write_tokens", "reasoning_tokens", "duration_ms", "latency_ms",
    "cost", "currency", "rate_card_id", "instance_rate_id", "provider_cost", "is_estimated", "tags", "corrects",
)  # fmt: skip
# The newest first of each app and stretch by the primary key, then of all; only what is left is looked up further.
_EVENTS = """
SELECT {columns}, EXISTS (
    SELECT 1 FROM metering_usageevent c WHERE c.app_id = x.app_id AND c.corrects = x.event_id
) FROM (
    SELECT e.* FROM unnest(%(apps)s::bigint[], %(starts)s::timestamptz[], %(ends)s::timestamptz[])
        AS s (app_id, starts_at, ends_at)
    CROSS JOIN LATERAL (
        SELECT * FROM metering_usageevent u
        WHERE u.app_id = s.app_id AND u.occurred_at >= s.starts_at AND u.occurred_at < s.ends_at
            AND u.occurred_at >= {first} AND u.occurred_at < {last}
            AND u.attribution_id = ANY(%(attributions)s) AND {currency} AND {beyond}
        ORDER BY u.occurred_at {way}, u.event_id {way} LIMIT %(limit)s
    ) e
    ORDER BY e.occurred_at {way}, e.app_id {way}, e.event_id {way} LIMIT %(limit)s
) x ORDER BY x.occurred_at {way}, x.app_id {way}, x.event_id {way}
"""


class Place(NamedTuple):
    """Where an event stands among all: by time, then by app and id."""

    occurred_at: datetime
    app_id: int
    event_id: str


@dataclass(frozen=True)
class Selection:
    """Which events are asked for: those of which a question to usage asks the sums."""

    question: Question

    @property
    def from_at(self) -> datetime:
        return self.question.from_at

    @property
    def to_at(self) -> datetime:
        return self.question.to_at

    @property
    def visible(self) -> UsageScope:
        return self.question.visible

    @property
    def asked(self) -> Q:
        """The condition on roll-ups."""
        return self.question.in_hours

    @cached_property
    def archived_months(self) -> tuple[date, ...]:
        """The archived months of which there may be usage in it (one query)."""
        months = ArchivedPeriod.objects.archived().order_by("period").values_list("period", flat=True)
        return tuple(one for one in months if bounds(one)[0] < self.to_at and bounds(one)[1] > self.from_at)

    @property
    def live(self) -> Q:
        """The condition on roll-ups whose events are in the table."""
        condition = self.asked
        for period in self.archived_months:
            starts_at, ends_at = bounds(period)
            condition &= ~Q(hour__gte=starts_at, hour__lt=ends_at)
        return condition


class Row(NamedTuple):
    """A row of ``_EVENTS``: its columns, and whether something corrects it."""

    values: dict[str, Any]
    is_corrected: bool

    @property
    def place(self) -> Place:
        return Place(self.values["occurred_at"], self.values["app_id"], self.values["event_id"])


@dataclass(frozen=True)
class _Hours:
    """Hours in which there are events, in order, with the apps and attributions that these are of."""

    hours: tuple[datetime, ...]
    app_ids: tuple[frozenset[int], ...]
    attribution_ids: frozenset[int]

    def stretches(self) -> Iterator[tuple[int, datetime, datetime]]:
        """Give app, start and end of each run of hours without a gap."""
        hours_of: dict[int, list[datetime]] = {}
        for hour, app_ids in zip(self.hours, self.app_ids, strict=True):
            for app_id in app_ids:
                hours_of.setdefault(app_id, []).append(hour)
        for app_id, hours in sorted(hours_of.items()):
            hours.sort()
            start = hours[0]
            for hour, following in zip(hours, [*hours[1:], None], strict=True):
                if following != hour + HOUR:
                    yield app_id, start, hour + HOUR
                    start = following or start


def walk(
    selection: Selection, *, beyond: Place | None, is_newest_first: bool, size: int
) -> Iterator[list[Row]]:
    """Give the rows beyond a place in order, at most so many at a time."""
    for hours in _walk_hours(selection, beyond=beyond, is_newest_first=is_newest_first, least=size):
        is_full = True
        while is_full:
            rows = _read(selection, hours, beyond=beyond, is_newest_first=is_newest_first, limit=size)
            is_full = len(rows) == size
            if rows:
                beyond = rows[-1].place
                yield rows


def _walk_hours(
    selection: Selection, *, beyond: Place | None, is_newest_first: bool, least: int
) -> Iterator[_Hours]:
    """Give hours in order, of so many events together that one reading of them suffices."""
    way = "lt" if is_newest_first else "gt"
    condition, own = selection.live, None
    if beyond is not None:
        own = beyond.occurred_at.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
        condition &= Q(**{f"hour__{way}e": own})
    taken: list[dict[str, Any]] = []
    events = 0
    for row in _all_hours(selection, condition, beyond=beyond, is_newest_first=is_newest_first):
        # Of the hour in which the place lies, nobody knows how many events are beyond it.
        events += 0 if row["hour"] == own else int(row["count"])
        taken.append(row)
        if events >= least:
            yield _together(taken)
            taken, events = [], 0
    if taken:
        yield _together(taken)


def _all_hours(
    selection: Selection, condition: Q, *, beyond: Place | None, is_newest_first: bool
) -> Iterator[dict[str, Any]]:
    """Give the hours of a condition in order.

    A page is nearly always within a week of where it begins; only when it is not, all roll-ups are looked at.
    """
    way, first = ("gte", -NEAR) if is_newest_first else ("lt", NEAR)
    edge = beyond.occurred_at if beyond else selection.to_at if is_newest_first else selection.from_at
    near = (edge + first).astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    if selection.from_at < near < selection.to_at:
        yield from _some_hours(condition & Q(**{f"hour__{way}": near}), is_newest_first=is_newest_first)
        condition &= Q(**{"hour__lt" if is_newest_first else "hour__gte": near})
    yield from _some_hours(condition, is_newest_first=is_newest_first)


def _some_hours(condition: Q, *, is_newest_first: bool) -> Iterator[dict[str, Any]]:
    way = "lt" if is_newest_first else "gt"
    while found := _hours(condition, is_newest_first=is_newest_first):
        yield from found
        if len(found) < HOURS_AT_ONCE:
            return
        condition &= Q(**{f"hour__{way}": found[-1]["hour"]})


def _hours(condition: Q, *, is_newest_first: bool) -> list[dict[str, Any]]:
    rows: QuerySet[Any, Any] = (
        UsageRollup.objects.filter(condition)
        .values("hour")
        .annotate(
            count=Sum("events"),
            apps=ArrayAgg("attribution__app_id", distinct=True),
            attributions=ArrayAgg("attribution_id", distinct=True),
        )
        .order_by("-hour" if is_newest_first else "hour")
    )
    return list(rows[:HOURS_AT_ONCE])


def _together(rows: Sequence[dict[str, Any]]) -> _Hours:
    return _Hours(
        hours=tuple(row["hour"] for row in rows),
        app_ids=tuple(frozenset(row["apps"]) for row in rows),
        attribution_ids=frozenset(one for row in rows for one in row["attributions"]),
    )


def _read(
    selection: Selection, hours: _Hours, *, beyond: Place | None, is_newest_first: bool, limit: int
) -> list[Row]:
    """Read the next events of some hours in one statement."""
    first, last = min(hours.hours), max(hours.hours) + HOUR
    if beyond is not None:
        # Said of the time alone, since the primary key begins with the app: rows of before are not even looked at.
        if is_newest_first:
            last = min(last, beyond.occurred_at + timedelta(microseconds=1))
        else:
            first = max(first, beyond.occurred_at)
    stretches = list(hours.stretches())
    currencies = list(selection.question.currencies)
    statement = sql.SQL(_EVENTS).format(
        columns=sql.SQL(", ").join(sql.Identifier("x", name) for name in _COLUMNS),
        way=sql.SQL("DESC" if is_newest_first else "ASC"),
        first=sql.Literal(first),
        last=sql.Literal(last),
        currency=sql.SQL("u.currency = ANY(%(currencies)s)" if currencies else "TRUE"),
        beyond=_beyond(beyond, is_newest_first=is_newest_first),
    )
    values: dict[str, Any] = {
        "apps": [app_id for app_id, _, _ in stretches],
        "starts": [starts_at for _, starts_at, _ in stretches],
        "ends": [ends_at for _, _, ends_at in stretches],
        "attributions": sorted(hours.attribution_ids),
        "currencies": currencies,
        "limit": limit,
    }
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        return [_row(values) for values in cursor.fetchall()]


def _row(values: Sequence[Any]) -> Row:
    found = dict(zip(_COLUMNS, values[:-1], strict=True))
    # Django gives JSON of its own statements as text.
    if found["tags"] is not None:
        found["tags"] = msgspec.json.decode(found["tags"])
    return Row(found, values[-1])


def _beyond(place: Place | None, *, is_newest_first: bool) -> sql.Composable:
    if place is None:
        return sql.SQL("TRUE")
    return sql.SQL("(u.occurred_at, u.app_id, u.event_id) {sign} ({values})").format(
        sign=sql.SQL("<" if is_newest_first else ">"),
        values=sql.SQL(", ").join(sql.Literal(value) for value in place),
    )
