"""What finance types to begin a policy of reminders."""

from collections.abc import Iterator
from datetime import UTC, datetime, time
from decimal import Decimal
from typing import Any

from django import forms

from billing.credit_asks import read_minor
from billing.dunning_models import DunningGroup, DunningStep
from billing.dunning_policies import LONGEST_TEXT, MOST_DAYS, USUAL_STEPS, StepTerms
from marketplace.core.errors import InvalidInput
from marketplace.core.money import MINOR_EXPONENTS, minor_exponent

ROWS = 6
FIELDS = ("days_after_due", "tone", "fee", "interest_percent", "text")


class PolicyForm(forms.Form):
    """A policy with up to six steps; a row without days is no step."""

    starts_on = forms.DateField(
        label="Begins on",
        widget=forms.DateInput(attrs={"type": "date"}),
        help_text="For invoices that fall due from then on, UTC.",
    )
    legal_entity = forms.CharField(
        required=False, max_length=200, help_text="As printed on its invoices; empty: any."
    )
    group = forms.ModelChoiceField(
        DunningGroup.objects.order_by("name"), required=False, empty_label="Everybody"
    )
    currency = forms.ChoiceField(choices=[(code, code) for code in sorted(MINOR_EXPONENTS)], label="Fees in")
    spares_weekends = forms.BooleanField(required=False, initial=True, label="Never stop calls on a weekend")
    promise_days = forms.IntegerField(
        min_value=1,
        max_value=90,
        initial=14,
        label="Days",
        help_text="For which a customer may put reminders off.",
    )

    def __init__(self, data: Any = None, *, currency: str, at: datetime) -> None:
        super().__init__(data, initial={"currency": currency, "starts_on": at.date()})
        for row in range(ROWS):
            usual = USUAL_STEPS[row] if row < len(USUAL_STEPS) else None
            self.fields[f"days_after_due_{row}"] = forms.IntegerField(
                required=False,
                min_value=0,
                max_value=MOST_DAYS,
                initial=usual.days_after_due if usual else None,
                label=f"Days of step {row + 1}",
            )
            self.fields[f"tone_{row}"] = forms.ChoiceField(
                choices=DunningStep.Tone.choices,
                initial=usual.tone if usual else None,
                label=f"Tone of step {row + 1}",
            )
            self.fields[f"fee_{row}"] = forms.DecimalField(
                required=False, min_value=Decimal(0), max_digits=12, label=f"Fee of step {row + 1}"
            )
            self.fields[f"interest_percent_{row}"] = forms.DecimalField(
                required=False,
                min_value=Decimal(0),
                max_value=Decimal(100),
                max_digits=7,
                decimal_places=4,
                label=f"Interest of step {row + 1}",
            )
            self.fields[f"text_{row}"] = forms.CharField(
                required=False, max_length=LONGEST_TEXT, label=f"Words of step {row + 1}"
            )

    def rows(self) -> Iterator[list[forms.BoundField]]:
        """Give the fields of each step, for the page."""
        for row in range(ROWS):
            yield [self[f"{name}_{row}"] for name in FIELDS]

    def clean(self) -> dict[str, Any]:
        typed = super().clean() or {}
        decimals = minor_exponent(str(typed.get("currency", "USD")))
        for row in range(ROWS):
            fee = typed.get(f"fee_{row}")
            if fee is not None and fee != round(fee, decimals):
                self.add_error(f"fee_{row}", f"has at most {decimals} decimals")
        return typed

    def _rows_used(self) -> list[int]:
        return [row for row in range(ROWS) if self.cleaned_data[f"days_after_due_{row}"] is not None]

    def terms(self) -> dict[str, Any]:
        """Build what ``dunning_policies.introduce`` takes."""
        typed = self.cleaned_data
        return {
            "starts_at": datetime.combine(typed["starts_on"], time(), UTC),
            "legal_entity": typed["legal_entity"].strip(),
            "group": typed["group"],
            "currency": typed["currency"],
            "spares_weekends": typed["spares_weekends"],
            "promise_days": typed["promise_days"],
            "steps": [
                StepTerms(
                    typed[f"days_after_due_{row}"],
                    typed[f"tone_{row}"],
                    typed[f"text_{row}"],
                    read_minor(typed[f"fee_{row}"] or 0, field="fee", currency=typed["currency"]),
                    typed[f"interest_percent_{row}"] or Decimal(0),
                )
                for row in self._rows_used()
            ],
        }

    def refuse(self, error: InvalidInput) -> None:
        """Show what the domain found wrong at the step that it is about."""
        used = self._rows_used()
        for one in error.errors:
            place, _, field = one.field.removeprefix("steps[").partition("].")
            name = f"{field}_{used[int(place)]}" if field and place.isdigit() else ""
            self.add_error(name if name in self.fields else None, one.message)
