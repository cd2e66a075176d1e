"""What teams and finance type about payouts."""

from decimal import Decimal
from typing import Any

from django import forms
from django.utils import timezone

from billing.creators.plans import LONGEST_HOLD, Choice, Method
from billing.models import PayoutPlan
from marketplace.core.money import from_minor, minor_exponent, round_minor


class PlanForm(forms.Form):
    """How a team wants to be paid; teams inside of the house choose when, and nothing of a bank."""

    how = forms.ChoiceField(choices=[], label="How")
    holder = forms.CharField(max_length=70, required=False, label="Name on the account")
    iban = forms.CharField(max_length=42, required=False, label="IBAN")
    bic = forms.CharField(
        max_length=14, required=False, label="BIC", help_text="Only outside of the SEPA area."
    )
    schedule = forms.ChoiceField(choices=PayoutPlan.Schedule.choices, label="When")
    day = forms.IntegerField(min_value=1, max_value=28, help_text="1 to 28; of the week, 1 is Monday.")
    threshold = forms.DecimalField(
        min_value=Decimal(0), label="At least", help_text="Less waits for the next time."
    )
    hold_days = forms.IntegerField(
        min_value=0, max_value=LONGEST_HOLD, label="Days to wait", help_text="After money is released."
    )
    vat_id = forms.CharField(max_length=30, required=False, label="VAT number")
    address = forms.CharField(
        max_length=300,
        required=False,
        widget=forms.Textarea(attrs={"rows": 3}),
        help_text="For self-billed invoices.",
    )

    def __init__(self, data: Any = None, *, plan: PayoutPlan | None, choice: Choice, currency: str) -> None:
        self.currency = currency
        self.is_internal = choice.method == Method.INTERNAL
        now = {name: getattr(plan, name) for name in Choice.__dataclass_fields__} if plan else vars(choice)
        super().__init__(
            data,
            initial={**now, "how": now["method"], "threshold": from_minor(now["threshold_minor"], currency)},
        )
        internal = [one for one in Method.choices if (one[0] == Method.INTERNAL) == self.is_internal]
        self.fields["how"] = forms.ChoiceField(choices=internal, label="How")
        self.fields["threshold"] = forms.DecimalField(
            min_value=Decimal(0),
            decimal_places=minor_exponent(currency),
            label="At least",
            help_text="Less waits for the next time.",
        )

    def choice(self) -> Choice:
        """Give what was typed as the domain wants it."""
        typed = self.cleaned_data
        return Choice(
            method=typed["how"],
            schedule=typed["schedule"],
            day=typed["day"],
            threshold_minor=round_minor(typed["threshold"], self.currency),
            hold_days=typed["hold_days"],
            holder=typed["holder"],
            iban=typed["iban"],
            bic=typed["bic"],
            vat_id=typed["vat_id"],
            address=typed["address"],
        )


class PayoutForm(forms.Form):
    """What finance does with one payout."""

    what = forms.ChoiceField(
        choices=[(one, one) for one in ("approve", "hold", "release", "fail", "retry", "confirm")]
    )
    note = forms.CharField(max_length=500, required=False, label="Reason or reference")


class BankFileForm(forms.Form):
    """When the bank is to carry out a file of transfers."""

    execution_date = forms.DateField(
        label="Carried out on",
        widget=forms.DateInput(attrs={"type": "date"}),
        initial=lambda: timezone.now().date(),
    )
    currency = forms.CharField(max_length=3, min_length=3)
