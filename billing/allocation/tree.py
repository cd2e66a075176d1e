"""What an allocation comes to, at every depth: children are always the rows of their parent, told apart by one thing more."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from django.db.models import Q, QuerySet

from billing.models import AllocationRow, AllocationRun
from marketplace.accounts.access import Actor, Role
from marketplace.core.errors import InvalidInput
from marketplace.core.money import exact

Kind = AllocationRow.Kind
NOBODY = "(nobody)"
NONE = "(none)"
ZERO = Decimal(0)


@dataclass(frozen=True)
class Amounts:
    """What is borne, in minor units: own use with corrections, the part of what is shared, and what nobody bears."""

    direct_minor: int = 0
    shared_minor: int = 0
    unallocated_minor: int = 0
    cost: Decimal = ZERO

    @property
    def total_minor(self) -> int:
        return self.direct_minor + self.shared_minor + self.unallocated_minor

    def __add__(self, other: "Amounts") -> "Amounts":
        with exact():
            return Amounts(
                self.direct_minor + other.direct_minor,
                self.shared_minor + other.shared_minor,
                self.unallocated_minor + other.unallocated_minor,
                self.cost + other.cost,
            )

    @classmethod
    def of(cls, row: AllocationRow) -> "Amounts":
        if row.kind == Kind.SHARED:
            return cls(shared_minor=row.amount_minor)
        if row.kind == Kind.UNALLOCATED:
            return cls(unallocated_minor=row.amount_minor)
        return cls(direct_minor=row.amount_minor, cost=row.cost)


@dataclass
class Node:
    """One line of a level: its key leads deeper, its text is read."""

    key: str
    text: str
    currency: str
    amounts: Amounts = field(default_factory=Amounts)
    rows: list[AllocationRow] = field(default_factory=list)


@dataclass(frozen=True)
class Level:
    """A way to tell rows apart."""

    name: str
    title: str


LEVELS = {
    one.name: one
    for one in (
        Level("cost_center", "Cost center"),
        Level("app", "App"),
        Level("plan", "Plan"),
        Level("sku", "Charge"),
        Level("team", "Team"),
        Level("environment", "Environment"),
        Level("organization", "Organization"),
    )
}
# Down from the top; what is grouped by something else begins there and goes on with these.
PATH = ("cost_center", "app", "plan", "sku")


def level(name: str) -> Level:
    """Return a level. Raises InvalidInput that lists what there is."""
    if name not in LEVELS:
        raise InvalidInput("by", f"{name!r} is not one of {', '.join(LEVELS)}")
    return LEVELS[name]


def rows_of(run: AllocationRun, actor: Actor) -> QuerySet[AllocationRow]:
    """Give the rows of a run that a person may see, with what names them.

    The marketplace's finance sees all, another one those of its organization, an owner those of their cost centers.
    """
    found = run.rows.select_related(
        "organization", "cost_center", "team", "app", "plan", "shared_part__cost", "rule", "correction__dispute",
        "invoice_line__invoice",
    )  # fmt: skip
    if actor.is_platform(Role.FINANCE):
        return found
    served = Q(organization__in=actor.organizations_as(Role.FINANCE))
    return found.filter(served | Q(cost_center__owner=actor.user))


def key_and_text(row: AllocationRow, name: str) -> tuple[str, str]:
    """Name a row at a level; what has nothing there says so."""
    if name == "cost_center":
        center = row.cost_center
        if center is None:
            return NOBODY, "Unallocated"
        return f"{row.organization.slug}/{center.code}", str(center)
    if name == "app":
        return (row.app.slug, row.app.name) if row.app else (NONE, "Shared, of no app")
    if name == "plan":
        return (f"{row.plan.code}/{row.plan.number}", row.plan.name) if row.plan else (NONE, "No plan")
    if name == "team":
        return (row.team.slug, row.team.name) if row.team else (NONE, "No team")
    if name == "organization":
        return row.organization.slug, row.organization.name
    text = row.environment if name == "environment" else row.sku
    return (text, text) if text else (NONE, "No environment")


def grouped(rows: Iterable[AllocationRow], by: str) -> list[Node]:
    """Group rows; the dearest first, what nobody bears last. Currencies are never added up."""
    nodes: dict[tuple[str, str], Node] = {}
    for row in rows:
        key, text = key_and_text(row, by)
        node = nodes.setdefault((key, row.currency), Node(key, text, row.currency))
        node.amounts += Amounts.of(row)
        node.rows.append(row)
    return sorted(
        nodes.values(), key=lambda one: (one.key == NOBODY, one.currency, -one.amounts.total_minor, one.text)
    )


def narrowed(rows: Iterable[AllocationRow], at: Mapping[str, str]) -> list[AllocationRow]:
    """Keep the rows below a node: those with its key at each level that is named."""
    return [row for row in rows if all(key_and_text(row, name)[0] == key for name, key in at.items())]


def next_level(by: str, at: Mapping[str, str]) -> str:
    """Say what tells the rows below a node apart: the first of the path that is not settled yet."""
    if by not in at:
        return by
    return next((name for name in PATH if name not in at), "")


def totals(rows: Iterable[AllocationRow]) -> dict[str, Amounts]:
    """Sum rows by currency."""
    sums: dict[str, Amounts] = defaultdict(Amounts)
    for row in rows:
        sums[row.currency] += Amounts.of(row)
    return dict(sorted(sums.items()))


def ratio_text(row: AllocationRow) -> str:
    """Write how a part came about: "3 of 12"."""
    if row.weight is None or not row.weights_total:
        return ""
    return f"{row.weight.normalize():f} of {row.weights_total.normalize():f}"


def crumbs(rows: Sequence[AllocationRow], at: Mapping[str, str]) -> list[tuple[str, str]]:
    """Name the nodes on the way down, by level."""
    return [(name, key_and_text(rows[0], name)[1] if rows else key) for name, key in at.items()]
