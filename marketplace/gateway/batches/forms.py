"""What people choose and type about batches: which are shown, the rate, the cheap hours."""

from datetime import datetime
from typing import Any

from django import forms

from marketplace.core.errors import InvalidInput
from marketplace.gateway.batch_models import Batch, CheapHours
from marketplace.gateway.batches import cheap_hours
from metering.batch_rates import LONGEST_REASON


class BatchFilter(forms.Form):
    """Which batches a list shows."""

    state = forms.ChoiceField(
        required=False,
        label="State",
        choices=[("", "All states"), ("open", "Not ended"), *Batch.State.choices],
    )

    def lookups(self) -> dict[str, Any]:
        """Return the filter as lookups; what is not understood filters nothing."""
        self.is_valid()
        state = self.cleaned_data.get("state")
        if state == "open":
            return {"state__in": Batch.OPEN}
        return {"state": state} if state else {}


class RateForm(forms.Form):
    """A rate for batches."""

    off_percent = forms.DecimalField(
        label="Less than list prices", min_value=0, max_value=99, max_digits=4, decimal_places=2
    )
    starts_at = forms.DateTimeField(
        label="From",
        required=False,
        help_text="In UTC. Empty: now.",
        widget=forms.DateTimeInput(attrs={"type": "datetime-local"}),
    )
    reason = forms.CharField(label="Reason", max_length=LONGEST_REASON)


class WeekForm(forms.Form):
    """Cheap hours, a field for each weekday."""

    def __init__(self, data: Any = None) -> None:
        super().__init__(data)
        texts = cheap_hours.as_texts()
        for weekday, name in enumerate(CheapHours.WEEKDAYS):
            self.fields[f"day_{weekday}"] = forms.CharField(
                label=name,
                required=False,
                max_length=80,
                initial=texts[weekday],
                widget=forms.TextInput(attrs={"placeholder": "none"}),
            )

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        for name in list(self.fields):
            try:
                cleaned[name] = cheap_hours.parse(cleaned.get(name, ""), field=name)
            except InvalidInput as error:
                self.add_error(name, error.errors[0].message)
        return cleaned

    def week(self) -> dict[int, list[cheap_hours.Span]]:
        return {weekday: self.cleaned_data[f"day_{weekday}"] for weekday in range(len(CheapHours.WEEKDAYS))}


def starts_at(form: RateForm) -> datetime | None:
    """Return when a rate is to begin; None for now."""
    found: datetime | None = form.cleaned_data["starts_at"]
    return found
