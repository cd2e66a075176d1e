"""What a team earned and was paid in a month: opening, every movement, closing; the sums tie with the books."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import cached_property

from django.db.models import QuerySet

from billing.creators.accruing import Owed
from billing.creators.balances import owed_at
from billing.models import CreatorMovement
from marketplace.accounts.models import Team
from marketplace.core.csv import Cell
from marketplace.core.money import from_minor
from marketplace.core.periods import Period, month_of

Kind = CreatorMovement.Kind
WORDS: dict[str, str] = {
    Kind.EARNED: "Earned",
    Kind.RELEASED: "Released",
    Kind.HELD_BACK: "Held back",
    Kind.REVERSED: "Reversed by credit notes",
    Kind.TOPPED_UP: "Tiers and guarantees",
    Kind.WRITTEN_OFF: "Written off with invoices",
    Kind.RECOVERED: "Recovered",
    Kind.RELIEVED: "Taken over by the platform",
    Kind.TAXED: "Tax on self-billed invoices",
    Kind.PAID: "Paid",
    Kind.RETURNED: "Payouts that came back",
    Kind.ADJUSTED: "Other",
}
COLUMNS = ("at", "kind", "app", "document", "held", "available", "owed", "currency")


@dataclass(frozen=True)
class Sum:
    """All movements of one kind in a month."""

    kind: str
    held_minor: int
    available_minor: int

    @property
    def words(self) -> str:
        return WORDS[self.kind]

    @property
    def minor(self) -> int:
        return self.held_minor + self.available_minor


@dataclass(frozen=True)
class Statement:
    """A month of a team in a currency; `opening` and all movements sum to `closing`."""

    team: Team
    currency: str
    month: Period
    opening: Owed
    movements: Sequence[CreatorMovement]

    @cached_property
    def sums(self) -> list[Sum]:
        """Sum movements by kind, in the order in which a statement lists them."""
        found: dict[str, list[CreatorMovement]] = defaultdict(list)
        for one in self.movements:
            found[one.kind].append(one)
        return [
            Sum(kind, sum(one.held_minor for one in rows), sum(one.available_minor for one in rows))
            for kind in WORDS
            if (rows := found.get(kind))
        ]

    @property
    def closing(self) -> Owed:
        return Owed(
            self.opening.held_minor + sum(one.held_minor for one in self.sums),
            self.opening.available_minor + sum(one.available_minor for one in self.sums),
        )


def statement_of(team: Team, *, currency: str, month: Period) -> Statement:
    """Read a month of a team (two queries)."""
    rows = movements(team, currency).filter(at__gte=month.starts_at, at__lt=month.ends_at)
    opening = owed_at(team.pk, currency, at=month.starts_at)
    return Statement(team, currency, month, opening, list(rows.order_by("at", "pk")))


def movements(team: Team, currency: str) -> QuerySet[CreatorMovement]:
    """Give the movements of a team with what their rows name."""
    found = CreatorMovement.objects.filter(team=team, currency=currency)
    return found.select_related("app", "invoice", "entry__credit_note", "entry__payout", "entry__true_up")


def months_of(team_ids: Iterable[int], *, at: datetime) -> list[tuple[int, str, str]]:
    """List team, currency and month of every statement that there is, newest first (one query)."""
    rows = CreatorMovement.objects.filter(team__in=team_ids).values_list("team", "currency").order_by()
    found = {
        (team, currency, month_of(day).name)
        for team, currency, day in rows.values_list("team", "currency", "at").distinct()
        if day <= at
    }
    return sorted(found, key=lambda one: (one[2], -one[0], one[1]), reverse=True)


def document_of(one: CreatorMovement) -> str:
    """Name what a movement follows from."""
    if one.entry is None:
        return ""
    if one.entry.credit_note is not None:
        return str(one.entry.credit_note)
    if one.invoice is not None:
        return str(one.invoice)
    return one.entry.memo


def csv_rows(statement: Statement) -> Iterator[tuple[Cell, ...]]:
    """Give a row of COLUMNS for the opening, each movement and the closing."""
    first, last = statement.month.starts_at, statement.month.ends_at
    yield (first, "opening", None, None, *_amounts(statement.opening, statement.currency))
    for one in statement.movements:
        owed = Owed(one.held_minor, one.available_minor)
        app = one.app.slug if one.app else None
        yield (one.at, one.kind, app, document_of(one), *_amounts(owed, statement.currency))
    yield (last, "closing", None, None, *_amounts(statement.closing, statement.currency))


def _amounts(owed: Owed, currency: str) -> tuple[Decimal, Decimal, Decimal, str]:
    return (
        from_minor(owed.held_minor, currency),
        from_minor(owed.available_minor, currency),
        from_minor(owed.minor, currency),
        currency,
    )
