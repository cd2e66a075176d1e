"""What finance types to make a coupon, and subscribers to redeem one."""

from datetime import UTC, datetime, time
from decimal import Decimal
from typing import Any

from django import forms

from billing.coupons import LONGEST_CODE, MOST_MONTHS, CouponTerms
from billing.models import Coupon
from marketplace.core.errors import HalfpennyError, InvalidInput
from marketplace.core.money import MINOR_EXPONENTS


def refuse(form: forms.Form, error: HalfpennyError, names: dict[str, str] | None = None) -> None:
    """Show what the domain found wrong at the field that it is about."""
    if not isinstance(error, InvalidInput):
        form.add_error(None, error.message)
        return
    for one in error.errors:
        name = (names or {}).get(one.field, one.field)
        form.add_error(
            name if name in form.fields else None, str(one) if name not in form.fields else one.message
        )


class CouponForm(forms.Form):
    """A new coupon: what it takes off, off what, for how long, and who may have it."""

    code = forms.CharField(max_length=LONGEST_CODE, min_length=3, help_text="Letters, digits, - and _.")
    title = forms.CharField(max_length=100, help_text="For finance: what it is for.")
    percent = forms.DecimalField(
        required=False,
        max_digits=7,
        decimal_places=4,
        help_text="10 is ten percent. Either this or an amount.",
    )
    amount = forms.DecimalField(required=False, max_digits=15, decimal_places=3)
    currency = forms.ChoiceField(
        required=False, choices=[("", "–"), *((code, code) for code in sorted(MINOR_EXPONENTS))]
    )
    scope = forms.ChoiceField(choices=Coupon.Scope.choices, initial="plan", label="Off what")
    charges = forms.CharField(
        required=False, help_text="With lines: which charges, such as fee calls. Empty: all of them."
    )
    duration = forms.ChoiceField(choices=Coupon.Duration.choices, label="For how long")
    months = forms.IntegerField(
        required=False, min_value=1, max_value=MOST_MONTHS, help_text="When it is for several months."
    )
    apps = forms.CharField(
        required=False, help_text="Names in addresses, such as where2eat. Empty: every app."
    )
    plans = forms.CharField(required=False, help_text="Such as where2eat/standard. Empty: every plan.")
    expires_on = forms.DateField(
        required=False, label="Expires on", help_text="From this day on nobody can redeem it.",
        widget=forms.DateInput(attrs={"type": "date"}),
    )  # fmt: skip
    most_redemptions = forms.IntegerField(required=False, min_value=1, label="Redeemed at most")

    def terms(self) -> CouponTerms:
        typed = self.cleaned_data
        expires_on = typed["expires_on"]
        return CouponTerms(
            code=typed["code"],
            title=typed["title"],
            scope=typed["scope"],
            percent=typed["percent"],
            amount=typed["amount"],
            currency=typed["currency"],
            duration=typed["duration"],
            months=typed["months"],
            charges=_words(typed["charges"]),
            apps=_words(typed["apps"]),
            plans=_words(typed["plans"]),
            expires_at=datetime.combine(expires_on, time(), tzinfo=UTC) if expires_on else None,
            most_redemptions=typed["most_redemptions"],
        )


class RedeemForm(forms.Form):
    """The code of a coupon."""

    code = forms.CharField(max_length=LONGEST_CODE, label="Coupon code")


class ReasonForm(forms.Form):
    """Why something is ended."""

    reason = forms.CharField(required=False, max_length=500)


def _words(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(text.replace(",", " ").split()))


def exact_decimal(**options: Any) -> forms.DecimalField:
    """A price with all its decimals, not below zero."""
    return forms.DecimalField(min_value=Decimal(0), max_digits=38, decimal_places=18, **options)
