"""What people type to agree: a spending limit of their own, how many calls they expect, a reason."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from django import forms

from billing.credit_asks import read_minor
from billing.forms import MOST_CALLS
from billing.models import SpendCap
from billing.progressive import MOST_MINOR, MOST_THRESHOLDS
from billing.spend_caps import CapTerms
from billing.subscription_money import NOW, PERIOD_END
from marketplace.catalog.lifecycle_models import Trial
from marketplace.core.errors import InvalidInput
from marketplace.core.money import minor_exponent, round_minor

TIMES = [(NOW, "Now"), (PERIOD_END, "When the month ends")]


class CallsForm(forms.Form):
    """How often somebody expects to call, and for which team."""

    calls = forms.IntegerField(min_value=1, max_value=MOST_CALLS, required=False, label="Calls a month")


class AgreeForm(forms.Form):
    """The amounts on the page, sent back by whoever agrees to them, and when the step is taken."""

    agreed = forms.CharField(widget=forms.HiddenInput, max_length=64)
    when = forms.ChoiceField(choices=TIMES, required=False, widget=forms.HiddenInput)


class CapForm(forms.Form):
    """How much a subscription may cost a month."""

    cap = forms.DecimalField(
        required=False,
        min_value=Decimal(0),
        max_digits=19,
        label="Spend cap a month",
        help_text="At price, fees included, before tax. Leave it empty for none.",
    )
    cap_mode = forms.ChoiceField(
        choices=SpendCap.Mode.choices,
        initial=SpendCap.Mode.HARD,
        required=False,
        label="When it is reached",
        widget=forms.RadioSelect,
    )

    def __init__(self, data: Mapping[str, Any] | None = None, *, currency: str, **kwargs: Any) -> None:
        super().__init__(data, **kwargs)
        self.currency = currency

    def clean_cap(self) -> Decimal | None:
        """Refuse more decimals than the currency has."""
        cap: Decimal | None = self.cleaned_data["cap"]
        decimals = minor_exponent(self.currency)
        if cap is not None and cap != cap.quantize(Decimal(1).scaleb(-decimals)):
            raise forms.ValidationError(f"{self.currency} has {decimals} decimals.")
        return cap

    def terms(self) -> CapTerms | None:
        """Return the cap that was typed."""
        cap = self.cleaned_data["cap"]
        if cap is None:
            return None
        mode = self.cleaned_data["cap_mode"] or SpendCap.Mode.HARD
        return CapTerms(round_minor(cap, self.currency), mode)


class ConfirmForm(CapForm, AgreeForm):
    """A subscription to confirm, with a limit of what it may cost a month."""


class PauseForm(forms.Form):
    """Why a subscription pauses, for the record."""

    reason = forms.CharField(required=False, max_length=500, widget=forms.Textarea(attrs={"rows": 2}))


class TrialForm(forms.Form):
    """What comes when a trial ends."""

    then = forms.ChoiceField(choices=Trial.Then.choices, widget=forms.RadioSelect, label="When it ends")


class AskForm(AgreeForm):
    """A subscription that needs approval, with a word for whoever decides."""

    note = forms.CharField(
        required=False,
        max_length=500,
        label="What is it for?",
        help_text="Whoever decides reads this.",
        widget=forms.Textarea(attrs={"rows": 2}),
    )


class DecideForm(forms.Form):
    """A decision on a request; who says no says why."""

    decision = forms.ChoiceField(
        choices=[("approve", "Approve"), ("deny", "Deny"), ("withdraw", "Take back")]
    )
    reason = forms.CharField(required=False, max_length=500, widget=forms.Textarea(attrs={"rows": 2}))

    def clean(self) -> dict[str, Any]:
        if self.cleaned_data.get("decision") == "deny" and not self.cleaned_data.get("reason", "").strip():
            self.add_error("reason", "Say why, so that it can be asked for better.")
        return self.cleaned_data


class RuleForm(forms.Form):
    """From which amount on subscriptions to an app, or to any, need approval; nothing ends the rule."""

    app = forms.SlugField(
        required=False, max_length=60, help_text="Its short name; leave it empty for any app."
    )
    from_amount = forms.DecimalField(
        required=False,
        min_value=Decimal(0),
        max_digits=19,
        decimal_places=6,
        label="From this amount a month",
        help_text="0 for every subscription. Leave it empty to end the rule.",
    )


class CancelForm(AgreeForm):
    """The app's short name typed out, so that nobody cancels by accident, and a reason for the record."""

    confirm = forms.CharField(
        label="Type the app's short name", widget=forms.TextInput(attrs={"autocomplete": "off"})
    )
    reason = forms.CharField(required=False, max_length=500, widget=forms.Textarea(attrs={"rows": 2}))

    def __init__(self, data: Mapping[str, Any] | None = None, *, slug: str, **kwargs: Any) -> None:
        super().__init__(data, **kwargs)
        self.slug = slug
        self.fields["agreed"].required = False
        self.fields["confirm"].help_text = f"It is {slug}."

    def clean_confirm(self) -> str:
        typed: str = self.cleaned_data["confirm"].strip()
        if typed != self.slug:
            raise forms.ValidationError(f"Type {self.slug} to cancel.")
        return typed


class ThresholdsForm(forms.Form):
    """Amounts at which a subscription is billed before the month's end, each on a line of its own."""

    amounts = forms.CharField(
        required=False,
        max_length=400,
        label="Amounts, one a line",
        widget=forms.Textarea(attrs={"rows": 4}),
    )

    def __init__(self, data: Mapping[str, Any] | None = None, *, currency: str, **kwargs: Any) -> None:
        super().__init__(data, **kwargs)
        self.currency = currency

    def clean_amounts(self) -> list[int]:
        """Read every line as an amount of the currency."""
        texts = self.cleaned_data["amounts"].split()
        try:
            amounts = [read_minor(text, field="amounts", currency=self.currency) for text in texts]
        except InvalidInput as error:
            raise forms.ValidationError(error.errors[0].message) from None
        if any(not 0 < one <= MOST_MINOR for one in amounts) or len(set(amounts)) > MOST_THRESHOLDS:
            raise forms.ValidationError(f"At most {MOST_THRESHOLDS} amounts, each above zero.")
        return amounts
