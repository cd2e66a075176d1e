"""Whether an app answers as its maker expects: what stands in an answer, its shape, its length."""

import json
from collections.abc import Mapping
from typing import Any

from marketplace.catalog.expectations import SLOW, in_words, why_missed_within
from marketplace.catalog.scans.findings import Found, Report, sorted_findings
from marketplace.catalog.scans.subject import Subject


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
    missed = _missed(expected, answers)
    if not missed:
        return None
    message = f"{len(missed)} of {len(answers)} answers do not keep what is expected: {in_words(expected)}. {missed[0]}"
    is_rule = 2 * len(missed) >= len(answers)
    return Found("behavior.missed" if is_rule else "behavior.sometimes", "high" if is_rule else "medium", place, message, identity)  # fmt: skip


def _missed(expected: Mapping[str, Any], answers: list[str]) -> list[str]:
    """Say why answers miss it; what is slow once is not tried on the others, or all of them could use up the time."""
    missed = []
    for answer in answers:
        why = why_missed_within(expected, answer)
        if why == SLOW:
            return [SLOW] * len(answers)
        missed += [why] if why else []
    return missed
