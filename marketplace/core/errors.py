"""The errors that the domain raises: four families under one base.

Views and the API map families to status codes in one place. A subclass lives beside the code that raises it,
keeps the facts as attributes and composes its message, which is written for the person who reads it.
"""

from collections.abc import Sequence
from dataclasses import dataclass


class HalfpennyError(Exception):
    """Anything the domain refuses to do; `code` is stable and for machines, `message` is for people."""

    code = "error"

    def __init__(self, message: str, *, code: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.code = code or type(self).code


@dataclass(frozen=True)
class FieldError:
    """What is wrong with one field; `limit` is the bound that was crossed, when there is one."""

    field: str
    message: str
    code: str = "invalid"
    limit: str | None = None

    def __str__(self) -> str:
        return f"{self.field}: {self.message}" if self.field else self.message


class InvalidInput(HalfpennyError):
    """Input that can be corrected by whoever sent it; names every field that is wrong.

    `field` is a path such as `charges[1].tiers[0].up_to`; the empty path means the input as a whole.
    """

    code = "invalid"

    def __init__(
        self, field: str, message: str, *, limit: object | None = None, code: str | None = None
    ) -> None:
        error = FieldError(field, message, code or type(self).code, None if limit is None else str(limit))
        super().__init__(str(error), code=code)
        self.errors: tuple[FieldError, ...] = (error,)

    @classmethod
    def several(cls, errors: Sequence[FieldError]) -> "InvalidInput":
        """Build one error out of at least one field error."""
        first, *rest = errors
        error = cls(first.field, first.message, limit=first.limit, code=first.code)
        if rest:
            error.code = cls.code
        error.errors = tuple(errors)
        error.message = "; ".join(str(one) for one in errors)
        error.args = (error.message,)
        return error

    @property
    def field(self) -> str:
        return self.errors[0].field

    @property
    def limit(self) -> str | None:
        return self.errors[0].limit


class NotAllowed(HalfpennyError):
    """The person or key may know of the thing, but may not do this to it."""

    code = "not_allowed"


class NotFound(NotAllowed):
    """The thing does not exist, or whoever asks may not know that it does; both read the same."""

    code = "not_found"

    def __init__(self, kind: str, key: object) -> None:
        super().__init__(f"There is no {kind} {str(key)!r} that you can see.")
        self.kind = kind
        self.key = str(key)


class Conflict(HalfpennyError):
    """The state of the thing forbids this: an illegal transition, or it was already done."""

    code = "conflict"


class Unavailable(HalfpennyError):
    """Nothing was done and trying again later may help, after `retry_after_s` seconds."""

    code = "unavailable"

    def __init__(self, message: str, *, retry_after_s: int = 5, code: str | None = None) -> None:
        super().__init__(message, code=code)
        self.retry_after_s = retry_after_s
