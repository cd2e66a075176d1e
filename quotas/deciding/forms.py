"""What people type who decide, delegate, or say what can be served."""

from datetime import UTC, datetime, time, timedelta
from typing import Any

from django import forms
from django.db.models import QuerySet

from marketplace.accounts.models import User
from metering.models import LanguageModel
from quotas.commitments import GREATEST
from quotas.models import Delegation


class CapacityForm(forms.Form):
    """What a provider has committed to serve of a model."""

    model = forms.ModelChoiceField(
        label="Model",
        queryset=LanguageModel.objects.filter(is_ceiling=False).order_by("name"),
        to_field_name="name",
    )
    provider = forms.CharField(label="Provider", max_length=40)
    requests_per_minute = forms.IntegerField(
        label="Requests a minute", required=False, min_value=0, max_value=GREATEST
    )
    tokens_per_minute = forms.IntegerField(
        label="Tokens a minute", required=False, min_value=0, max_value=GREATEST
    )
    first_day = forms.DateField(
        label="From",
        required=False,
        help_text="Empty: from now on.",
        widget=forms.DateInput({"type": "date"}, "%Y-%m-%d"),
    )
    note = forms.CharField(label="Where the figure comes from", max_length=200)

    @property
    def starts_at(self) -> datetime | None:
        return _midnight(self.cleaned_data["first_day"])


class DelegationForm(forms.Form):
    """Who decides for whom, in which days."""

    delegator = forms.ModelChoiceField(label="For", queryset=User.objects.none())
    delegate = forms.ModelChoiceField(label="Decides instead", queryset=User.objects.none())
    scope = forms.ChoiceField(label="What", choices=Delegation.Scope.choices)
    first_day = forms.DateField(
        label="From",
        required=False,
        help_text="Empty: from now on.",
        widget=forms.DateInput({"type": "date"}, "%Y-%m-%d"),
    )
    last_day = forms.DateField(
        label="Until and with", widget=forms.DateInput({"type": "date"}, "%Y-%m-%d"), help_text="In UTC."
    )
    note = forms.CharField(label="Why", max_length=200, required=False)

    def __init__(
        self, *args: Any, delegators: QuerySet[User], delegates: QuerySet[User], **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self.fields["delegator"].queryset = delegators  # type: ignore[attr-defined]
        self.fields["delegate"].queryset = delegates  # type: ignore[attr-defined]

    @property
    def starts_at(self) -> datetime | None:
        return _midnight(self.cleaned_data["first_day"])

    @property
    def ends_at(self) -> datetime:
        return datetime.combine(self.cleaned_data["last_day"] + timedelta(days=1), time(), tzinfo=UTC)


def _midnight(day: Any) -> datetime | None:
    return datetime.combine(day, time(), tzinfo=UTC) if day else None
