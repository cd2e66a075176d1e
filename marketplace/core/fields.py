"""Reading one JSON object field by field, collecting everything that is wrong with it."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from marketplace.core.errors import FieldError, InvalidInput
from marketplace.core.money import MINOR_EXPONENTS, parse_amount

ZERO = Decimal(0)


class Fields:
    """An object at a path such as `charges[1]`; reading never raises, `errors` gathers what was refused.

    A refused field reads as its default, so that one pass finds all errors of a request.
    """

    def __init__(self, data: object, *, path: str, errors: list[FieldError]) -> None:
        self._path = path
        self._errors = errors
        self._data: Mapping[str, Any] = {}
        if isinstance(data, Mapping):
            self._data = data
        else:
            self.refuse("", "must be an object", code="not_an_object")

    def path(self, name: str) -> str:
        return ".".join(part for part in (self._path, name) if part)

    def refuse(self, name: str, message: str, *, code: str = "invalid", limit: object | None = None) -> None:
        error = FieldError(self.path(name), message, code, None if limit is None else str(limit))
        self._errors.append(error)

    def has(self, name: str) -> bool:
        return self._data.get(name) is not None

    def raw(self, name: str) -> Any:
        return self._data.get(name)

    def names(self) -> list[str]:
        return [str(name) for name in self._data]

    def allow_only(self, names: Sequence[str], *, of: str) -> None:
        for name in self.names():
            if name not in names:
                self.refuse(name, f"is not a field of {of}", code="unknown_field")

    def amount(self, name: str, default: Decimal | None = None) -> Decimal:
        """Read a non-negative decimal; without a default it is required."""
        if not self.has(name):
            if default is None:
                self.refuse(name, "is missing", code="required")
            return default or ZERO
        try:
            amount = parse_amount(self.raw(name), field=self.path(name))
        except InvalidInput as error:
            self._errors.extend(error.errors)
            return default or ZERO
        if amount < 0:
            self.refuse(name, "must not be negative", code="negative", limit=0)
        return amount

    def optional_amount(self, name: str) -> Decimal | None:
        return self.amount(name) if self.has(name) else None

    def whole_number(self, name: str) -> int:
        """Read a non-negative whole number that is zero when absent."""
        amount = self.amount(name, ZERO)
        if amount % 1:
            self.refuse(name, "must be a whole number", code="not_whole")
        return int(amount)

    def flag(self, name: str) -> bool:
        value = self.raw(name)
        if value is not None and not isinstance(value, bool):
            self.refuse(name, "must be true or false", code="not_a_flag")
        return value is True

    def choice(self, name: str, choices: Sequence[str], default: str | None = None) -> str:
        value = self.raw(name) if self.has(name) else default
        if value is None:
            self.refuse(name, "is missing", code="required")
        elif not isinstance(value, str) or value not in choices:
            self.refuse(name, f"must be one of {', '.join(choices)}", code="unknown_choice")
        return value if isinstance(value, str) and value in choices else default or ""

    def currency(self, name: str) -> str:
        value = self.raw(name)
        if value is None:
            self.refuse(name, "is missing", code="required")
        elif not isinstance(value, str) or value not in MINOR_EXPONENTS:
            message = "is not an ISO 4217 code of a currency in circulation, such as USD"
            self.refuse(name, message, code="unknown_currency")
        return value if isinstance(value, str) else ""

    def items(self, name: str, *, at_most: int) -> list[Any]:
        """Read a list of at least one entry."""
        value = self.raw(name)
        if value is None:
            self.refuse(name, "is missing", code="required")
        elif not isinstance(value, list) or not value:
            self.refuse(name, "must be a list with at least one entry", code="not_a_list")
        elif len(value) > at_most:
            self.refuse(name, f"has more than {at_most} entries", code="too_many", limit=at_most)
        else:
            return value
        return []

    def child(self, name: str, data: object) -> "Fields":
        return Fields(data, path=self.path(name), errors=self._errors)

    def optional_child(self, name: str) -> "Fields | None":
        return self.child(name, self.raw(name)) if self.has(name) else None
