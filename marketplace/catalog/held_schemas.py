"""JSON Schemas that strangers hand in and that we hold values against while somebody waits. Pure.

A schema can be made so that a short value takes hours: by a pattern, by references that branch and come back, by
comparing every item with every other. So the language is smaller here: such words are left out, patterns are followed
without going back (catalog.linear_patterns), references lead into the same document and never back, and both schema
and value are bounded in what they can come to.
"""

import json
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from functools import lru_cache
from typing import Any

from jsonschema import Draft202012Validator, validators
from jsonschema.exceptions import SchemaError, ValidationError
from referencing import Registry
from referencing.exceptions import Unresolvable

from marketplace.catalog import linear_patterns

LEFT_OUT = frozenset(
    {"patternProperties", "uniqueItems", "unevaluatedProperties", "unevaluatedItems", "contains",
     "$dynamicRef", "$dynamicAnchor", "$id", "$anchor", "$schema"}
)  # fmt: skip
# An output schema is sent to providers as well, and not all of them take patterns.
NOT_FOR_ANSWERS = LEFT_OUT | {"pattern"}
MAX_EXPANDED = 1_500
# Steps of all patterns over all texts of one value: some tens of milliseconds.
MAX_PATTERN_STEPS = 100_000
MAX_VALUES = 20_000
MAX_VALUE_DEPTH = 60
MAX_FINDINGS = 10
# Below these stand names that the author chose, or values: a word of the language is none there.
_NAMED = frozenset({"properties", "$defs", "definitions", "dependentSchemas", "components", "schemas"})
_steps_left: ContextVar[list[int]] = ContextVar("steps_left")
_VALUES = frozenset({"enum", "const", "default", "example", "examples", "required", "x-order"})


def tamed(schema: Any) -> Any:
    """Return a schema without the words that are left out."""
    if isinstance(schema, list):
        return [tamed(one) for one in schema]
    if not isinstance(schema, Mapping):
        return schema
    kept: dict[str, Any] = {}
    for word, inner in schema.items():
        if word in LEFT_OUT:
            continue
        if word in _NAMED and isinstance(inner, Mapping):
            kept[word] = {name: tamed(one) for name, one in inner.items()}
        else:
            kept[word] = inner if word in _VALUES else tamed(inner)
    return kept


def words_left_out(schema: Any) -> list[str]:
    """Return the words in a schema that answers of models are not held against."""
    used = {word for part in _parts(schema) for word in part}
    return sorted(used & NOT_FOR_ANSWERS - {"$schema"})


def why_not(schema: Mapping[str, Any], *, root: Mapping[str, Any]) -> str:
    """Say why values cannot be held against a schema whose references lead into ``root``; empty when they can."""
    try:
        Draft202012Validator.check_schema(dict(schema))
        _expand(schema, root, open_references=(), budget=[MAX_EXPANDED])
    except SchemaError as error:
        return f"is no JSON Schema: {error.message[:200]}"
    except RecursionError:
        return "is nested too deeply"
    except _TooMuch as error:
        return str(error)
    return ""


def findings(schema: Mapping[str, Any], value: Any) -> list[tuple[tuple[str | int, ...], str]]:
    """Return where a value does not fit a schema and why, in order; the schema was found fit by ``why_not``."""
    if _count(value, MAX_VALUES, MAX_VALUE_DEPTH) > MAX_VALUES:
        return [((), f"has more than {MAX_VALUES:,} values, or is nested deeper than {MAX_VALUE_DEPTH}")]
    _steps_left.set([MAX_PATTERN_STEPS])
    try:
        errors = _validator(json.dumps(schema, sort_keys=True)).iter_errors(value)
        found = [
            (tuple(error.path), _shortened(error.message))
            for error, _ in zip(errors, range(100), strict=False)
        ]
    except (Unresolvable, RecursionError):
        return [((), "cannot be compared: the schema refers to something that is not there")]
    return sorted(found, key=lambda one: [str(step) for step in one[0]])[:MAX_FINDINGS]


def path_of(root: str, steps: tuple[str | int, ...]) -> str:
    """Write a path such as ``answer.items[2].price``."""
    written = root + "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps)
    return written.lstrip(".")


def references(value: Any) -> Iterator[str]:
    """Give every reference in a document."""
    if isinstance(value, Mapping):
        if isinstance(reference := value.get("$ref"), str):
            yield reference
        value = list(value.values())
    if isinstance(value, list):
        for inner in value:
            yield from references(inner)


def depth(value: Any, *, most: int) -> int:
    """Tell how deep a value is nested, without looking deeper than ``most`` and one."""
    if most < 0 or not isinstance(value, Mapping | list):
        return 0
    inner = value.values() if isinstance(value, Mapping) else value
    return 1 + max((depth(one, most=most - 1) for one in inner), default=0)


def pointed_at(root: Mapping[str, Any], reference: str) -> Any:
    """Return what a local reference leads to; None when there is nothing."""
    found: Any = root
    for step in reference.removeprefix("#").strip("/").split("/") if reference != "#" else ():
        found = found.get(step.replace("~1", "/").replace("~0", "~")) if isinstance(found, Mapping) else None
    return found


class _TooMuch(Exception):
    """A schema comes to more than can be held."""


def _expand(
    part: Any, root: Mapping[str, Any], *, open_references: tuple[str, ...], budget: list[int]
) -> None:
    """Walk a schema as a validator would, references followed; raises _TooMuch."""
    if isinstance(part, list):
        for inner in part:
            _expand(inner, root, open_references=open_references, budget=budget)
    if not isinstance(part, Mapping):
        return
    budget[0] -= 1
    if budget[0] < 0:
        raise _TooMuch(f"comes to more than {MAX_EXPANDED:,} parts once its references are followed")
    for word, inner in part.items():
        if word == "pattern" and isinstance(inner, str) and (reason := linear_patterns.why_not(inner)):
            raise _TooMuch(reason)
        if word == "$ref":
            _expand_reference(inner, root, open_references=open_references, budget=budget)
        elif word not in _VALUES | {"$defs", "definitions", "components"}:
            _expand(inner, root, open_references=open_references, budget=budget)


def _expand_reference(
    reference: Any, root: Mapping[str, Any], *, open_references: tuple[str, ...], budget: list[int]
) -> None:
    if not isinstance(reference, str) or not reference.startswith("#"):
        raise _TooMuch(f"refers to {str(reference)[:80]!r}; it may only refer into itself")
    if reference in open_references:
        raise _TooMuch(f"refers back to itself by {reference[:80]!r}; say as many levels as there are")
    target = pointed_at(root, reference)
    if target is None:
        raise _TooMuch(f"refers to {reference[:80]!r}, which is not there")
    _expand(target, root, open_references=(*open_references, reference), budget=budget)


def _parts(schema: Any) -> Iterator[Mapping[str, Any]]:
    """Give every mapping of a schema in which words of the language stand."""
    if isinstance(schema, list):
        for one in schema:
            yield from _parts(one)
    if isinstance(schema, Mapping):
        yield schema
        for word, inner in schema.items():
            if word in _NAMED and isinstance(inner, Mapping):
                yield from _parts(list(inner.values()))
            elif word not in _VALUES:
                yield from _parts(inner)


def _count(value: Any, budget: int, levels: int) -> int:
    """Count values, and stop soon after the budget; what is nested too deeply counts as too much."""
    if not isinstance(value, dict | list):
        return 1
    if levels == 0:
        return budget + 1
    count = 1
    for inner in value.values() if isinstance(value, dict) else value:
        count += _count(inner, budget - count, levels - 1)
        if count > budget:
            break
    return count


def _shortened(message: str) -> str:
    return message if len(message) <= 200 else f"{message[:120]} … {message[-70:]}"


@lru_cache(maxsize=512)
def _validator(schema: str) -> Any:
    # With a registry of its own it fetches nothing from elsewhere.
    return _Held(tamed(json.loads(schema)), registry=Registry())


def _keeps_pattern(_: Any, pattern: str, value: Any, __: Any) -> Iterator[ValidationError]:
    """Hold a text against a pattern within the steps that this value has left."""
    if not isinstance(value, str):
        return
    try:
        if not linear_patterns.compiled(pattern).found_in(value, budget=_steps_left.get()):
            yield ValidationError(f"{value!r} does not match {pattern!r}")
    except linear_patterns.TooLong:
        yield ValidationError(f"takes too long to compare with the pattern {pattern!r}")


_Held: Any = validators.extend(Draft202012Validator, {"pattern": _keeps_pattern})
