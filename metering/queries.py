"""The one function behind every number of usage: pages, files, mails and the API ask it, and nobody else adds up."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, time
from typing import Any

from django.db.models import BooleanField, Case, F, Max, Q, QuerySet, Sum, Value, When
from django.db.models.expressions import Combinable
from django.db.models.functions import TruncDay, TruncMonth, TruncWeek

from marketplace.accounts.access import PLATFORM_ROLES, Actor, Role
from marketplace.catalog.models import App
from marketplace.catalog.owning import AppOwnership
from marketplace.core.errors import InvalidInput
from marketplace.core.money import exact
from metering.dimensions import Dimension, Label, label_all
from metering.latencies import Histogram
from metering.measures import MEASURES, Measures
from metering.models import DailyRollup, LatencyHistogram, UsageRollup
from metering.scopes import UsageScope
from metering.usage_questions import Filters, LatenciesBy, Question, ask, on_rollups
from metering.usage_reports import Granularity, Part, UsageReport, UsageRow, dearest_first

MOST_ROWS = 100_000
# Each row has counts in about twenty buckets.
MOST_COUNTS = 500_000
OTHERS = "Other teams"
Found = dict[str, Any]
_SUMS = tuple(f"sum_{name}" for name in MEASURES)


class MixedCurrencies(InvalidInput):
    """The usage asked for cost several currencies, which nobody can add up."""

    code = "mixed_currencies"

    def __init__(self, currencies: Sequence[str]) -> None:
        self.currencies = tuple(currencies)
        super().__init__("currency", f"This usage cost {' and '.join(currencies)}. Ask for one of them.")


def usage(
    *,
    from_at: datetime,
    to_at: datetime,
    granularity: Granularity | str = "total",
    group_by: Sequence[str] = (),
    filters: Filters | None = None,
    visible: UsageScope,
    compare: str = "",
    latencies: LatenciesBy = "",
) -> UsageReport:
    """Report what was used from ``from_at`` up to ``to_at``, which widen to full hours in UTC.

    ``group_by`` names dimensions; ``filters`` maps dimensions, or ``currency``, to ids as the report writes them, several
    of which mean any. A filter on who used or paid finds only usage of which that is visible. ``compare`` (one of
    ``comparing.COMPARED``) adds an earlier period, ``latencies`` histograms of full days, whatever the currency. Two to
    three queries, one for latencies, and one for each dimension. Raises InvalidInput that names the parameter, also for a report
    too large to finish, and MixedCurrencies.
    """
    question = ask(
        from_at=from_at,
        to_at=to_at,
        granularity=granularity,
        group_by=group_by,
        filters=filters or {},
        visible=visible,
        compare=compare,
        latencies=latencies,
    )
    found = _summed(question)
    if len(found) > MOST_ROWS:
        message = f"gives more than {MOST_ROWS:,} rows; ask for a shorter time, coarser steps or a filter"
        raise InvalidInput("group_by", message, limit=MOST_ROWS, code="too_much")
    currencies = sorted({row["currency"] for row in found})
    if len(currencies) > 1:
        raise MixedCurrencies(currencies)
    counted = _counted(question) if latencies else []
    named = _Namer(question.dimensions, [*found, *counted])
    newest, currency = newest_hour(), currencies[0] if currencies else ""

    def report(period: tuple[datetime, datetime], *, is_before: bool) -> UsageReport:
        return UsageReport(
            *period,
            granularity=granularity,
            group_by=tuple(one.name for one in question.dimensions),
            rows=named.rows(_of_period(found, is_before=is_before), start=period[0]),
            currency=currency,
            newest_hour=newest,
            before=report(question.before, is_before=True) if question.before and not is_before else None,
            histograms=named.histograms(_of_period(counted, is_before=is_before), start=period[0])
            if latencies
            else None,
        )

    return report((question.from_at, question.to_at), is_before=False)


def newest_hour() -> datetime | None:
    """Return the start of the last hour with usage, of anybody; None before the first event."""
    newest: datetime | None = UsageRollup.objects.aggregate(newest=Max("hour"))["newest"]
    return newest


def watched_apps(actor: Actor) -> QuerySet[App]:
    """Apps whose usage is the person's to watch: of teams in which they are a creator, or all for the platform."""
    apps = App.objects.select_related("owner_team__organization")
    if actor.is_platform(*PLATFORM_ROLES):
        return apps
    return apps.filter(owner_team__in=actor.teams_as(Role.CREATOR))


def apps_with_history(actor: Actor) -> QuerySet[App]:
    """Watched apps, and those that the person's teams owned before: they see the usage of their time (``UsageScope``)."""
    apps = App.objects.select_related("owner_team__organization")
    if actor.is_platform(*PLATFORM_ROLES):
        return apps
    teams = actor.teams_as(Role.CREATOR)
    owned = AppOwnership.objects.filter(team__in=teams)
    return apps.filter(Q(owner_team__in=teams) | Q(pk__in=owned.values("app")))


def _summed(question: Question) -> list[Found]:
    """Sum full days off their roll-ups and what is left off those of hours; one row more than allowed tells that there are
    too many."""
    found: list[list[Found]] = []
    if question.full_days:
        found.append(_sums(DailyRollup.objects.filter(question.in_full_days), "day", question))
    if question.loose_hours:
        found.append(_sums(UsageRollup.objects.filter(question.in_loose_hours), "hour", question))
    return found[0] if len(found) == 1 else _added(row for rows in found for row in rows)


def _sums(rollups: QuerySet[Any, Any], column: str, question: Question) -> list[Found]:
    groups = _groups(question)
    if question.granularity != "total":
        groups["starts_at"] = _bucket(column, question.granularity)
    if question.before:
        groups["is_before"] = _is_before(column, question)
    sums = {name: Sum(name.removeprefix("sum_")) for name in _SUMS}
    rows: QuerySet[Any, Any] = rollups.values("currency", **groups)
    found = list(rows.annotate(**sums).order_by()[: MOST_ROWS + 1])
    return _at_midnight(found) if column == "day" else found


def _added(found: Iterable[Found]) -> list[Found]:
    """Add up rows of the same group."""
    groups: dict[tuple[Any, ...], Found] = {}
    names: list[str] = []
    with exact():
        for row in found:
            names = names or [name for name in row if name not in _SUMS]
            first = groups.setdefault(tuple([row[name] for name in names]), row)
            if first is not row:
                for name in _SUMS:
                    first[name] += row[name]
    return list(groups.values())


def _counted(question: Question) -> list[Found]:
    """Sum the histograms in the database, by bucket and in the same groups."""
    groups = {} if question.latencies == "stretches" else _groups(question)
    if question.latencies != "groups" and question.granularity != "total":
        groups["starts_at"] = _bucket("day", question.granularity)
    if question.before:
        groups["is_before"] = _is_before("day", question)
    rows: QuerySet[Any, Any] = LatencyHistogram.objects.filter(question.in_days).values("bucket", **groups)
    found = list(rows.annotate(counted=Sum("events")).order_by()[: MOST_COUNTS + 1])
    if len(found) > MOST_COUNTS:
        raise InvalidInput(
            "latency", "is too much for so many rows; ask for fewer", limit=MOST_COUNTS, code="too_much"
        )
    return _at_midnight(found)


def _at_midnight(found: list[Found]) -> list[Found]:
    """Make days times, as everything else counts in."""
    if found and "starts_at" in found[0]:
        days = {row["starts_at"] for row in found}
        times = {day: datetime.combine(day, time(), tzinfo=UTC) for day in days}
        for row in found:
            row["starts_at"] = times[row["starts_at"]]
    return found


def _is_before(column: str, question: Question) -> Combinable:
    start = question.from_at.date() if column == "day" else question.from_at
    return _is_true(Q(**{f"{column}__lt": start}))


def _groups(question: Question) -> dict[str, Combinable]:
    groups = {f"of_{one.name}": _value(one, question.visible) for one in question.dimensions}
    if any(one.is_private for one in question.dimensions) and not question.visible.sees_all:
        groups["is_known"] = _is_true(on_rollups(question.visible.known()))
    return groups


def _is_true(condition: Q) -> Combinable:
    return Case(When(condition, then=Value(True)), default=Value(False), output_field=BooleanField())


def _value(one: Dimension, visible: UsageScope) -> Combinable:
    value = F(f"attribution__{one.path}")
    if not one.is_private or visible.sees_all:
        return value
    return Case(When(on_rollups(visible.known()), then=value), default=None)


def _bucket(column: str, granularity: str) -> Combinable:
    truncate = {"day": TruncDay, "week": TruncWeek, "month": TruncMonth}.get(granularity)
    if column == "day":
        return truncate(column) if truncate and granularity != "day" else F(column)
    return truncate(column, tzinfo=UTC) if truncate else F(column)


def _of_period(found: Iterable[Found], *, is_before: bool) -> list[Found]:
    return [row for row in found if row.get("is_before", False) == is_before]


class _Namer:
    """Turns what the database found into rows and histograms, with each value named once."""

    def __init__(self, dimensions: Sequence[Dimension], found: Sequence[Found]) -> None:
        self.dimensions = dimensions
        self.labels = {
            one.name: label_all(one, {row.get(f"of_{one.name}") for row in found}) for one in dimensions
        }
        self.parts: dict[tuple[str, Any, bool], Part] = {}

    def rows(self, found: Iterable[Found], *, start: datetime) -> tuple[UsageRow, ...]:
        rows = [
            UsageRow(
                row.get("starts_at", start),
                self._parts(row),
                Measures(**{name: row[f"sum_{name}"] for name in MEASURES}),
            )
            for row in found
        ]
        return tuple(sorted(rows, key=lambda row: (row.starts_at, *dearest_first(row))))

    def histograms(
        self, found: Iterable[Found], *, start: datetime
    ) -> dict[tuple[datetime, tuple[Part, ...]], Histogram]:
        counts: dict[tuple[datetime, tuple[Part, ...]], dict[int, int]] = defaultdict(dict)
        for row in found:
            of_group = counts[row.get("starts_at", start), self._parts(row)]
            of_group[row["bucket"]] = of_group.get(row["bucket"], 0) + row["counted"]
        return {key: Histogram(of_group) for key, of_group in counts.items()}

    def _parts(self, row: Found) -> tuple[Part, ...]:
        is_known = row.get("is_known", True)
        of_row: list[Part] = []
        for one in self.dimensions:
            if f"of_{one.name}" not in row:
                return ()
            key = (one.name, row[f"of_{one.name}"], is_known)
            if key not in self.parts:
                self.parts[key] = _part(one, self.labels[one.name].get(key[1]), is_known=is_known)
            of_row.append(self.parts[key])
        return tuple(of_row)


def _part(one: Dimension, label: Label | None, *, is_known: bool) -> Part:
    if one.is_private and not is_known:
        return Part(one.name, None, OTHERS)
    return Part(one.name, label.id, label.text) if label else Part(one.name, None, one.nothing)
