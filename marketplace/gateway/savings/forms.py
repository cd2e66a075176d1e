"""What somebody chooses of a saving report."""

from datetime import UTC, datetime, time, timedelta
from decimal import Decimal
from typing import Any

from django import forms
from django.db.models import QuerySet

from marketplace.catalog.models import App
from marketplace.gateway.savings.history import USUAL
from marketplace.gateway.savings.keeping import Asked

HOSTINGS = (("tokens", "Tokens, at the rate cards"), ("instances", "The time of instances of one's own"))
DAY = timedelta(days=1)


def _share(label: str, initial: str, help_text: str) -> forms.DecimalField:
    return forms.DecimalField(
        label=label,
        initial=Decimal(initial),
        min_value=0,
        max_value=100,
        decimal_places=1,
        help_text=help_text,
    )


class SavingForm(forms.Form):
    """An app, a time, and what is assumed."""

    app = forms.ModelChoiceField(label="App", queryset=App.objects.none(), empty_label="Choose an app")
    from_date = forms.DateField(
        label="From", widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d")
    )
    to_date = forms.DateField(
        label="To, included", widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d")
    )
    hosting = forms.ChoiceField(label="What is paid", choices=HOSTINGS, initial="tokens")
    kept = _share("Right answers kept", "95", "Percent of the dearer model's, at least.")
    repeats = _share("Calls that repeat", "1", "Percent; real chat traffic repeats about 1 %.")
    batchable = _share("Calls that may wait", "20", "Percent.")

    def __init__(self, data: Any, *, apps: QuerySet[App], at: datetime) -> None:
        super().__init__(data, initial={"from_date": (at - USUAL).date(), "to_date": (at - DAY).date()})
        field = self.fields["app"]
        assert isinstance(field, forms.ModelChoiceField)
        field.queryset = apps.order_by("name")

    def asked(self) -> Asked:
        """Return what was chosen; days are those of UTC."""
        typed = self.cleaned_data
        return Asked(
            from_at=datetime.combine(typed["from_date"], time(), UTC),
            to_at=datetime.combine(typed["to_date"] + DAY, time(), UTC),
            hosting=typed["hosting"],
            kept_permille=int(typed["kept"] * 10),
            repeat_permille=int(typed["repeats"] * 10),
            batchable_permille=int(typed["batchable"] * 10),
        )
