"""What finance types when money came in."""

from decimal import Decimal
from typing import Any

from django import forms

from billing.settling import LONGEST_REFERENCE
from marketplace.core.money import from_minor, minor_exponent


class PaymentForm(forms.Form):
    """A payment; the amount begins with all that is due."""

    amount = forms.DecimalField(min_value=Decimal(0))
    reference = forms.CharField(
        max_length=LONGEST_REFERENCE,
        help_text="As the bank names it. The same reference again is not counted twice.",
    )
    received_date = forms.DateField(label="Received on", widget=forms.DateInput(attrs={"type": "date"}))

    forgives = forms.BooleanField(required=False, label="Paid in full: the rest is too small to ask for")

    def __init__(self, data: Any = None, *, due_minor: int, currency: str) -> None:
        super().__init__(data, initial={"amount": from_minor(max(due_minor, 0), currency)})
        self.fields["amount"] = forms.DecimalField(
            min_value=Decimal(0), decimal_places=minor_exponent(currency), label="Amount"
        )
