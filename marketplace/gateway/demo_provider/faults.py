"""Failures on demand; the package says which."""

import re
from dataclasses import dataclass

_KINDS = frozenset(
    {
        "429",
        "500",
        "503",
        "slow",
        "hang",
        "half-stream",
        "reset",
        "stall",
        "no-usage",
        "wrong-usage",
        "bad-json",
        "cached",
        "huge",
        "redirect",
    }
)
_MARKER = re.compile(rb"\[\[demo:([a-z0-9:.-]{1,60})\]\]")
_TEXT_MARKER = re.compile(r"\s*\[\[demo:[a-z0-9:.-]{1,60}\]\]")


@dataclass(frozen=True, slots=True)
class Fault:
    """What shall go wrong. ``number`` is the argument (milliseconds, seconds, events, tokens)."""

    kind: str = ""
    number: int | None = None
    is_once: bool = False


NO_FAULT = Fault()


def find_fault(*, header: str, body: bytes) -> Fault:
    """Read the fault asked for; the header wins. Raises ValueError when there is no such fault."""
    if header:
        return parse_fault(header)
    if b"[[demo:" not in body:
        return NO_FAULT
    marker = _MARKER.search(body)
    return parse_fault(marker.group(1).decode()) if marker else NO_FAULT


def parse_fault(text: str) -> Fault:
    """Read ``kind``, ``kind:number`` or ``once:`` before either."""
    is_once = text.startswith("once:")
    kind, _, argument = text.removeprefix("once:").partition(":")
    if kind not in _KINDS or (argument and not argument.isascii()) or (argument and not argument.isdigit()):
        raise ValueError(f"There is no demo fault {text!r}.")
    return Fault(kind=kind, number=int(argument) if argument else None, is_once=is_once)


def without_marker(text: str) -> str:
    """Take the marker out of a text, so that it does not turn up in the answer."""
    return _TEXT_MARKER.sub("", text) if "[[demo:" in text else text
