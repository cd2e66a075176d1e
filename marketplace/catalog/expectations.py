"""What a maker expects of an answer: said in data, explained in words, judged against a text. Pure but for the bounds.

An expectation is ``{"kind": …, "value": …}``. Patterns and schemas are written by strangers and may run for ever, so
``why_missed`` is only for a process that may be ended; ``why_missed_within`` bounds it in a main thread, and
``judge_apart`` may be called from anywhere.
"""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from types import FrameType
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError
from referencing import Registry
from referencing.exceptions import Unresolvable

from marketplace.core.errors import InvalidInput
from marketplace.core.money import parse_amount

MAX_VALUE = 2_000
MAX_PATH = 200
SECONDS_EACH = 1
START_S = 10
CHECKOUT = Path(__file__).parents[2]
SLOW = f"It could not be compared within {SECONDS_EACH} second; the pattern or schema takes too long."
_INDEX = re.compile(r"\[(\d{1,4})\]", re.ASCII)
Case = tuple[Mapping[str, Any], str]


class _TooSlow(Exception):
    pass


def why_not(expected: Any) -> str:
    """Say what is wrong with one expectation; empty when it can be judged."""
    if not isinstance(expected, Mapping) or set(expected) != {"kind", "value"}:
        return "must have a kind and a value"
    check = _WHY_NOT.get(expected["kind"]) if isinstance(expected["kind"], str) else None
    if check is None:
        return f"there is no kind {str(expected['kind'])[:40]!r}; there are {', '.join(KINDS)}"
    return check(expected["value"])


def in_words(expected: Mapping[str, Any]) -> str:
    """Say an expectation as people read it, to follow "every answer": ``contains “total”``."""
    value = expected["value"]
    match expected["kind"]:
        case "contains":
            return f"contains “{value}”"
        case "excludes":
            return f"does not contain “{value}”"
        case "matches":
            return f"matches {value}"
        case "max_length":
            return f"at most {value:,} characters"
        case "max_cost":
            return f"costs at most {value}"
        case "json_field":
            return f"JSON with {value['path']} = {json.dumps(value['equals'], ensure_ascii=False)}"
    return "JSON of the given schema" if value else "valid JSON"


def why_missed(expected: Mapping[str, Any], answer: str) -> str:
    """Say why an answer does not keep an expectation; empty when it does. For ``max_cost``, what it cost is the answer."""
    return _WHY_MISSED[expected["kind"]](expected["value"], answer)


def why_missed_within(expected: Mapping[str, Any], answer: str, *, seconds: float = SECONDS_EACH) -> str:
    """Judge like ``why_missed``, but no longer than this; only in a main thread, where a signal reaches the search."""
    before = signal.signal(signal.SIGALRM, _give_up)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        return why_missed(expected, answer)
    except _TooSlow:
        return SLOW
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def judge_apart(cases: Sequence[Case]) -> list[str]:
    """Judge expectations against answers in a process of its own; why each is missed, empty where it is kept."""
    if not cases:
        return []
    try:
        done = subprocess.run(
            [sys.executable, "-m", "marketplace.catalog.expectations"], input=json.dumps(cases), cwd=CHECKOUT,
            capture_output=True, text=True, timeout=START_S + SECONDS_EACH * len(cases), check=True,
            env={"PATH": os.defpath, "PYTHONUTF8": "1", "PYTHONDONTWRITEBYTECODE": "1"},
        )  # fmt: skip
        return [str(one) for one in json.loads(done.stdout)]
    except (OSError, ValueError, subprocess.SubprocessError):
        return ["It could not be compared: the process that compares broke off."] * len(cases)


def _give_up(number: int, frame: FrameType | None) -> None:
    raise _TooSlow


def _why_no_text(value: Any) -> str:
    is_text = isinstance(value, str) and 0 < len(value) <= MAX_VALUE
    return "" if is_text else f"must be a text of at most {MAX_VALUE:,} characters"


def _why_no_pattern(value: Any) -> str:
    if wrong := _why_no_text(value):
        return wrong
    try:
        re.compile(value)
    except (re.error, RecursionError, OverflowError) as error:
        return f"is no pattern: {error}"
    return ""


def _why_no_length(value: Any) -> str:
    return "" if type(value) is int and value > 0 else "must be a whole number above zero"


def _why_no_schema(value: Any) -> str:
    if not isinstance(value, Mapping) or len(str(value)) > MAX_VALUE:
        return f"must be a JSON Schema of at most {MAX_VALUE:,} characters"
    try:
        Draft202012Validator.check_schema(value)
    except SchemaError as error:
        return f"is no JSON Schema: {error.message}"
    return ""


def _why_no_field(value: Any) -> str:
    if not isinstance(value, Mapping) or set(value) != {"path", "equals"}:
        return "must have a path, such as items.0.name, and what it equals"
    path = value["path"]
    if not isinstance(path, str) or not 0 < len(path) <= MAX_PATH or "" in _steps(path):
        return "must have a path of names and numbers such as items.0.name"
    if isinstance(value["equals"], (Mapping, list)) or len(str(value["equals"])) > MAX_VALUE:
        return f"must equal a text of at most {MAX_VALUE:,} characters, a number, true, false or null"
    return ""


def _why_no_amount(value: Any) -> str:
    try:
        amount = parse_amount(value if isinstance(value, str) else None, field="value")
    except InvalidInput:
        return 'must be an amount as a text, such as "0.002"'
    return "" if amount > 0 else "must be above zero"


def _missed_cost(value: str, cost: str) -> str:
    return "" if Decimal(cost) <= Decimal(value) else f"It cost {cost}."


def _missed_words(value: str, answer: str) -> str:
    return "" if value.casefold() in answer.casefold() else f"“{value}” is not in it."


def _missed_absence(value: str, answer: str) -> str:
    return f"“{value}” is in it." if value.casefold() in answer.casefold() else ""


def _missed_pattern(value: str, answer: str) -> str:
    return "" if re.search(value, answer) else f"Nothing in it matches {value}."


def _missed_length(value: int, answer: str) -> str:
    return (
        ""
        if len(answer) <= value
        else f"It has {len(answer):,} characters, {len(answer) - value:,} too many."
    )


def _missed_schema(value: Mapping[str, Any], answer: str) -> str:
    try:
        # With a registry of its own it fetches nothing from elsewhere.
        errors = Draft202012Validator(value, registry=Registry()).iter_errors(_parsed(answer))
        return "".join(f"{one.message[:200]}." for one in list(errors)[:1])
    except ValueError:
        return "It is not JSON."
    except (SchemaError, Unresolvable, RecursionError):
        return "The schema cannot be applied."


def _missed_field(value: Mapping[str, Any], answer: str) -> str:
    try:
        found = _at(_parsed(answer), _steps(value["path"]))
    except (ValueError, RecursionError):
        return "It is not JSON."
    except (LookupError, TypeError):
        return f"It has no {value['path']}."
    return "" if _same(found, value["equals"]) else f"{value['path']} is {str(found)[:200]}."


def _parsed(text: str) -> Any:
    return json.loads(text, parse_float=Decimal)


def _steps(path: str) -> list[str]:
    """Cut a path into its steps; items[0].name is items.0.name."""
    dotted = _INDEX.sub(r".\1", path)
    return (dotted[1:] if path.startswith("[") else dotted).split(".")


def _at(data: Any, path: Sequence[str]) -> Any:
    for step in path:
        data = data[int(step)] if isinstance(data, list) and step.isdecimal() else data[step]
    return data


def _same(found: Any, wanted: Any) -> bool:
    """Compare as JSON does: 1 is 1.0, and true is not 1."""
    if isinstance(found, bool) or isinstance(wanted, bool):
        return found is wanted
    if isinstance(wanted, float):
        wanted = Decimal(str(wanted))
    return bool(found == wanted)


_WHY_NOT: dict[str, Callable[[Any], str]] = {
    "contains": _why_no_text,
    "excludes": _why_no_text,
    "matches": _why_no_pattern,
    "json": _why_no_schema,
    "json_field": _why_no_field,
    "max_length": _why_no_length,
    "max_cost": _why_no_amount,
}
_WHY_MISSED: dict[str, Callable[[Any, str], str]] = {
    "contains": _missed_words,
    "excludes": _missed_absence,
    "matches": _missed_pattern,
    "json": _missed_schema,
    "json_field": _missed_field,
    "max_length": _missed_length,
    "max_cost": _missed_cost,
}
KINDS = tuple(_WHY_NOT)

if __name__ == "__main__":
    json.dump([why_missed_within(expected, answer) for expected, answer in json.load(sys.stdin)], sys.stdout)
