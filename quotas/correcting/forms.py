"""What people type to correct an event."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from django import forms

from metering.corrected import QUANTITIES, Standing
from metering.corrections import LONGEST_REASON, MOST, Change

LABELS = {
    "requests": "Requests",
    "input_tokens": "Input tokens",
    "output_tokens": "Output tokens",
    "cached_input_tokens": "Cached input tokens",
    "cache_write_tokens": "Cache-write tokens",
    "reasoning_tokens": "Reasoning tokens",
    "duration_ms": "Duration",
}


class ReasonForm(forms.Form):
    """Why an event is corrected."""

    reason = forms.CharField(
        label="Why",
        max_length=LONGEST_REASON,
        widget=forms.Textarea({"rows": 3}),
        help_text="Goes to the audit trail, and stands beside the event.",
    )


class AmendForm(ReasonForm):
    """What an event should count as, filled in with what it counts as now.

    ``seen`` is how many corrections the event had when the form was shown: who fills it in knows no others.
    """

    seen = forms.IntegerField(widget=forms.HiddenInput, min_value=0)

    def __init__(self, data: Mapping[str, Any] | None = None, *, standing: Standing) -> None:
        self._standing = standing
        now = {name: getattr(standing.quantities, name) for name in QUANTITIES}
        if standing.provider_cost is not None:
            now["provider_cost"] = f"{standing.provider_cost.normalize():f}"
        super().__init__(data, initial=now | {"seen": standing.corrections})
        for name in QUANTITIES:
            self.fields[name] = forms.IntegerField(label=LABELS[name], min_value=0, max_value=MOST)
        if standing.provider_cost is not None:
            self.fields["provider_cost"] = forms.DecimalField(
                label="Charged by the provider", min_value=Decimal(0), max_digits=33, decimal_places=18
            )

    @property
    def quantity_fields(self) -> list[forms.BoundField]:
        return [self[name] for name in QUANTITIES]

    def clean_seen(self) -> int:
        seen: int = self.cleaned_data["seen"]
        if seen != self._standing.corrections:
            raise forms.ValidationError("Somebody corrected this event meanwhile. Load the page anew.")
        return seen

    def change(self) -> Change:
        """Return what was typed that is not so already."""
        typed, old = self.cleaned_data, self._standing
        told = typed.get("provider_cost")
        return Change(
            {name: typed[name] for name in QUANTITIES if typed[name] != getattr(old.quantities, name)},
            None if told == old.provider_cost else told,
        )
