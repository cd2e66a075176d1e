"""YARA rules of our own over texts and files: phrases that turn a model around, code that fetches and runs."""

from collections.abc import Iterator, Mapping
from functools import cache
from importlib.metadata import version
from pathlib import Path

import yara_x

from marketplace.catalog.scans.findings import Found

FOLDER = Path(__file__).parent
TIMEOUT_S = 20
MAX_EXCERPT = 120


def tool() -> str:
    return f"yara-x {version('yara-x')}"


def find(rules: str, texts: Mapping[str, str]) -> Iterator[Found]:
    """Give what the rules of a file (``injection``, ``code``) find; a rule's meta says severity and what it means."""
    scanner = yara_x.Scanner(_compiled(rules))
    scanner.set_timeout(TIMEOUT_S)
    for place, text in texts.items():
        data = text.encode("utf-8", "replace")
        for rule in scanner.scan(data).matching_rules:
            yield from _found(rule, place, data)


@cache
def _compiled(rules: str) -> yara_x.Rules:
    return yara_x.compile((FOLDER / f"{rules}.yar").read_text())


def _found(rule: yara_x.Rule, place: str, data: bytes) -> Iterator[Found]:
    meta = dict(rule.metadata)
    name = f"{rule.identifier.split('_', 1)[0]}.{rule.identifier.split('_', 1)[1].replace('_', '-')}"
    matches = [match for pattern in rule.patterns for match in pattern.matches]
    first = min(matches, key=lambda match: match.offset, default=None)
    if first is None:
        yield Found(name, meta["severity"], place, meta["says"])
        return
    words = data[first.offset : first.offset + first.length].decode("utf-8", "replace")
    line = data.count(b"\n", 0, first.offset) + 1
    yield Found(name, meta["severity"], place, f"{meta['says']}: “{words[:MAX_EXCERPT]}”", words, line)
