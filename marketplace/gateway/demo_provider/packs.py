"""Packed prompts: a task with a place for an input, several numbered inputs, an answer for each."""

import re
from collections.abc import Callable

import msgspec

_TASK = re.compile(r"<task>\n(.*?)\n</task>", re.DOTALL)
_INPUT = re.compile(r'<input number="(\d{1,4})">\n(.*?)\n</input>', re.DOTALL)
_PLACE = "[INPUT]"


def answer(text: str, one: Callable[[str], str]) -> str | None:
    """Answer each input as if it had been asked alone; None when this is no packed prompt.

    ``one`` answers a single prompt. What it answers as JSON stands in the answer as JSON.
    """
    task, inputs = _TASK.search(text), _INPUT.findall(text)
    if task is None or not inputs or _PLACE not in task.group(1):
        return None
    answers = [
        {"number": int(number), "answer": _value(one(task.group(1).replace(_PLACE, given, 1)))}
        for number, given in inputs
    ]
    return msgspec.json.encode({"answers": answers}).decode()


def _value(said: str) -> object:
    if not said.startswith(("{", "[")):
        return said
    try:
        return msgspec.json.decode(said)
    except msgspec.DecodeError:
        return said
