"""Places in a list of events as a word of an address."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import NamedTuple

import msgspec

from marketplace.core.errors import InvalidInput
from metering.event_walk import Place
from metering.usage_questions import FIRST_YEAR, LAST_YEAR


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
        found: Cursor | None = msgspec.json.decode(
            urlsafe_b64decode(text + "=" * (-len(text) % 4)), type=Cursor
        )
    except ValueError:
        found = None
    if found is None or not _is_possible(found.place):
        raise InvalidInput("cursor", "is not one that this list gave")
    return found


def _is_possible(place: Place) -> bool:
    """Tell whether a place can be that of an event, so that a damaged one does not reach the database."""
    at = place.occurred_at
    is_time = at.tzinfo is not None and FIRST_YEAR <= at.year < LAST_YEAR
    return is_time and "\0" not in place.event_id and 0 <= place.app_id < 2**63


def sides(cursor: Cursor | None) -> dict[str, Place]:
    """Return it as ``event_lists.page`` takes it."""
    if cursor is None:
        return {}
    return {"before" if cursor.is_to_older else "after": cursor.place}
