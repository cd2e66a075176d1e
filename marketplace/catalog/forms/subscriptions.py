"""What people choose when they subscribe or change a plan; what they then agree to is asked by billing."""

from typing import Any

from django import forms
from django.db.models import QuerySet

from marketplace.accounts.models import CostCenter, Team
from marketplace.catalog.models import Environment, Plan
from marketplace.catalog.subscriptions import BILLED

MOST_CALLS = 10_000_000_000


class SubscribeForm(forms.Form):
    """A plan, a team to use it, a cost center to book it on, and what for."""

    plan = forms.ModelChoiceField(
        Plan.objects.none(), to_field_name="code", empty_label=None, widget=forms.RadioSelect
    )
    team = forms.ModelChoiceField(Team.objects.none(), empty_label=None, help_text="Who will call the app.")
    cost_center = forms.ModelChoiceField(
        CostCenter.objects.none(),
        empty_label=None,
        label="Cost center",
        help_text="Where the bill or statement goes.",
    )
    calls = forms.IntegerField(
        required=False,
        min_value=1,
        max_value=MOST_CALLS,
        label="Expected calls a month",
        help_text="For the amounts shown here; nothing is booked by it.",
    )
    environment = forms.ChoiceField(
        choices=[(one.value, one.label) for one in BILLED],
        required=False,
        help_text="Staging has keys and limits of its own, and is billed too.",
    )

    def __init__(
        self,
        *args: Any,
        plans: QuerySet[Plan],
        teams: QuerySet[Team],
        cost_centers: QuerySet[CostCenter],
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        for name, choices in {"plan": plans, "team": teams, "cost_center": cost_centers}.items():
            self.fields[name].queryset = choices  # type: ignore[attr-defined]

    def clean_environment(self) -> str:
        """Take production where nothing is chosen."""
        return self.cleaned_data["environment"] or Environment.PRODUCTION.value


class ChangePlanForm(forms.Form):
    """Another plan of the same app."""

    plan = forms.ModelChoiceField(
        Plan.objects.none(), to_field_name="code", empty_label=None, widget=forms.RadioSelect
    )

    def __init__(self, *args: Any, plans: QuerySet[Plan], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["plan"].queryset = plans  # type: ignore[attr-defined]
