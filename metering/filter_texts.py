"""Several values in one parameter: ``app=where2eat,fx``. A comma of a value itself is written ``\\,``."""

import re
from collections.abc import Iterable

_PLAIN = re.compile(r"(?:[^,\\]|\\.)+", re.DOTALL)


def split(text: str) -> tuple[str, ...]:
    """Read the values of a text, each once, without empty ones and the space around them."""
    values = (_unescaped(part).strip() for part in _PLAIN.findall(text))
    return tuple(dict.fromkeys(value for value in values if value))


def join(values: Iterable[str]) -> str:
    """Write values as ``split`` reads them."""
    return ",".join(value.replace("\\", "\\\\").replace(",", "\\,") for value in values)


def _unescaped(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text, flags=re.DOTALL)
