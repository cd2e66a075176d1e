"""A route policy as a table: the first row whose conditions a call meets says which models it may come to. Pure.

A row without conditions meets every call. What it chooses is a class of models, a model, the cheapest or the strongest
approved one, or ``auto``: the weakest class or the strongest, by how hard the prompt is.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from marketplace.core.errors import FieldError, InvalidInput
from marketplace.gateway.routing import intents

# From weak to strong.
CLASSES = ("tiny", "small", "medium", "large")
AUTO, CHEAPEST, STRONGEST = "auto", "cheapest", "strongest"
CHOICES = (AUTO, CHEAPEST, STRONGEST)
ENVIRONMENTS = ("production", "staging", "sandbox")
MOST_ROWS = 40
MOST_TOKENS = 10_000_000
PARTS = ("tools", "schema", "images")


@dataclass(frozen=True, slots=True)
class Call:
    """What of a call a policy may look at."""

    intent: str
    tokens: int
    environment: str
    tools: bool = False
    schema: bool = False
    images: bool = False
    budget_left: int | None = None
    """Percent of the tightest money limit that is left; None when nobody knows."""


@dataclass(frozen=True, slots=True)
class Row:
    """Conditions that all have to be met, and what is used then. ``tokens_below`` and the like exclude their bound."""

    use: str
    intents: tuple[str, ...] = ()
    tokens_from: int | None = None
    tokens_below: int | None = None
    tools: bool | None = None
    schema: bool | None = None
    images: bool | None = None
    environments: tuple[str, ...] = ()
    budget_left_below: int | None = None

    def meets(self, call: Call) -> bool:
        """Tell whether a call meets every condition. A budget that nobody knows is not under any bound."""
        return (
            (not self.intents or call.intent in self.intents)
            and (self.tokens_from is None or call.tokens >= self.tokens_from)
            and (self.tokens_below is None or call.tokens < self.tokens_below)
            and (self.tools is None or call.tools == self.tools)
            and (self.schema is None or call.schema == self.schema)
            and (self.images is None or call.images == self.images)
            and (not self.environments or call.environment in self.environments)
            and (
                self.budget_left_below is None
                or (call.budget_left is not None and call.budget_left < self.budget_left_below)
            )
        )

    @property
    def conditions(self) -> str:
        """The conditions in words; ``any call`` without one."""
        told = []
        if self.intents:
            told.append(" or ".join(name.replace("_", " ") for name in self.intents))
        told += [
            f"{'with' if wanted else 'without'} {part}"
            for part in PARTS
            if (wanted := getattr(self, part)) is not None
        ]
        if self.tokens_from is not None:
            told.append(f"from {self.tokens_from} tokens")
        if self.tokens_below is not None:
            told.append(f"under {self.tokens_below} tokens")
        if self.environments:
            told.append(f"in {' or '.join(self.environments)}")
        if self.budget_left_below is not None:
            told.append(f"under {self.budget_left_below} % of the budget left")
        return " ".join(told) or "any call"

    def __str__(self) -> str:
        return f"{self.conditions} -> {self.use}"

    def as_json(self) -> dict[str, Any]:
        """Write down what is set."""
        found = {one.name: getattr(self, one.name) for one in fields(self)}
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in found.items()
            if value is not None and value != ()
        }


def matching(rows: Sequence[Row], call: Call) -> list[tuple[int, Row]]:
    """Return the rows that a call meets, with their numbers from 1, in order."""
    return [(number, row) for number, row in enumerate(rows, start=1) if row.meets(call)]


def parse(rows: Any, *, models: Mapping[str, str], field: str = "rows") -> tuple[Row, ...]:
    """Read rows as they are stored or sent. ``models`` are those that the app may use, with their classes.

    Raises InvalidInput that names every field that is wrong, as ``rows[1].tokens_below``, with what it may be.
    """
    if not isinstance(rows, list) or not rows:
        raise InvalidInput(field, "A policy has at least one row.", code="required")
    if len(rows) > MOST_ROWS:
        raise InvalidInput(field, f"A policy has at most {MOST_ROWS} rows.", limit=MOST_ROWS)
    errors: list[FieldError] = []
    read = [_row(row, f"{field}[{at}]", models, errors) for at, row in enumerate(rows)]
    # Of a row that could not be read nobody knows what it takes.
    errors = errors or _unreachable(read, field)
    if errors:
        raise InvalidInput.several(errors)
    return tuple(read)


def stored(rows: Sequence[Mapping[str, Any]]) -> tuple[Row, ...]:
    """Read rows that were checked when they were saved."""
    return tuple(Row(**_tuples(row)) for row in rows)


def _tuples(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: tuple(value) if isinstance(value, list) else value for name, value in row.items()}


def _row(row: Any, field: str, models: Mapping[str, str], errors: list[FieldError]) -> Row:
    if not isinstance(row, dict):
        errors.append(FieldError(field, "A row is an object with conditions and `use`."))
        return Row(CHEAPEST)
    known = {one.name for one in fields(Row)}
    if unknown := sorted(map(str, row.keys() - known)):
        errors.append(
            FieldError(
                f"{field}.{unknown[0]}", f"There is no such condition; there are {', '.join(sorted(known))}."
            )
        )
    read = Row(
        use=_use(row.get("use"), f"{field}.use", models, errors),
        intents=_names(row.get("intents"), f"{field}.intents", errors),
        tokens_from=_whole(row.get("tokens_from"), f"{field}.tokens_from", MOST_TOKENS, errors),
        tokens_below=_whole(row.get("tokens_below"), f"{field}.tokens_below", MOST_TOKENS, errors),
        environments=_environments(row.get("environments"), f"{field}.environments", errors),
        budget_left_below=_whole(row.get("budget_left_below"), f"{field}.budget_left_below", 100, errors),
        **{part: _flag(row.get(part), f"{field}.{part}", errors) for part in PARTS},
    )
    if (
        read.tokens_from is not None
        and read.tokens_below is not None
        and read.tokens_from >= read.tokens_below
    ):
        errors.append(
            FieldError(
                f"{field}.tokens_below", "No call has at least `tokens_from` and fewer tokens than this."
            )
        )
    return read


def _use(value: Any, field: str, models: Mapping[str, str], errors: list[FieldError]) -> str:
    classes = [name for name in CLASSES if name in models.values()]
    if isinstance(value, str) and (value in CHOICES or value in classes or value in models):
        return value
    may = ", ".join([*CHOICES, *classes, *models])
    errors.append(FieldError(field, f"Choose what the app's listed version may use: {may}."))
    return CHEAPEST


def _names(value: Any, field: str, errors: list[FieldError]) -> tuple[str, ...]:
    if value is None:
        return ()
    if isinstance(value, list) and all(isinstance(one, str) and intents.NAME.match(one) for one in value):
        return tuple(dict.fromkeys(value))
    errors.append(
        FieldError(
            field, f"A list of intents: {', '.join(intents.BUILT_IN)}, or one of your own in small letters."
        )
    )
    return ()


def _environments(value: Any, field: str, errors: list[FieldError]) -> tuple[str, ...]:
    if value is None:
        return ()
    if isinstance(value, list) and all(one in ENVIRONMENTS for one in value):
        return tuple(dict.fromkeys(value))
    errors.append(FieldError(field, f"A list of environments: {', '.join(ENVIRONMENTS)}."))
    return ()


def _whole(value: Any, field: str, most: int, errors: list[FieldError]) -> int | None:
    if value is None:
        return None
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= most:
        return value
    errors.append(FieldError(field, f"A whole number from 0 to {most:,}.", limit=str(most)))
    return None


def _flag(value: Any, field: str, errors: list[FieldError]) -> bool | None:
    if value is None or isinstance(value, bool):
        return value
    errors.append(FieldError(field, "True, false, or left out."))
    return None


def _unreachable(rows: Sequence[Row], field: str) -> list[FieldError]:
    """Name rows that come after one that takes every call."""
    taking_all = next((at for at, row in enumerate(rows) if row.conditions == "any call"), None)
    if taking_all is None or taking_all == len(rows) - 1:
        return []
    return [
        FieldError(
            f"{field}[{taking_all + 1}]",
            f"Row {taking_all + 1} takes every call, so this one is never reached.",
        )
    ]


def told_field(field: str) -> str:
    """Say a field of a row as a person counts: ``rows[0].tokens_below`` is row 1, tokens below."""
    found = _FIELD.match(field)
    if found is None:
        return field
    name = (found[2] or "").replace("_", " ")
    return f"Row {int(found[1]) + 1}{', ' if name else ''}{name}"


_FIELD = re.compile(r"^rows\[(\d+)\](?:\.(.+))?$")
