"""What finance types about a customer: money on account, paying back, reminders that rest or are waived."""

from decimal import Decimal
from typing import Any

from django import forms

from billing.balances import LONGEST_REFERENCE
from billing.dunning_pauses import LONGEST_NOTE, MOST_DAYS
from marketplace.core.money import MINOR_EXPONENTS

CURRENCIES = [(code, code) for code in sorted(MINOR_EXPONENTS)]


class MoneyForm(forms.Form):
    """An amount of a currency with the bank's reference."""

    amount = forms.DecimalField(min_value=Decimal(0), max_digits=18)
    currency = forms.ChoiceField(choices=CURRENCIES)
    reference = forms.CharField(
        max_length=LONGEST_REFERENCE,
        help_text="As the bank names it. The same reference again is not counted twice.",
    )

    def __init__(self, data: Any = None, *, currency: str, prefix: str) -> None:
        super().__init__(data, initial={"currency": currency}, prefix=prefix)


class OnAccountForm(MoneyForm):
    """Money that came in without an invoice."""

    received_date = forms.DateField(label="Received on", widget=forms.DateInput(attrs={"type": "date"}))


class PayBackForm(MoneyForm):
    """Money of the balance that was paid back."""


class PauseForm(forms.Form):
    """Let reminders rest."""

    invoice = forms.ChoiceField(required=False, label="Of")
    days = forms.IntegerField(min_value=1, max_value=MOST_DAYS, initial=14, label="Days")
    note = forms.CharField(max_length=LONGEST_NOTE, label="Why")
    lifts_stop = forms.BooleanField(required=False, label="Calls go on meanwhile")

    def __init__(self, data: Any = None, *, numbers: list[str]) -> None:
        super().__init__(data)
        choices = [("", "All of this customer"), *((number, number) for number in numbers)]
        self.fields["invoice"] = forms.ChoiceField(required=False, label="Of", choices=choices)


class AnswerForm(forms.Form):
    """End a pause, or waive a charge, with a word about it."""

    target = forms.UUIDField(widget=forms.HiddenInput)
    answer = forms.CharField(required=False, max_length=LONGEST_NOTE)


class GroupForm(forms.Form):
    """Which customers it is reminded like."""

    name = forms.CharField(required=False, max_length=80, label="Group", help_text="Empty: none.")


class SayForm(forms.Form):
    """What a customer says about an invoice: a promise with its day, or what is wrong with it."""

    kind = forms.ChoiceField(choices=[("promise", "We will pay"), ("dispute", "Something is wrong")])
    until = forms.DateField(
        required=False,
        label="Paid by",
        widget=forms.DateInput(attrs={"type": "date"}),
        help_text="Only for a promise.",
    )
    note = forms.CharField(
        max_length=LONGEST_NOTE, widget=forms.Textarea(attrs={"rows": 3}), label="What finance should know"
    )
