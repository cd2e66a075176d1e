"""What addresses of the management API ask of usage: from when to when, narrowed to what."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

from marketplace.core.errors import InvalidInput
from marketplace.core.periods import parse_instant
from metering.dimensions import DIMENSIONS

USUAL_DAYS = 30


def time_asked(query: Mapping[str, str], *, now: datetime) -> tuple[datetime, datetime]:
    """Read ``from`` and ``to``; without them, the last thirty days. Raises InvalidInput by name."""
    to_at = parse_instant(query["to"], field="to") if query.get("to") else now
    from_at = parse_instant(query["from"], field="from") if query.get("from") else _usual_start(to_at)
    return from_at, to_at


def filters_asked(query: Mapping[str, str]) -> dict[str, str]:
    """Read the dimensions, and the currency, that usage is narrowed to."""
    return {name: query[name] for name in ("currency", *DIMENSIONS) if query.get(name)}


def refuse_unknown(query: Mapping[str, str], known: Sequence[str]) -> None:
    """Raise InvalidInput for other parameters: a misspelt filter that is ignored would answer a question that nobody
    asked."""
    for name in query:
        if name not in known:
            raise InvalidInput(
                name, f"is not a parameter; there are {', '.join(known)}", code="unknown_parameter"
            )


def _usual_start(to_at: datetime) -> datetime:
    try:
        return (to_at - timedelta(days=USUAL_DAYS)).astimezone(UTC).replace(hour=0)
    except OverflowError:
        raise InvalidInput("to", "is before everything") from None
