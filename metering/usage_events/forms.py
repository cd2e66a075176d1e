"""What the address of a list of events says: from when to when, narrowed to what; which event somebody looks for."""

from datetime import datetime
from typing import Any

from django import forms
from django.http import QueryDict

from marketplace.core.errors import InvalidInput
from marketplace.core.periods import parse_instant
from metering.forms import CHOSEN, UsageForm
from metering.usage_options import Options


class EventsForm(UsageForm):
    """The controls of a list of events: those of usage, and instants to the hour, as links to an hour have them."""

    group_by = None  # type: ignore[assignment]
    measure = None  # type: ignore[assignment]
    compare = None  # type: ignore[assignment]

    def __init__(self, query: QueryDict, *, now: datetime, options: Options) -> None:
        super().__init__(query, now=now, options=options)
        self.instants = _instants(query)

    @property
    def has_choices(self) -> bool:
        """Whether something is chosen from the lists."""
        return any(name in self.filters for name in CHOSEN)

    @property
    def tells_hours(self) -> bool:
        """Whether it asks for something else than full days."""
        return bool(self.instants) and any(at.hour for at in self.instants or ())

    def asked(self) -> dict[str, Any]:
        """Return what ``event_lists.select`` takes."""
        days = super().asked()
        if self.instants:
            days["from_at"], days["to_at"] = self.instants
        return {name: days[name] for name in ("from_at", "to_at", "filters")}


class FindForm(forms.Form):
    """An event that somebody knows the id of."""

    app = forms.SlugField(max_length=60)
    id = forms.CharField(max_length=128, strip=False)


def _instants(query: QueryDict) -> tuple[datetime, datetime] | None:
    """Read the instants of an address; one that is wrong is told by the days that it is taken for."""
    if not (query.get("from") and query.get("to")) or query.get("first") or query.get("last"):
        return None
    try:
        return parse_instant(query["from"], field="from"), parse_instant(query["to"], field="to")
    except InvalidInput:
        return None
