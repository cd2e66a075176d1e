"""What operators type to rate usage anew."""

from collections.abc import Mapping
from datetime import UTC
from decimal import Decimal
from typing import Any

from django import forms

from metering.models import RateCard, Rerating
from metering.proposals import GREATEST, TOKEN_PRICES
from metering.rate_cards.forms import DAY_AND_TIME, DecisionForm
from metering.rate_cards.pages import LABELS
from metering.reratings.proposing import LONGEST_TEXT

__all__ = ["DecisionForm", "ReratingForm"]


def _moment(label: str, help_text: str) -> forms.DateTimeField:
    return forms.DateTimeField(
        label=label,
        input_formats=[DAY_AND_TIME, "%Y-%m-%d %H:%M", "%Y-%m-%d"],
        widget=forms.DateTimeInput({"type": "datetime-local"}, DAY_AND_TIME),
        help_text=help_text,
    )


class ReratingForm(forms.Form):
    """Usage to rate anew, and the right prices: typed, or those of a rate card."""

    subject = forms.CharField(max_length=80)
    starts_at = _moment("From (UTC)", "Usage of this moment is rated anew.")
    ends_at = _moment("Until (UTC)", "Usage of this moment is not.")
    rate_card = forms.ModelChoiceField(
        RateCard.objects.none(),
        label="Prices of a rate card",
        required=False,
        empty_label="Those below",
        help_text="The one that should have applied.",
    )
    reason = forms.CharField(
        label="Why",
        max_length=LONGEST_TEXT,
        widget=forms.Textarea({"rows": 3}),
        help_text="Whoever decides reads it; it stands beside every event that changes.",
    )

    def __init__(self, data: Mapping[str, Any] | None = None, *, kind: str, subject: str = "") -> None:
        self.kind = kind
        super().__init__(data, initial={"subject": subject})
        is_of_tokens = kind == Rerating.Kind.MODEL
        self.price_names = TOKEN_PRICES if is_of_tokens else ("price_per_hour",)
        for name in self.price_names:
            self.fields[name] = forms.DecimalField(
                label=LABELS[name],
                min_value=Decimal(0),
                max_value=GREATEST,
                max_digits=27,
                decimal_places=18,
                required=not is_of_tokens,
            )
        self.fields["subject"].label = "Model" if is_of_tokens else "Instance type"
        if is_of_tokens:
            cards = RateCard.objects.select_related("model").order_by("model__name", "-starts_at")
            self.fields["rate_card"].queryset = cards  # type: ignore[attr-defined]
        else:
            del self.fields["rate_card"]

    @property
    def price_fields(self) -> list[forms.BoundField]:
        return [self[name] for name in self.price_names]

    def rerating(self, *, currency: str) -> Rerating:
        """Build what the form says, unsaved; ``currency`` is that of the platform."""
        typed = self.cleaned_data
        return Rerating(
            kind=self.kind,
            subject=typed["subject"],
            starts_at=typed["starts_at"].astimezone(UTC),
            ends_at=typed["ends_at"].astimezone(UTC),
            currency=currency,
            rate_card=typed.get("rate_card"),
            reason=typed["reason"],
            **{name: typed[name] for name in self.price_names},
        )
