"""A customer's running account: what raised and lowered what they owe, with the balance after each. Pure."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from typing import ClassVar

from marketplace.core.csv import Cell
from marketplace.core.money import from_minor

COLUMNS = ("date", "what", "reference", "invoice", "amount", "balance", "currency")


@dataclass(frozen=True)
class Movement:
    """One movement; above zero the customer owes more."""

    ORDER: ClassVar[tuple[str, ...]] = (
        "invoice", "charge", "reversal", "recovered_back", "credit_note", "payment", "recovered", "balance", "write_off",
        "waived",
    )  # fmt: skip
    TITLES: ClassVar[dict[str, str]] = {
        "invoice": "Invoice",
        "charge": "Charge of a reminder",
        "reversal": "Payment went back",
        "recovered_back": "Written off again",
        "credit_note": "Credit note",
        "payment": "Payment",
        "recovered": "Recovered of what was written off",
        "balance": "Paid on account",
        "write_off": "Written off",
        "waived": "Charge waived",
    }

    on: date
    kind: str
    reference: str
    invoice: str
    amount_minor: int
    currency: str

    @property
    def title(self) -> str:
        if self.kind == "balance" and self.amount_minor > 0:
            return "Paid back"
        return self.TITLES[self.kind]


@dataclass(frozen=True)
class Entry:
    """A movement and what the customer owed after it; below zero they had something."""

    movement: Movement
    balance_minor: int


@dataclass(frozen=True)
class Account:
    """The entries of one currency, oldest first."""

    currency: str
    entries: tuple[Entry, ...]

    @property
    def balance_minor(self) -> int:
        return self.entries[-1].balance_minor if self.entries else 0


def accounts(movements: Iterable[Movement]) -> list[Account]:
    """Add movements up in their order, by currency."""
    entries: dict[str, list[Entry]] = {}
    for one in movements:
        of_currency = entries.setdefault(one.currency, [])
        before = of_currency[-1].balance_minor if of_currency else 0
        of_currency.append(Entry(one, before + one.amount_minor))
    return [Account(currency, tuple(found)) for currency, found in sorted(entries.items())]


def rows(found: Sequence[Account]) -> Iterator[tuple[Cell, ...]]:
    """Give a row of COLUMNS for each entry."""
    for account in found:
        for entry in account.entries:
            one = entry.movement
            yield (
                f"{one.on:%Y-%m-%d}",
                one.title,
                one.reference,
                one.invoice,
                from_minor(one.amount_minor, account.currency),
                from_minor(entry.balance_minor, account.currency),
                account.currency,
            )
