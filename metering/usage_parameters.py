"""What addresses of the management API ask of usage: from when to when, narrowed to what."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from django.http import QueryDict
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter

from marketplace.core.errors import InvalidInput
from marketplace.core.periods import parse_instant
from metering import filter_texts
from metering.dimensions import DIMENSIONS, NOTHING

USUAL_DAYS = 30
FILTERS = ("currency", *DIMENSIONS)


def parameter(name: str, description: str, **details: Any) -> OpenApiParameter:
    return OpenApiParameter(name, OpenApiTypes.STR, description=description, **details)


FILTER_PARAMETERS = [
    parameter("currency", "Only usage that cost this currency; needed when there are several."),
    *(
        parameter(
            one.name,
            f"Only this {one.title.lower()}; several, separated by commas or repeated, mean any of them"
            + (f"; {NOTHING}: what has none." if one.nothing else "."),
        )
        for one in DIMENSIONS.values()
    ),
]  # fmt: skip


def time_asked(query: QueryDict, *, now: datetime) -> tuple[datetime, datetime]:
    """Read ``from`` and ``to``; without them, the last thirty days. Raises InvalidInput by name."""
    to_at = parse_instant(query["to"], field="to") if query.get("to") else now
    from_at = parse_instant(query["from"], field="from") if query.get("from") else _usual_start(to_at)
    return from_at, to_at


def filters_asked(query: QueryDict) -> dict[str, tuple[str, ...]]:
    """Read the dimensions, and the currency, that usage is narrowed to, each to any of some values."""
    return {name: values for name in FILTERS if (values := _values(query, name))}


def refuse_unknown(query: Iterable[str], known: Sequence[str]) -> None:
    """Raise InvalidInput for other parameters: a misspelt filter that is ignored would answer a question that nobody
    asked."""
    for name in query:
        if name not in known:
            raise InvalidInput(
                name, f"is not a parameter; there are {', '.join(known)}", code="unknown_parameter"
            )


def _values(query: QueryDict, name: str) -> tuple[str, ...]:
    return tuple(value for text in query.getlist(name) for value in filter_texts.split(text))


def _usual_start(to_at: datetime) -> datetime:
    try:
        return (to_at - timedelta(days=USUAL_DAYS)).astimezone(UTC).replace(hour=0)
    except OverflowError:
        raise InvalidInput("to", "is before everything") from None
