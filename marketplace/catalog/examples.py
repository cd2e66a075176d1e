"""A maker's examples: an input, and what is expected of every answer to it."""

import json
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError

from marketplace.accounts.models import User
from marketplace.catalog import drafts, prompts
from marketplace.catalog.models import Version
from marketplace.catalog.scans.behavior import FIELD_PATH
from marketplace.core.errors import FieldError, InvalidInput
from marketplace.core.money import parse_amount

MAX_EXAMPLES = 10
MAX_EXPECTATIONS = 8
MAX_VALUE = 2_000
KINDS = ("contains", "matches", "max_length", "json", "json_field", "max_cost")


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


def why_not(expected: Any) -> str:
    """Say what is wrong with one expectation; empty when it can be judged."""
    if not isinstance(expected, Mapping) or set(expected) != {"kind", "value"}:
        return "must have a kind and a value"
    kind, value = expected["kind"], expected["value"]
    if kind not in KINDS:
        return f"there is no kind {str(kind)[:40]!r}; there are {', '.join(KINDS)}"
    if kind == "max_length":
        return "" if type(value) is int and value > 0 else "must be a whole number above zero"
    if kind == "json":
        return _why_no_schema(value)
    if kind == "json_field":
        return _why_no_field(value)
    if kind == "max_cost":
        return _why_no_amount(value)
    if not isinstance(value, str) or not value or len(value) > MAX_VALUE:
        return f"must be a text of at most {MAX_VALUE:,} characters"
    return _why_no_pattern(value) if kind == "matches" else ""


def _why_no_pattern(value: str) -> str:
    try:
        re.compile(value)
    except (re.error, RecursionError, OverflowError) as error:
        return f"is no pattern: {error}"
    return ""


def _why_no_field(value: Any) -> str:
    if not isinstance(value, Mapping) or set(value) != {"path", "equals"}:
        return "must have a path such as items[0].name, and what it equals"
    if not isinstance(value["path"], str) or FIELD_PATH.fullmatch(value["path"]) is None:
        return "must have a path of names and [numbers], such as items[0].name"
    is_long = len(json.dumps(value["equals"], default=str)) > MAX_VALUE
    return f"must equal something of at most {MAX_VALUE:,} characters" if is_long else ""


def _why_no_amount(value: Any) -> str:
    try:
        amount = parse_amount(value if isinstance(value, str) else None, field="value")
    except InvalidInput:
        return 'must be an amount as a text, such as "0.002"'
    return "" if amount > 0 else "must be above zero"


def _why_no_schema(value: Any) -> str:
    if not isinstance(value, Mapping) or len(str(value)) > MAX_VALUE:
        return f"must be a JSON Schema of at most {MAX_VALUE:,} characters"
    try:
        Draft202012Validator.check_schema(value)
    except SchemaError as error:
        return f"is no JSON Schema: {error.message}"
    return ""


def add(version: Version, example: Mapping[str, Any], *, by: User, at: datetime) -> None:
    """Add an example to a draft. Raises InvalidInput, NotEditable."""
    examples = [*version.examples, dict(example)]
    check(examples, version.input_schema)
    drafts.edit(version, by=by, at=at, changes={"examples": examples})


def remove(version: Version, number: int, *, by: User, at: datetime) -> None:
    """Take an example of a draft away; one that is not there is gone already."""
    examples = [one for index, one in enumerate(version.examples) if index != number]
    drafts.edit(version, by=by, at=at, changes={"examples": examples})
