"""Which invoice a movement on the bank account pays: by its number, by name and amount, by amount alone. Pure."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from billing.bank_models import BankLine

How = BankLine.How
_NOT_SAID = re.compile(r"[^a-z0-9]+")
# Words of company names that say nothing about which one.
_COMMON = frozenset(
    {"gmbh", "inc", "ltd", "llc", "ag", "co", "kg", "the", "and", "of", "group", "company", "corp"}
)
FEWEST_LETTERS = 3


@dataclass(frozen=True)
class Open:
    """An invoice that waits for money, or was written off."""

    id: UUID
    number: str
    currency: str
    due_minor: int
    names: tuple[str, ...]


@dataclass(frozen=True)
class Match:
    """What a movement seems to pay, and by what."""

    invoice_id: UUID
    how: str


def match(
    *, amount_minor: int, currency: str, name: str, text: str, invoices: Sequence[Open]
) -> Match | None:
    """Propose an invoice for money that came in; None when none fits, or several do.

    A number that is named wins, whatever the amount: a part may be paid, or too much. Spaces and dashes in it do not
    matter, more digits around it do.
    """
    if amount_minor <= 0:
        return None
    same = [one for one in invoices if one.currency == currency]
    named = [one for one in same if _names(one.number, text)]
    if named:
        return Match(named[0].id, How.NUMBER) if len(named) == 1 else None
    fitting = [one for one in same if one.due_minor == amount_minor]
    known = [one for one in fitting if _is_of(one, name)]
    if len(known) == 1:
        return Match(known[0].id, How.NAME)
    return Match(fitting[0].id, How.AMOUNT) if len(fitting) == 1 and not known else None


def _names(number: str, text: str) -> bool:
    parts = [re.escape(part) for part in re.split(r"[^A-Za-z0-9]+", number) if part]
    return bool(parts) and bool(
        re.search(r"(?<![A-Za-z0-9])" + r"[\s./_-]*".join(parts) + r"(?![0-9])", text, re.IGNORECASE)
    )


def _is_of(invoice: Open, name: str) -> bool:
    said = _words(name)
    return any(
        bool(words) and (words <= said or said <= words) for words in map(_words, invoice.names)
    ) and bool(said)


def _words(name: str) -> set[str]:
    words = set(_NOT_SAID.split(name.casefold())) - _COMMON
    return {word for word in words if len(word) >= FEWEST_LETTERS}
