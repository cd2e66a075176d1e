"""What people type about wallets: credit that goes in, money that goes back, when they want to be told."""

from datetime import UTC, datetime, time, timedelta
from decimal import Decimal
from typing import Any

from django import forms

from billing.models import Wallet, WalletCredit
from billing.wallets import LONGEST_REFERENCE
from marketplace.accounts.models import CostCenter, Organization
from marketplace.core.money import from_minor, minor_exponent


def _amount(currency: str, **options: Any) -> forms.DecimalField:
    return forms.DecimalField(min_value=Decimal(0), decimal_places=minor_exponent(currency), **options)


class OpenForm(forms.Form):
    """Whose wallet, and in which currency."""

    organization = forms.ModelChoiceField(Organization.objects.order_by("name"), to_field_name="slug")
    cost_center = forms.ModelChoiceField(
        CostCenter.objects.select_related("organization").order_by("organization__name", "code"),
        required=False,
        label="Cost center",
        help_text="Leave it empty for the organization as a whole.",
    )
    currency = forms.RegexField(r"^[A-Z]{3}$", max_length=3, help_text="That of its bills, such as USD.")

    def clean(self) -> dict[str, Any]:
        center, organization = self.cleaned_data.get("cost_center"), self.cleaned_data.get("organization")
        if center is not None and organization is not None and center.organization_id != organization.pk:
            self.add_error("cost_center", "Belongs to another organization.")
        return self.cleaned_data


class CreditForm(forms.Form):
    """Credit that goes into a wallet."""

    kind = forms.ChoiceField(
        choices=[
            (WalletCredit.Kind.PAID, "Money that came in"),
            (WalletCredit.Kind.PROMOTIONAL, "Credit we give"),
        ],
        initial=WalletCredit.Kind.PAID,
        widget=forms.RadioSelect,
    )
    reference = forms.CharField(
        max_length=LONGEST_REFERENCE,
        help_text="As the bank names it, or why it is given. The same reference again adds nothing.",
    )
    expires_on = forms.DateField(
        required=False,
        label="Last day",
        help_text="What is left the day after is gone. Leave it empty for never.",
        widget=forms.DateInput(attrs={"type": "date"}),
    )

    def __init__(self, data: Any = None, *, currency: str) -> None:
        super().__init__(data, prefix="credit")
        self.fields["amount"] = _amount(currency, label="Amount")

    def expires_at(self) -> datetime | None:
        """Return the first instant after the last day, in UTC."""
        day = self.cleaned_data["expires_on"]
        return datetime.combine(day + timedelta(days=1), time(), tzinfo=UTC) if day else None


class RefundForm(forms.Form):
    """Money that goes back."""

    reference = forms.CharField(max_length=LONGEST_REFERENCE, help_text="As the bank names it.")

    def __init__(self, data: Any = None, *, currency: str) -> None:
        super().__init__(data, prefix="refund")
        self.fields["amount"] = _amount(currency, label="Amount")


class LowBalanceForm(forms.Form):
    """Below which balance people are told."""

    def __init__(self, data: Any = None, *, wallet: Wallet) -> None:
        super().__init__(data, prefix="low")
        below = wallet.low_balance_minor
        self.fields["below"] = _amount(
            wallet.currency,
            required=False,
            label="Tell us below",
            help_text="Leave it empty for never.",
            initial=None if below is None else from_minor(below, wallet.currency),
        )
