"""What people type when they subscribe, change a plan or cancel."""

from typing import Any

from django import forms
from django.db.models import QuerySet

from marketplace.accounts.models import CostCenter, Team
from marketplace.catalog.models import App, Plan, Subscription


class SubscribeForm(forms.Form):
    """A plan, a team to use it, a cost center to book it on."""

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


class ChangePlanForm(forms.Form):
    """Another plan of the same app."""

    plan = forms.ModelChoiceField(
        Plan.objects.none(), to_field_name="code", empty_label=None, widget=forms.RadioSelect
    )

    def __init__(self, *args: Any, plans: QuerySet[Plan], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["plan"].queryset = plans  # type: ignore[attr-defined]


class CancelForm(forms.Form):
    """The app's short name typed out, so that nobody cancels by accident, and a reason for the record."""

    confirm = forms.CharField(
        label="Type the app's short name", widget=forms.TextInput(attrs={"autocomplete": "off"})
    )
    reason = forms.CharField(required=False, max_length=500, widget=forms.Textarea(attrs={"rows": 2}))

    def __init__(self, *args: Any, subscription: Subscription, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.app: App = subscription.app
        self.fields["confirm"].help_text = f"It is {self.app.slug}."

    def clean_confirm(self) -> str:
        typed: str = self.cleaned_data["confirm"].strip()
        if typed != self.app.slug:
            raise forms.ValidationError(f"Type {self.app.slug} to cancel.")
        return typed
