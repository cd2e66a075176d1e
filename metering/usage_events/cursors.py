"""Places in a list of events as a word of an address."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import NamedTuple

import msgspec

from marketplace.core.errors import InvalidInput
from metering.event_walk import Place


class Cursor(NamedTuple):
    """From where on somebody reads, and whether towards older events."""

    is_to_older: bool
    place: Place


def write(place: Place | None, *, is_to_older: bool) -> str:
    """Write a place; an empty text where there is none."""
    if place is None:
        return ""
    return urlsafe_b64encode(msgspec.json.encode(Cursor(is_to_older, place))).decode().rstrip("=")


def read(text: str) -> Cursor | None:
    """Read a place that ``write`` wrote. Raises InvalidInput."""
    if not text:
        return None
    try:
        found = msgspec.json.decode(urlsafe_b64decode(text + "=" * (-len(text) % 4)), type=Cursor)
        # What can stand in a column: a damaged cursor must not reach the database.
        if "\0" in found.place.event_id or not 0 <= found.place.app_id < 2**63:
            raise ValueError(text)
        found.place.occurred_at.astimezone()
        if found.place.occurred_at.tzinfo is None:
            raise ValueError(text)
    except (ValueError, OverflowError):
        raise InvalidInput("cursor", "is not one that this list gave") from None
    return found


def sides(cursor: Cursor | None) -> dict[str, Place]:
    """Return it as ``event_lists.page`` takes it."""
    if cursor is None:
        return {}
    return {"before" if cursor.is_to_older else "after": cursor.place}
