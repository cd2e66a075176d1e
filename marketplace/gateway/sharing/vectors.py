"""Texts of several callers in one request for embeddings, and its answer taken apart again. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

_decoder = msgspec.json.Decoder(dict[str, Any])


def texts_of(fields: Mapping[str, Any]) -> list[str] | None:
    """Return the texts of a request; None for token arrays and anything else, which go by themselves."""
    given = fields.get("input")
    if isinstance(given, str):
        return [given]
    if isinstance(given, list) and given and all(isinstance(one, str) for one in given):
        return list(given)
    return None


def apart(body: bytes, counts: Sequence[int]) -> list[dict[str, Any]] | None:
    """Take an answer apart: so many vectors for each caller, numbered from 0; None unless there is one for each text."""
    try:
        whole = _decoder.decode(body)
        data = sorted(whole["data"], key=lambda one: one["index"])
        if [one["index"] for one in data] != list(range(sum(counts))):
            return None
    except (msgspec.DecodeError, KeyError, TypeError):
        return None
    found, start = [], 0
    for count in counts:
        own = [{**one, "index": number} for number, one in enumerate(data[start : start + count])]
        found.append({**whole, "data": own})
        start += count
    return found
