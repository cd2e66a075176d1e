"""How many listings each value of each facet would show: counted in one pass over search entries."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.db import connection
from django.db.models import Case, F, IntegerField, Q, QuerySet, Value, When
from django.db.models.expressions import Combinable

from marketplace.accounts.models import Team
from marketplace.catalog.facets import FACETS, FacetValue, category_label

_COLUMNS = [facet.column for facet in FACETS.values()]
# Facets that are counted together, so that an entry is filed three times instead of once for each facet; the few hundred
# combinations that come out are added up here. What has many values stands alone.
_PACKS = (("category", "price"), ("kind", "verified", "slo", "cost", "rating"), ("team",))
_PLACES = {name: place for place, name in enumerate(FACETS)}


def _grouping_of(pack: Sequence[str]) -> int:
    """Return what ``grouping()`` says in rows of a pack: the bit of a column that is grouped by is 0, the first has the highest."""
    return sum(1 << (len(FACETS) - 1 - place) for name, place in _PLACES.items() if name not in pack)


_PACK_OF = {_grouping_of(pack): pack for pack in _PACKS}


@dataclass(frozen=True)
class Counts:
    """How many entries meet all conditions; and by facet and value in a column, how many meet those of the others."""

    total: int
    of: Mapping[str, Counter[Any]]


def count(entries: QuerySet[Any], conditions: Mapping[str, Q]) -> Counts:
    """Count every value of every facet under the conditions of the other facets (one query).

    So a second choice in the same facet shows what it adds. Every entry is read once and marked with the conditions it fails:
    with more than one it counts nowhere, with one in the facet of that condition only.
    """
    bits = {name: 1 << n for n, name in enumerate(conditions)}
    marked = entries.annotate(fails=_fails(conditions, bits), stars_band=_stars_band())
    inner, params = marked.order_by().values("fails", *_COLUMNS).query.sql_with_params()
    # Without a condition nothing fails, and what is the same everywhere need not be grouped by.
    fails = "fails" if conditions else "0"
    columns, sets = ", ".join(_COLUMNS), ", ".join(_grouped_by(pack, fails) for pack in _PACKS)
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT grouping({columns}), {fails}, count(*), {columns} FROM ({inner}) entry "  # noqa: S608  own columns
            f"WHERE {fails} = ANY(%s) GROUP BY GROUPING SETS ({sets})",
            [*params, [0, *bits.values()]],
        )
        rows = cursor.fetchall()
    return _gather(rows, bits)


def facet_values(counts: Counts, chosen: Mapping[str, Sequence[str]]) -> dict[str, list[FacetValue]]:
    """Name what was counted, and what was chosen even when it fits nothing, so that it can be unchosen."""
    return {name: _values(name, counts.of.get(name, Counter()), chosen.get(name, ())) for name in FACETS}


def _fails(conditions: Mapping[str, Q], bits: Mapping[str, int]) -> Combinable:
    fails: Combinable = Value(0, IntegerField())
    for name, condition in conditions.items():
        fails = fails + Case(
            When(condition, then=Value(0)), default=Value(bits[name]), output_field=IntegerField()
        )
    return fails


def _stars_band() -> Combinable:
    """Cut the mean of an entry's ratings to whole stars, as the division of integers does; 0 without ratings."""
    return Case(
        When(ratings=0, then=Value(0)), default=F("stars") / F("ratings"), output_field=IntegerField()
    )


def _grouped_by(pack: Sequence[str], fails: str) -> str:
    """Write one grouping set; grouped by a literal, a set would mean the first column of the answer."""
    columns = [FACETS[name].column for name in pack]
    return f"({', '.join(columns if fails == '0' else [fails, *columns])})"


def _gather(rows: Sequence[tuple[Any, ...]], bits: Mapping[str, int]) -> Counts:
    total, of = 0, {name: Counter[Any]() for name in FACETS}
    for grouping, fails, number, *values in rows:
        pack = _PACK_OF[grouping]
        # Every pack holds every entry once; the total is read off one of them.
        if pack is _PACKS[-1] and not fails:
            total += number
        for name in pack:
            if fails in (0, bits.get(name, 0)):
                of[name][values[_PLACES[name]]] += number
    return Counts(total, of)


def _values(name: str, counted: Counter[Any], chosen: Sequence[str]) -> list[FacetValue]:
    found: Counter[str] = Counter()
    labels = dict(FACETS[name].labels or {})
    if name == "team":
        found, labels = _teams(counted)
    else:
        for value, number in counted.items():
            found.update(dict.fromkeys(FACETS[name].values_of(value), number))
    if name == "category":
        labels = {category: category_label(category) for category in sorted({*found, *chosen})}
    known = [value for value in labels if found[value] or value in chosen]
    unknown = [value for value in chosen if value not in labels]
    return [
        FacetValue(value, labels.get(value, value), found[value], value in chosen)
        for value in known + unknown
    ]


def _teams(counted: Counter[Any]) -> tuple[Counter[str], dict[str, str]]:
    """Translate ids of teams to how addresses write them, in the order of their names (one query)."""
    teams = Team.objects.filter(pk__in=list(counted)).order_by("name", "pk")
    rows = list(teams.values_list("pk", "organization__slug", "slug", "name"))
    names = {pk: f"{organization}/{slug}" for pk, organization, slug, _ in rows}
    labels = {names[pk]: name for pk, _, _, name in rows}
    return Counter({names[pk]: number for pk, number in counted.items()}), labels
