"""A maker's examples: an input, and what is expected of every answer to it."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from marketplace.accounts.models import User
from marketplace.catalog import drafts, prompts
from marketplace.catalog.expectations import why_not
from marketplace.catalog.models import Version
from marketplace.core.errors import FieldError, InvalidInput

MAX_EXAMPLES = 10
MAX_EXPECTATIONS = 8


def check(examples: Sequence[Any], input_schema: Mapping[str, Any]) -> None:
    """Raise InvalidInput with everything that is wrong, by its path such as ``examples[0].expect[1].value``."""
    if len(examples) > MAX_EXAMPLES:
        raise InvalidInput("examples", f"may be at most {MAX_EXAMPLES}", limit=MAX_EXAMPLES)
    errors = [error for number, one in enumerate(examples) for error in _wrong(number, one, input_schema)]
    if errors:
        raise InvalidInput.several(errors)


def _wrong(number: int, one: Any, input_schema: Mapping[str, Any]) -> list[FieldError]:
    path = f"examples[{number}]"
    if not isinstance(one, Mapping) or set(one) != {"input", "expect"} or not isinstance(one["expect"], list):
        return [FieldError(path, "must have an input and a list of what is expected")]
    if len(one["expect"]) > MAX_EXPECTATIONS:
        return [FieldError(f"{path}.expect", f"may have at most {MAX_EXPECTATIONS} entries")]
    try:
        prompts.validate_input(input_schema, one["input"])
    except InvalidInput as error:
        return [FieldError(f"{path}.input.{each.field}", each.message, each.code) for each in error.errors]
    return [
        FieldError(f"{path}.expect[{index}]", reason)
        for index, expected in enumerate(one["expect"])
        if (reason := why_not(expected))
    ]


def add(version: Version, example: Mapping[str, Any], *, by: User, at: datetime) -> None:
    """Add an example to a draft. Raises InvalidInput, NotEditable."""
    examples = [*version.examples, dict(example)]
    check(examples, version.input_schema)
    drafts.edit(version, by=by, at=at, changes={"examples": examples})


def remove(version: Version, number: int, *, by: User, at: datetime) -> None:
    """Take an example of a draft away; one that is not there is gone already."""
    examples = [one for index, one in enumerate(version.examples) if index != number]
    drafts.edit(version, by=by, at=at, changes={"examples": examples})
