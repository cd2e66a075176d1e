"""The one function behind every number of usage: pages, files, mails and the API ask it, and nobody else adds up."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db.models import BooleanField, Case, F, Max, Q, QuerySet, Sum, Value, When
from django.db.models.expressions import Combinable
from django.db.models.functions import TruncDay, TruncMonth, TruncWeek

from marketplace.accounts.access import PLATFORM_ROLES, Actor, Role
from marketplace.catalog.models import App
from marketplace.catalog.owning import AppOwnership
from marketplace.core.errors import InvalidInput
from metering.dimensions import Dimension, Label, dimension, label_all
from metering.measures import MEASURES, Measures
from metering.models import UsageRollup
from metering.scopes import UsageScope
from metering.usage_reports import GRANULARITIES, Granularity, Part, UsageReport, UsageRow, dearest_first

MOST_DIMENSIONS = 8
MOST_ROWS = 100_000
MOST_DAYS = {"hour": 400, "day": 3_700, "week": 7_400, "month": 36_600, "total": 36_600}
MOST_DAYS_OF_GROUPED_HOURS = 92
FIRST_YEAR, LAST_YEAR = 2000, 3000
OTHERS = "Other teams"


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
    filters: Mapping[str, str] | None = None,
    visible: UsageScope,
) -> UsageReport:
    """Report what was used from ``from_at`` up to ``to_at``, which widen to full hours in UTC.

    ``group_by`` names dimensions; ``filters`` maps dimensions, or ``currency``, to ids as the report writes them. A
    filter on who used or paid finds only usage of which that is visible. Three queries, and one for each dimension.
    Raises InvalidInput that names the parameter, also for a report too large to finish, and MixedCurrencies.
    """
    from_at, to_at = full_hours(from_at, to_at)
    dimensions = _dimensions(group_by)
    _refuse_too_much(from_at, to_at, granularity=granularity, dimensions=dimensions)
    condition = Q(hour__gte=from_at, hour__lt=to_at) & asked_of_rollups(filters or {}, visible)
    found = _summed(condition, granularity, dimensions, visible)
    if len(found) > MOST_ROWS:
        message = f"gives more than {MOST_ROWS:,} rows; ask for a shorter time, coarser steps or a filter"
        raise InvalidInput("group_by", message, limit=MOST_ROWS, code="too_much")
    currencies = sorted({row["currency"] for row in found})
    if len(currencies) > 1:
        raise MixedCurrencies(currencies)
    return UsageReport(
        from_at=from_at,
        to_at=to_at,
        granularity=granularity,
        group_by=tuple(one.name for one in dimensions),
        rows=_rows(found, dimensions, from_at=from_at),
        currency=currencies[0] if currencies else "",
        newest_hour=newest_hour(),
    )


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


def on_rollups(condition: Q) -> Q:
    """Turn a condition on attributions into the same one on roll-ups, or on events, which point to them alike."""
    moved: list[Any] = [
        on_rollups(child) if isinstance(child, Q) else (f"attribution__{child[0]}", child[1])  # type: ignore[index]
        for child in condition.children
    ]
    return Q(*moved, _connector=condition.connector, _negated=condition.negated)


def asked_of_rollups(filters: Mapping[str, str], visible: UsageScope) -> Q:
    """Return the condition on roll-ups of the visible usage that filters ask for. Raises InvalidInput by name."""
    condition = on_rollups(visible.visible())
    for name, text in filters.items():
        if "\0" in text:
            raise InvalidInput(name, "holds a character that no name has")
        if name == "currency":
            condition &= Q(currency=text)
            continue
        wanted = dimension(name, field=name)
        condition &= on_rollups(wanted.asked(text))
        if wanted.is_private:
            condition &= on_rollups(visible.known())
    return condition


def full_hours(from_at: datetime, to_at: datetime) -> tuple[datetime, datetime]:
    """Widen a time to the full hours in UTC that roll-ups know. Raises InvalidInput that names the parameter."""
    for name, at in (("from", from_at), ("to", to_at)):
        if not FIRST_YEAR <= at.astimezone(UTC).year < LAST_YEAR:
            raise InvalidInput(name, f"must be between the years {FIRST_YEAR} and {LAST_YEAR}")
    if to_at <= from_at:
        raise InvalidInput("to", "must be after the start; the end is excluded")
    start = from_at.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    end = to_at.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    return start, end if end == to_at else end + timedelta(hours=1)


def _dimensions(group_by: Sequence[str]) -> tuple[Dimension, ...]:
    dimensions = tuple(dimension(name) for name in group_by)
    if len(set(group_by)) < len(dimensions):
        raise InvalidInput("group_by", "names a dimension twice")
    if len(dimensions) > MOST_DIMENSIONS:
        raise InvalidInput("group_by", f"takes at most {MOST_DIMENSIONS} dimensions", limit=MOST_DIMENSIONS)
    return dimensions


def _refuse_too_much(
    from_at: datetime, to_at: datetime, *, granularity: str, dimensions: Sequence[Dimension]
) -> None:
    if granularity not in GRANULARITIES:
        raise InvalidInput("granularity", f"{granularity!r} is not one of {', '.join(GRANULARITIES)}")
    most = MOST_DAYS[granularity]
    hint = {"hour": "day", "day": "month"}.get(granularity)
    if granularity == "hour" and len(dimensions) > 1:
        most = MOST_DAYS_OF_GROUPED_HOURS
    if to_at - from_at > timedelta(days=most):
        message = f"is more than {most} days after the start, too much by the {granularity}"
        message += f"; ask for less time, or granularity={hint}" if hint else ""
        raise InvalidInput("to", message, limit=most, code="too_much")


def _summed(
    condition: Q, granularity: str, dimensions: Sequence[Dimension], visible: UsageScope
) -> list[dict[str, Any]]:
    """Sum the roll-ups in the database; one row more than allowed tells that there are too many."""
    groups: dict[str, Combinable] = {f"of_{one.name}": _value(one, visible) for one in dimensions}
    if granularity != "total":
        groups["starts_at"] = _bucket(granularity)
    if any(one.is_private for one in dimensions) and not visible.sees_all:
        known = When(on_rollups(visible.known()), then=Value(True))
        groups["is_known"] = Case(known, default=Value(False), output_field=BooleanField())
    sums = {f"sum_{name}": Sum(name) for name in MEASURES}
    rows: QuerySet[Any, Any] = UsageRollup.objects.filter(condition).values("currency", **groups)
    return list(rows.annotate(**sums).order_by()[: MOST_ROWS + 1])


def _value(one: Dimension, visible: UsageScope) -> Combinable:
    value = F(f"attribution__{one.path}")
    if not one.is_private or visible.sees_all:
        return value
    return Case(When(on_rollups(visible.known()), then=value), default=None)


def _bucket(granularity: str) -> Combinable:
    truncate = {"day": TruncDay, "week": TruncWeek, "month": TruncMonth}.get(granularity)
    return truncate("hour", tzinfo=UTC) if truncate else F("hour")


def _rows(
    found: Iterable[dict[str, Any]], dimensions: Sequence[Dimension], *, from_at: datetime
) -> tuple[UsageRow, ...]:
    found = list(found)
    labels = {one.name: label_all(one, {row[f"of_{one.name}"] for row in found}) for one in dimensions}
    parts: dict[tuple[str, Any, bool], Part] = {}
    rows = []
    for row in found:
        is_known = row.get("is_known", True)
        of_row = []
        for one in dimensions:
            key = (one.name, row[f"of_{one.name}"], is_known)
            if key not in parts:
                parts[key] = _part(one, labels[one.name].get(key[1]), is_known=is_known)
            of_row.append(parts[key])
        measures = Measures(**{name: row[f"sum_{name}"] for name in MEASURES})
        rows.append(UsageRow(row.get("starts_at", from_at), tuple(of_row), measures))
    return tuple(sorted(rows, key=lambda row: (row.starts_at, *dearest_first(row))))


def _part(one: Dimension, label: Label | None, *, is_known: bool) -> Part:
    if one.is_private and not is_known:
        return Part(one.name, None, OTHERS)
    return Part(one.name, label.id, label.text) if label else Part(one.name, None, one.nothing)
