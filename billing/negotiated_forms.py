"""What finance types to agree a price with a subscriber, and to decide on one."""

import json
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

from django import forms

from billing.coupon_forms import exact_decimal
from billing.negotiated import LONGEST_REASON, Proposal
from marketplace.core.money import to_text

# The one number of a charge that is usually negotiated, by model; tiers are written out.
NUMBERS = {
    "flat": "amount",
    "per_unit": "unit_amount",
    "package": "package_amount",
    "percentage": "rate",
    "cost_plus": "markup",
    "included_credit": "amount",
}


class NegotiatedPriceForm(forms.Form):
    """Another number in a charge of the plan, or the whole charge written out."""

    charge = forms.ChoiceField(label="Charge of the plan")
    amount = exact_decimal(
        required=False,
        label="New price",
        help_text="A fee, a price a unit or package, percent, or a markup: 0.2 is cost + 20 %.",
    )
    written = forms.CharField(
        required=False,
        label="Or the whole charge",
        widget=forms.Textarea(attrs={"rows": 4, "class": "mono"}),
        help_text='As the pricing calculator reads it: {"model": "volume", "tiers": [{"up_to": null, "unit_amount": "0.01"}]}',
    )
    starts_on = forms.CharField(label="From month", widget=forms.DateInput(attrs={"type": "month"}))
    ends_on = forms.CharField(
        required=False,
        label="Until month",
        widget=forms.DateInput(attrs={"type": "month"}),
        help_text="The first month without it; empty: until it is ended.",
    )
    reason = forms.CharField(max_length=LONGEST_REASON, widget=forms.Textarea(attrs={"rows": 2}))

    def __init__(self, data: Any = None, *, charges: Sequence[Mapping[str, Any]], month: date) -> None:
        super().__init__(data, initial={"starts_on": f"{month:%Y-%m}"})
        self.charges = {str(one["code"]): one for one in charges}
        self.fields["charge"].choices = [  # type: ignore[attr-defined]
            (code, f"{code}: {one['model']}{_number_of(one)}") for code, one in self.charges.items()
        ]

    def clean_starts_on(self) -> date:
        return _month(self.cleaned_data["starts_on"])

    def clean_ends_on(self) -> date | None:
        typed = self.cleaned_data["ends_on"]
        return _month(typed) if typed else None

    def clean_written(self) -> dict[str, Any] | None:
        typed = self.cleaned_data["written"].strip()
        if not typed:
            return None
        try:
            found = json.loads(typed, parse_float=_refuse_float)
        except ValueError as error:
            raise forms.ValidationError(
                'is not JSON; numbers are written as texts, such as "0.01"'
            ) from error
        if not isinstance(found, dict):
            raise forms.ValidationError("must be one charge, in braces")
        return found

    def clean(self) -> dict[str, Any]:
        typed = super().clean() or {}
        charge = self.charges.get(typed.get("charge", ""))
        if charge and not typed.get("written") and "written" not in self.errors:
            if charge["model"] not in NUMBERS:
                self.add_error("written", "is needed: this charge has tiers")
            elif typed.get("amount") is None and "amount" not in self.errors:
                self.add_error("amount", "or the whole charge is needed")
        return typed

    def proposal(self) -> Proposal:
        typed = self.cleaned_data
        old = dict(self.charges[typed["charge"]])
        if typed["written"]:
            charge = {**typed["written"], "code": typed["charge"]}
        else:
            charge = {**old, NUMBERS[old["model"]]: to_text(typed["amount"])}
        return Proposal(charge, typed["starts_on"], typed["ends_on"], typed["reason"])


class PriceDecisionForm(forms.Form):
    """Approve, reject, take back or end; a rejection says why."""

    decision = forms.ChoiceField(choices=[(one, one) for one in ("approve", "reject", "withdraw", "end")])
    note = forms.CharField(required=False, max_length=LONGEST_REASON)


def _number_of(charge: Mapping[str, Any]) -> str:
    name = NUMBERS.get(str(charge["model"]))
    return f" {charge[name]}" if name and name in charge else ""


def _month(text: str) -> date:
    try:
        return date.fromisoformat(f"{text}-01")
    except ValueError as error:
        raise forms.ValidationError("must be a month such as 2026-11") from error


def _refuse_float(literal: str) -> None:
    raise ValueError(literal)
