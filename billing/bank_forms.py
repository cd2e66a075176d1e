"""What finance types to read a bank statement in, and to assign its lines."""

from typing import Any

from django import forms

from billing.bank_csv import Columns, Writing
from billing.bank_models import BankImport
from billing.customer_forms import CURRENCIES

DATE_FORMS = (
    ("%Y-%m-%d", "2026-11-30"),
    ("%d.%m.%Y", "30.11.2026"),
    ("%d/%m/%Y", "30/11/2026"),
    ("%m/%d/%Y", "11/30/2026"),
)
COLUMNS = ("date", "amount", "currency", "reference", "name", "text")


class StatementForm(forms.Form):
    """A file with its format; the rest is for CSV only."""

    file = forms.FileField(label="File", widget=forms.ClearableFileInput(attrs={"accept": ".csv,.xml,.txt"}))
    form = forms.ChoiceField(choices=BankImport.Format.choices, label="Format")
    account = forms.CharField(
        required=False, max_length=34, label="Account", help_text="IBAN or number; for CSV."
    )
    date_form = forms.ChoiceField(choices=DATE_FORMS, label="Days look like")
    has_decimal_comma = forms.BooleanField(required=False, label="Decimals after a comma")
    usual_currency = forms.ChoiceField(choices=CURRENCIES, label="Currency, where no column names it")

    def __init__(self, data: Any = None, files: Any = None, *, currency: str) -> None:
        super().__init__(data, files, initial={"usual_currency": currency})
        usual = Columns()
        for name in COLUMNS:
            self.fields[f"column_{name}"] = forms.CharField(
                required=name in ("date", "amount"),
                max_length=80,
                initial=getattr(usual, name),
                label=f"Column of the {name}",
            )

    def column_fields(self) -> list[forms.BoundField]:
        return [self[f"column_{name}"] for name in COLUMNS]

    def columns(self) -> Columns:
        return Columns(**{name: self.cleaned_data[f"column_{name}"] for name in COLUMNS})

    def writing(self) -> Writing:
        typed = self.cleaned_data
        return Writing(typed["date_form"], typed["has_decimal_comma"], typed["usual_currency"])


class LineForm(forms.Form):
    """What becomes of a line: apply what is proposed, assign it, or dismiss it."""

    line = forms.UUIDField(widget=forms.HiddenInput)
    target = forms.CharField(required=False, max_length=120)
