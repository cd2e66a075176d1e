"""Addresses of questions to usage: of the page, of the events behind it, of the API and its files, and as they are kept."""

from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Any
from urllib.parse import urlencode

from django.http import QueryDict
from django.urls import reverse

from marketplace.core.errors import InvalidInput
from metering import filter_texts
from metering.dimensions import DIMENSIONS
from metering.forms import GROUPS, UsageForm

LONGEST = 1000
MOST_WORDS = 80
DAYS = frozenset({"days", "first", "last", "from", "to"})


def normalized(query: QueryDict, *, with_days: bool = True) -> str:
    """Write what the usage page understands of an address, always in the same order. Raises InvalidInput."""
    known = UsageForm.base_fields.keys() | {"from", "to"}
    names = sorted(name for name in known & query.keys() if _is_told(name, query[name]))
    pairs = [(name, query[name]) for name in names if with_days or name not in DAYS]
    text = urlencode(pairs)
    if len(text) > LONGEST:
        raise InvalidInput("query", f"is longer than {LONGEST} characters", limit=LONGEST)
    return text


def read(query: str, *, at: datetime, first: date | None = None, last: date | None = None) -> UsageForm:
    """Read a kept question, of the days given instead of its own. Raises InvalidInput."""
    asked = QueryDict(query, mutable=True)
    if first and last:
        for name in DAYS:
            asked.pop(name, None)
        asked["first"], asked["last"] = str(first), str(last)
    form = UsageForm(asked, now=at, options={})
    if not form.is_valid():
        found = [str(error) for errors in form.errors.values() for error in errors]
        raise InvalidInput("query", "; ".join(found))
    return form


def of_fixed_days(form: UsageForm) -> str:
    """Return the address of the usage page for a valid question, with its days written out."""
    asked = {name: value for name, value in form.data.items() if name not in DAYS}
    return explore(**asked, first=str(form.first_day), last=str(form.last_day))


def in_words(query: QueryDict) -> str:
    """Say what a question asks in up to 80 characters: "Usage by app: team-ops"."""
    group = GROUPS.get(query.get("group_by", "app"), "")
    by = f" by {group.lower()}" if group and query.get("group_by", "app") else ""
    values = [
        value for name in (*DIMENSIONS, "currency") for value in filter_texts.split(query.get(name, ""))
    ]
    # On one line: it becomes the subject of a mail.
    text = " ".join((f"Usage{by}" + (f": {', '.join(values)}" if values else "")).split())
    return text if len(text) <= MOST_WORDS else f"{text[: MOST_WORDS - 1]}…"


def explore(**asked: Any) -> str:
    """Return the address of the usage page for a question; a tuple is a filter of several values."""
    pairs = {name: _text(value) for name, value in asked.items() if _is_told(name, value)}
    return f"{reverse('metering:usage')}?{urlencode(pairs)}"


def events(*, from_at: datetime, to_at: datetime, filters: Mapping[str, tuple[str, ...]]) -> str:
    """Return the address of the events behind a number."""
    return f"{reverse('metering:events')}?{urlencode(_narrowed(from_at, to_at, filters))}"


def usage_of_events(*, from_at: datetime, to_at: datetime, filters: Mapping[str, tuple[str, ...]]) -> str:
    """Return the address of the usage page for what some events sum to."""
    return f"{reverse('metering:usage')}?{urlencode(_narrowed(from_at, to_at, filters))}"


def events_file(
    *, from_at: datetime, to_at: datetime, filters: Mapping[str, tuple[str, ...]], kind: str
) -> str:
    """Return the address of all events behind a number as a file of the API."""
    asked = _narrowed(from_at, to_at, filters) | {"format": kind}
    return f"{reverse('api:usage-events')}?{urlencode(asked)}"


def file(asked: Mapping[str, Any], *, kind: str) -> str:
    """Return the address of a question, as ``queries.usage`` takes it, in the API."""
    parameters = {
        **_narrowed(asked["from_at"], asked["to_at"], asked["filters"]),
        "granularity": asked["granularity"],
        "group_by": ",".join(asked["group_by"]),
        "compare": asked["compare"],
        "latency": "" if asked["granularity"] == "hour" else "percentiles",
        "format": kind,
    }
    given = {name: value for name, value in parameters.items() if value}
    return f"{reverse('api:usage-list')}?{urlencode(given)}"


def _narrowed(from_at: datetime, to_at: datetime, filters: Mapping[str, tuple[str, ...]]) -> dict[str, str]:
    texts = {name: filter_texts.join(values) for name, values in filters.items()}
    return {"from": _instant(from_at), "to": _instant(to_at), **texts}


def _text(value: Any) -> str:
    return filter_texts.join(value) if isinstance(value, tuple) else str(value)


def _instant(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def _is_told(name: str, value: Any) -> bool:
    """An empty grouping means none; without one, usage is grouped by app."""
    return bool(value) or name == "group_by"
