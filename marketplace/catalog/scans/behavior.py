"""Whether an app answers as its maker expects: what stands in an answer, its shape, its length."""

import json
import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError
from referencing import Registry
from referencing.exceptions import Unresolvable

from marketplace.catalog.scans.findings import Found, Report, sorted_findings
from marketplace.catalog.scans.subject import Subject

FIELD_STEP = re.compile(r"([A-Za-z_][\w-]*)|\[(\d{1,4})\]", re.ASCII)
FIELD_PATH = re.compile(r"(?:[A-Za-z_][\w-]*|\[\d{1,4}\])(?:\.[A-Za-z_][\w-]*|\[\d{1,4}\]){0,20}", re.ASCII)


def scan(subject: Subject) -> Report:
    """Compare each answer with what is expected of its example; ``outputs`` are (number of example, answer)."""
    found: list[Found] = []
    judged = 0
    for number, example in enumerate(subject.examples):
        answers = [text for index, text in subject.outputs if index == number]
        costs = [cost for index, cost in subject.costs if index == number]
        for expected in example.get("expect", ()):
            given = costs if expected["kind"] == "max_cost" else answers
            judged += len(given)
            if one := _judge(number, expected, given):
                found.append(one)
    return Report(sorted_findings(found), "own rules, jsonschema", {"compared": judged})


def _judge(number: int, expected: Mapping[str, Any], answers: list[str]) -> Found | None:
    place = f"example {number + 1}"
    identity = json.dumps(expected, sort_keys=True)
    if not answers:
        return Found("behavior.no-answer", "high", place, "No call with this example was answered.", identity)
    missed = sum(not meets(expected, answer) for answer in answers)
    if not missed:
        return None
    message = f"{missed} of {len(answers)} answers do not keep what is expected: {in_words(expected)}."
    is_rule = 2 * missed >= len(answers)
    return Found("behavior.missed" if is_rule else "behavior.sometimes", "high" if is_rule else "medium", place, message, identity)  # fmt: skip


def meets(expected: Mapping[str, Any], answer: str) -> bool:
    """Tell whether one answer keeps one expectation; for its cost, the cost is given in its place."""
    kind, value = expected["kind"], expected["value"]
    if kind == "contains":
        return str(value).casefold() in answer.casefold()
    if kind == "matches":
        return re.search(value, answer) is not None
    if kind == "max_length":
        return len(answer) <= int(value)
    if kind == "max_cost":
        return Decimal(answer) <= Decimal(value)
    if kind == "json_field":
        return _has_field(value["path"], value["equals"], answer)
    return _is_json_of(value, answer)


def in_words(expected: Mapping[str, Any]) -> str:
    kind, value = expected["kind"], expected["value"]
    if kind == "json_field":
        return f"{value['path']} equals {json.dumps(value['equals'], ensure_ascii=False)}"
    return {
        "max_cost": f"costs at most {value}",
        "contains": f"contains “{value}”",
        "matches": f"matches {value}",
        "max_length": f"at most {value} characters",
        "json": "JSON of the given schema",
    }[kind]


def _has_field(path: str, wanted: Any, answer: str) -> bool:
    try:
        found = json.loads(answer)
        for name, index in FIELD_STEP.findall(path):
            found = found[int(index)] if index else found[name]
    except (ValueError, KeyError, IndexError, TypeError, RecursionError):
        return False
    # True equals 1 in Python; in JSON it does not.
    return json.dumps(found, sort_keys=True) == json.dumps(wanted, sort_keys=True)


def _is_json_of(schema: Any, answer: str) -> bool:
    try:
        # With a registry of its own it fetches nothing from elsewhere.
        validator = Draft202012Validator(schema, registry=Registry())
        return bool(validator.is_valid(json.loads(answer)))
    except (ValueError, SchemaError, Unresolvable, RecursionError):
        return False
