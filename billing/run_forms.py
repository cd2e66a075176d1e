"""What finance types about drafts, bills that are put aside, and the books."""

from datetime import date
from decimal import Decimal
from typing import Any
from uuid import uuid4

from django import forms

from billing.credit_asks import read_minor
from billing.ledger.chart import ACCOUNTS
from billing.ledger.fact_index import BY_KIND
from marketplace.accounts.models import Membership, User
from marketplace.core.errors import InvalidInput
from marketplace.core.money import minor_exponent

LONGEST_REASON = 500


class AddLineForm(forms.Form):
    """A line to be added to a draft, in major units of its currency."""

    description = forms.CharField(max_length=200, label="What the payer reads")
    amount = forms.DecimalField(help_text="Net; less than zero takes off.")
    reason = forms.CharField(max_length=LONGEST_REASON, label="Why", help_text="Kept in the audit trail.")
    key = forms.CharField(max_length=64, widget=forms.HiddenInput)

    def __init__(self, data: Any = None, *, currency: str) -> None:
        super().__init__(data, initial={"key": str(uuid4())})
        self.currency = currency
        self.fields["amount"] = forms.DecimalField(
            decimal_places=minor_exponent(currency),
            max_value=Decimal(10) ** 12,
            min_value=-(Decimal(10) ** 12),
            help_text="Net; less than zero takes off.",
        )

    def amount_minor(self) -> int:
        amount: Decimal = self.cleaned_data["amount"]
        minor = read_minor(abs(amount), field="amount", currency=self.currency)
        return minor if amount >= 0 else -minor

    def refuse(self, error: InvalidInput) -> None:
        """Show what the domain found wrong at the field that it is about."""
        for one in error.errors:
            self.add_error(one.field if one.field in self.fields else None, one.message)


class HoldForm(forms.Form):
    """Why a draft is held back."""

    reason = forms.CharField(max_length=LONGEST_REASON, label="Why is it held back?")


class HandOverForm(forms.Form):
    """Who looks after a bill that is put aside: somebody who does the platform's finance or runs it."""

    person = forms.ModelChoiceField(queryset=User.objects.none(), label="To")
    note = forms.CharField(required=False, max_length=LONGEST_REASON, label="What they should know")

    def __init__(self, data: Any = None) -> None:
        super().__init__(data)
        roles = (Membership.Role.FINANCE, Membership.Role.OPERATOR)
        people = User.objects.filter(
            memberships__organization__is_platform=True, memberships__role__in=roles, is_active=True
        )
        self.fields["person"] = forms.ModelChoiceField(people.distinct().order_by("email"), label="To")


class JournalFilter(forms.Form):
    """Which entries of the journal are shown."""

    period = forms.RegexField(r"^\d{4}-\d{2}$", required=False, label="Month")
    kind = forms.ChoiceField(
        required=False,
        label="Fact",
        choices=[("", "All"), *((kind, one.title) for kind, one in BY_KIND.items())],
    )
    account = forms.ChoiceField(
        required=False, label="Account", choices=[("", "All"), *((one.code, one.title) for one in ACCOUNTS)]
    )
    words = forms.CharField(required=False, max_length=100, label="Words of it")


class AsOfForm(forms.Form):
    """The last day that counts."""

    on = forms.DateField(
        required=False, label="As of the end of", widget=forms.DateInput(attrs={"type": "date"})
    )

    def day(self) -> date | None:
        return self.cleaned_data.get("on") if self.is_valid() else None
