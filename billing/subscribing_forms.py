"""What people type to agree: a spending limit of their own, how many calls they expect, a reason."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from django import forms

from billing.forms import MOST_CALLS
from billing.subscribing import SpendingLimit

MODES = [("hard", "Refuse calls beyond it"), ("soft", "Let calls through, and tell us")]


class CallsForm(forms.Form):
    """How often somebody expects to call, and for which team."""

    calls = forms.IntegerField(min_value=1, max_value=MOST_CALLS, required=False, label="Calls a month")


class AgreeForm(forms.Form):
    """The amounts on the page, sent back by whoever agrees to them."""

    agreed = forms.CharField(widget=forms.HiddenInput, max_length=64)


class ConfirmForm(AgreeForm):
    """A subscription to confirm, with a limit of what it may cost a month."""

    spending_limit = forms.DecimalField(
        required=False,
        min_value=Decimal(0),
        max_digits=19,
        decimal_places=6,
        label="Spending limit a month",
        help_text="At cost, beside the limits of the plan. Leave it empty for none.",
    )
    spending_mode = forms.ChoiceField(
        choices=MODES, initial="hard", label="When it is reached", widget=forms.RadioSelect
    )

    def __init__(self, data: Mapping[str, Any] | None = None, *, currency: str, **kwargs: Any) -> None:
        super().__init__(data, **kwargs)
        self.currency = currency

    def spending(self) -> SpendingLimit | None:
        """Return the limit that was typed."""
        amount = self.cleaned_data["spending_limit"]
        if amount is None:
            return None
        return SpendingLimit(amount, self.cleaned_data["spending_mode"], self.currency)


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
