"""What owners choose about saving calls."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from django import forms

from marketplace.gateway.caching.changing import SavingFacts
from marketplace.gateway.saving_models import CallSaving

MINUTES = (5, 10, 15, 20, 30)


class SavingForm(forms.Form):
    """How calls of an app are saved."""

    ttl_s = forms.TypedChoiceField(
        label="Keep answers",
        required=False,
        coerce=int,
        empty_value=None,
        choices=[("", "Do not keep any"), *((minutes * 60, f"for {minutes} minutes") for minutes in MINUTES)],
        help_text="The same question of the same organization gets the same answer, without a call of the model.",
    )
    any_temperature = forms.BooleanField(
        label="Also answers at a temperature above 0",
        required=False,
        help_text="They would differ each time; whoever asks again gets the first one.",
    )
    compares = forms.BooleanField(
        label="Also answer similar questions, once that is proved right",
        required=False,
        help_text="First they are only measured: every question is still bought, and both answers are compared.",
    )
    similar_threshold = forms.DecimalField(
        label="How alike two questions must be",
        initial=Decimal("0.950"),
        min_value=Decimal("0.8"),
        max_value=Decimal(1),
        max_digits=4,
        decimal_places=3,
        help_text="1 is the same words. A lower value measures anew.",
    )
    is_batchable = forms.BooleanField(
        label="Pack several inputs into one call",
        required=False,
        help_text="Runs that come at once share the instructions. An answer that cannot be taken apart is bought singly.",
    )

    def __init__(self, data: Mapping[str, Any] | None = None, *, saving: CallSaving | None = None) -> None:
        super().__init__(data, initial=_initial(saving))

    def facts(self) -> SavingFacts:
        """Return what was chosen."""
        return SavingFacts(**self.cleaned_data)


def _initial(saving: CallSaving | None) -> dict[str, Any]:
    if saving is None:
        return {}
    return {
        "ttl_s": saving.ttl_s or "",
        "any_temperature": saving.any_temperature,
        "compares": saving.similar != CallSaving.Similar.OFF,
        "similar_threshold": saving.similar_threshold,
        "is_batchable": saving.is_batchable,
    }
