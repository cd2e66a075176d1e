"""What people choose and type on the pages of payments."""

from typing import Any

from django import forms

from billing.models import PaymentMethod
from billing.payments.accounts import COUNTRIES
from billing.payments.disputes import LONGEST_EVIDENCE

ANOTHER = "another"


class PayForm(forms.Form):
    """How to pay: one of the ways that are known, or another one on the processor's page."""

    way = forms.ChoiceField(widget=forms.RadioSelect, label="Pay by")

    def __init__(self, data: Any = None, *, methods: list[PaymentMethod]) -> None:
        super().__init__(data)
        self._methods = {str(method.pk): method for method in methods}
        ways = self.fields["way"]
        assert isinstance(ways, forms.ChoiceField)
        ways.choices = [
            *((key, _shown(method)) for key, method in self._methods.items()),
            (ANOTHER, "Another card or account, on the payment processor's page"),
        ]
        chosen = next((key for key, method in self._methods.items() if method.is_default), ANOTHER)
        ways.initial = chosen

    def method(self) -> PaymentMethod | None:
        """Return the way that was chosen; None for another one."""
        return self._methods.get(self.cleaned_data["way"])


def _shown(method: PaymentMethod) -> str:
    until = f", until {method.expires_month:02}/{method.expires_year}" if method.expires_year else ""
    return f"{method}{until}"


class CountryForm(forms.Form):
    """Where the company of a team is."""

    country = forms.ChoiceField(
        choices=[(code, code) for code in COUNTRIES],
        initial="US",
        help_text="Where the company that gets the money is registered. It cannot be changed afterwards.",
    )


class EvidenceForm(forms.Form):
    """What the bank reads."""

    evidence = forms.CharField(
        widget=forms.Textarea(attrs={"rows": 10}),
        max_length=LONGEST_EVIDENCE,
        help_text="What was bought, that it was used, and by whom. It is sent once.",
    )
