"""What a scanner says: findings with a fingerprint that stays, and the state that follows from them. Pure."""

import hashlib
import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, get_args

from marketplace.catalog.judging import COULD_NOT_CHECK, FAILED, PASSED, WARNED

Severity = Literal["info", "low", "medium", "high", "critical"]
SEVERITIES: tuple[Severity, ...] = get_args(Severity)
MAX_FINDINGS = 200
MAX_TEXT = 500
MAX_PLACE = 200
_STATE_OF: dict[str, str] = {"medium": WARNED, "high": FAILED, "critical": FAILED}


@dataclass(frozen=True)
class Found:
    """One thing a scanner found. ``identity`` is what it is recognized by in the next version; never shown.

    ``place`` is a field or a file; a line may move without the finding being another one.
    """

    rule: str
    severity: str
    place: str
    message: str
    identity: str = ""
    line: int | None = None

    @property
    def where(self) -> str:
        return self.place if self.line is None else f"{self.place}:{self.line}"


@dataclass(frozen=True)
class Report:
    """All that one check found, the tools that looked, and facts to show beside it."""

    findings: tuple[Found, ...] = ()
    tool: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def report_from_json(data: Mapping[str, Any]) -> Report:
    """Read back what ``as_json`` wrote."""
    return Report(tuple(Found(**one) for one in data["findings"]), data["tool"], data["facts"])


def fingerprints(check: str, findings: Sequence[Found]) -> list[str]:
    """Give each finding its fingerprint: check, rule, place and identity, whatever the line or the order of others.

    The same thing twice in one place is told apart by which of them it is.
    """
    seen: Counter[tuple[str, str, str]] = Counter()
    result = []
    for one in findings:
        key = (one.rule, one.place, _squeezed(one.identity))
        # Length before text, so that no two ways to cut the same letters meet.
        parts = [check, *key, str(seen[key])]
        result.append(hashlib.sha256("".join(f"{len(p)}:{p}" for p in parts).encode()).hexdigest())
        seen[key] += 1
    return result


def state_of(severities: Iterable[str]) -> str:
    """Return the state of a check that found these: high and critical fail, medium warns."""
    states = {_STATE_OF.get(severity, PASSED) for severity in severities}
    return next((state for state in (FAILED, WARNED) if state in states), PASSED)


def effective_state(state: str, findings: Sequence[tuple[str, str]], *, waived: Collection[str]) -> str:
    """Return the state of an ended check without what is waived; findings are (fingerprint, severity).

    What could not be checked stays so: there is nothing that could be waived.
    """
    if state in (FAILED, WARNED):
        return state_of(severity for fingerprint, severity in findings if fingerprint not in waived)
    return state


def sorted_findings(findings: Iterable[Found]) -> tuple[Found, ...]:
    """Put the worst first, and keep as many as anybody reads."""
    ranked = sorted(findings, key=lambda one: (-SEVERITIES.index(one.severity), one.place, one.line or 0))
    return tuple(ranked[:MAX_FINDINGS])


def _squeezed(text: str) -> str:
    """Drop differences in white space: a line that was only indented anew is the same."""
    return re.sub(r"\s+", " ", text).strip()


__all__ = [
    "COULD_NOT_CHECK",
    "FAILED",
    "PASSED",
    "WARNED",
    "Found",
    "Report",
    "effective_state",
    "fingerprints",
]
