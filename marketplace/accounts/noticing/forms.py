"""What people choose about notices: which to list, how often which come by mail, and when."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from zoneinfo import available_timezones

from django import forms

from marketplace.accounts.mail_choices import Choice, When
from marketplace.core.notice_kinds import Cadence, Kind

WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
LONGEST_SEARCH = 100


class NoticeFilter(forms.Form):
    """Which notices to list; what cannot be understood narrows nothing."""

    q = forms.CharField(label="Words", required=False, max_length=LONGEST_SEARCH)
    kind = forms.ChoiceField(label="Kind", required=False, choices=[("", "Every kind"), *Kind.choices])
    state = forms.ChoiceField(
        label="State", required=False, choices=[("", "New and read"), ("new", "New"), ("read", "Read")]
    )

    def wanted(self) -> dict[str, Any]:
        """Return what was understood, as the arguments of ``queries.notices_of``."""
        self.is_valid()
        given = getattr(self, "cleaned_data", {})
        state = given.get("state", "")
        return {
            "kind": given.get("kind", ""),
            "is_read": {"new": False, "read": True}.get(state),
            "text": given.get("q", "").replace("\0", ""),
        }


@dataclass(frozen=True)
class ChoiceRow:
    """One kind with its field."""

    choice: Choice
    field: forms.BoundField
    default: str


class ChoicesForm(forms.Form):
    """How often each kind comes by mail, and when digests do."""

    time_zone = forms.ChoiceField(label="Time zone")
    hour = forms.TypedChoiceField(
        label="Digests come at", coerce=int, choices=[(hour, f"{hour:02}:00") for hour in range(24)]
    )
    weekday = forms.TypedChoiceField(label="Weekly ones on", coerce=int, choices=list(enumerate(WEEKDAYS)))

    def __init__(self, data: Mapping[str, Any] | None = None, *, choices: list[Choice], when: When) -> None:
        initial = {"time_zone": when.time_zone, "hour": when.hour, "weekday": when.weekday}
        super().__init__(data, initial=initial)
        self._choices = choices
        zones = sorted(zone for zone in available_timezones() if "/" in zone or zone == "UTC")
        self.fields["time_zone"].choices = [(zone, zone.replace("_", " ")) for zone in zones]  # type: ignore[attr-defined]
        for one in choices:
            self.fields[one.kind] = forms.ChoiceField(
                label=one.label, choices=Cadence.choices, initial=one.cadence
            )

    def rows(self) -> list[ChoiceRow]:
        """Give each kind with its field."""
        return [ChoiceRow(one, self[one.kind], Cadence(one.default).label) for one in self._choices]

    def cadences(self) -> dict[str, str]:
        """Return what was chosen for each kind."""
        return {one.kind: self.cleaned_data[one.kind] for one in self._choices}

    def when(self) -> When:
        """Return when digests are to come."""
        return When(**{name: self.cleaned_data[name] for name in ("time_zone", "hour", "weekday")})
