"""What people type about budgets: how much, at how many percent people are told, what is moved to whom."""

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from django import forms

from marketplace.core.errors import Conflict, InvalidInput
from quotas.budget_models import Budget
from quotas.budgets import owner_of_budget
from quotas.limits import GREATEST

MODE_CHOICES = [
    ("hard", "Hard: calls beyond it are refused"),
    ("soft", "Soft: calls go on, and people are told"),
]


class FilterForm(forms.Form):
    """Which budgets the list shows."""

    kind = forms.ChoiceField(
        required=False,
        label="Of",
        choices=[("", "Everybody"), ("cost_center", "Cost centers"), ("team", "Teams")],
    )
    mode = forms.ChoiceField(
        required=False, label="Mode", choices=[("", "Hard and soft"), ("hard", "Hard"), ("soft", "Soft")]
    )

    def lookups(self) -> dict[str, Any]:
        """Return the filter as lookups on budgets; what is not understood filters nothing."""
        self.is_valid()
        typed = self.cleaned_data
        return {f"{typed['kind']}__isnull": False} if typed.get("kind") else {}

    @property
    def chosen_mode(self) -> str:
        self.is_valid()
        mode: str = self.cleaned_data.get("mode", "")
        return mode


def percentages(text: str) -> list[int]:
    """Read "50, 80, 95" or "50 80 95 %". Raises ValidationError."""
    parts = text.replace("%", " ").replace(",", " ").split()
    if not all(part.isascii() and part.isdigit() and len(part) <= 3 for part in parts):
        raise forms.ValidationError("Whole percentages from 1 to 100, such as 50, 80, 95, 100.")
    return [int(part) for part in parts]


class ThresholdsForm(forms.Form):
    """At how many percent people are told."""

    thresholds = forms.CharField(
        label="Tell at",
        required=False,
        max_length=60,
        help_text="Percent of the budget, such as 50, 80, 95, 100. Empty: nobody is told.",
    )

    def clean_thresholds(self) -> list[int]:
        return percentages(self.cleaned_data["thresholds"])


class BudgetForm(ThresholdsForm):
    """How much a cost center or team may spend a month."""

    of = forms.ChoiceField(
        label="Of whom", help_text="One budget each; a new amount takes the place of the old one."
    )
    amount = forms.DecimalField(
        label="A month", min_value=Decimal(0), max_value=GREATEST, max_digits=38, decimal_places=18
    )
    mode = forms.ChoiceField(label="What it does", choices=MODE_CHOICES)
    begins = forms.ChoiceField(label="Begins")
    reason = forms.CharField(label="Why", max_length=200, help_text="Stands in the history of the budget.")

    field_order = ("of", "amount", "mode", "begins", "thresholds", "reason")

    def __init__(
        self,
        data: Mapping[str, Any] | None = None,
        *,
        owners: list[tuple[str, str]],
        months: list[tuple[str, str]],
        initial: Mapping[str, Any],
    ) -> None:
        super().__init__(data, initial=dict(initial))
        self.fields["of"].choices = owners  # type: ignore[attr-defined]
        self.fields["begins"].choices = [("", "now"), *months]  # type: ignore[attr-defined]
        self.fields["begins"].required = False

    @property
    def owner(self) -> tuple[str, str]:
        kind, _, pk = self.cleaned_data["of"].partition(":")
        return kind, pk

    @property
    def starts_at(self) -> datetime | None:
        begins = self.cleaned_data["begins"]
        return datetime.strptime(f"{begins}-01", "%Y-%m-%d").replace(tzinfo=UTC) if begins else None


class MoveForm(forms.Form):
    """A part of a budget to offer to another one."""

    to = forms.ChoiceField(label="To")
    amount = forms.DecimalField(
        label="A month", min_value=Decimal(0), max_value=GREATEST, max_digits=38, decimal_places=18
    )
    reason = forms.CharField(
        label="Why", max_length=500, widget=forms.Textarea({"rows": 3}), help_text="Both owners read it."
    )

    def __init__(self, data: Mapping[str, Any] | None = None, *, takers: list[Budget]) -> None:
        super().__init__(data)
        self.takers = {str(one.pk): one for one in takers}
        choices = [
            (pk, f"{owner_of_budget(one).title} {owner_of_budget(one).label}")
            for pk, one in self.takers.items()
        ]
        self.fields["to"].choices = sorted(choices, key=lambda one: one[1])  # type: ignore[attr-defined]


class NoteForm(forms.Form):
    """What the person who decides has to say."""

    note = forms.CharField(label="Note", required=False, max_length=500)


class WatchForm(forms.Form):
    """An alert: of what, and at how many percent."""

    of = forms.CharField(max_length=60)
    percent = forms.IntegerField(label="At", min_value=1, max_value=100, initial=80)


def tell_refusal(form: forms.Form, error: InvalidInput | Conflict, *, names: dict[str, str]) -> None:
    """Put what the domain refuses at its field; ``names`` are fields that forms call otherwise."""
    if isinstance(error, Conflict):
        form.add_error(None, error.message)
        return
    for one in error.errors:
        field = names.get(one.field, one.field)
        form.add_error(field if field in form.fields else None, one.message)
