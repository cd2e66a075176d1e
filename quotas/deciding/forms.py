"""What people type who decide, delegate, or say what can be served."""

from datetime import UTC, datetime, time, timedelta
from typing import Any

from django import forms
from django.db.models import QuerySet

from marketplace.accounts.models import User
from metering.models import LanguageModel
from quotas.commitments import GREATEST
from quotas.decision_log import KINDS, OUTCOMES, Sought
from quotas.desk import SHOWN, Wanted
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


class DecisionForm(forms.Form):
    """A decision on a request: a button, and what goes with it. The fields stand in the page, outside of the form's element."""

    decision = forms.ChoiceField(
        choices=[("approve", "Approve"), ("deny", "Deny"), ("ask", "Ask")], widget=forms.HiddenInput
    )
    level = forms.CharField(widget=forms.HiddenInput, required=False)
    shown = forms.CharField(widget=forms.HiddenInput, required=False)
    granted = forms.DecimalField(
        label="Grant",
        max_digits=38,
        decimal_places=18,
        widget=forms.NumberInput({"form": "decision", "step": "any"}),
    )
    first_day = forms.DateField(
        label="From",
        required=False,
        help_text="Empty: once it is approved.",
        widget=forms.DateInput({"type": "date", "form": "decision"}, "%Y-%m-%d"),
    )
    last_day = forms.DateField(
        label="Until and with",
        required=False,
        widget=forms.DateInput({"type": "date", "form": "decision"}, "%Y-%m-%d"),
    )
    is_endless = forms.BooleanField(
        label="Without an end", required=False, widget=forms.CheckboxInput({"form": "decision"})
    )
    reason = forms.CharField(
        label="Reason",
        max_length=2000,
        required=False,
        widget=forms.TextInput(
            {"form": "decision", "placeholder": "Needed to deny, to give less, or to ask"}
        ),
    )

    @property
    def starts_at(self) -> datetime | None:
        return _midnight(self.cleaned_data["first_day"])

    @property
    def ends_at(self) -> datetime | None:
        last = self.cleaned_data["last_day"]
        return datetime.combine(last + timedelta(days=1), time(), tzinfo=UTC) if last else None


class PassOnForm(forms.Form):
    """To whom a request is passed on."""

    person = forms.ModelChoiceField(label="Pass on to", queryset=User.objects.none())
    note = forms.CharField(label="Note", max_length=200, required=False)

    def __init__(self, *args: Any, people: QuerySet[User], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["person"].queryset = people  # type: ignore[attr-defined]


class DeskForm(forms.Form):
    """Which of what waits is shown."""

    show = forms.ChoiceField(
        required=False, label="Show", choices=[(name, title) for name, (title, _) in SHOWN.items()]
    )
    kind = forms.ChoiceField(
        required=False,
        label="Kind",
        choices=[("", "Limits and apps"), ("increase", "Limits"), ("review", "Apps")],
    )
    grade = forms.ChoiceField(
        required=False,
        label="Risk",
        choices=[("", "Any risk"), ("high", "High risk"), ("medium", "Medium risk"), ("low", "Low risk")],
    )
    text = forms.CharField(required=False, label="Search", max_length=80)

    @property
    def wanted(self) -> Wanted:
        """Return what is asked for; what is not understood asks for nothing."""
        self.is_valid()
        typed = {name: value for name, value in self.cleaned_data.items() if value}
        return Wanted(**typed)


class LogForm(forms.Form):
    """What is looked for among decisions."""

    kind = forms.ChoiceField(required=False, choices=[("", "Limits and apps"), *KINDS.items()], label="Kind")
    outcome = forms.ChoiceField(
        required=False, choices=[("", "Any outcome"), *OUTCOMES.items()], label="Outcome"
    )
    person = forms.CharField(required=False, label="Person", max_length=80)
    text = forms.CharField(required=False, label="What or why", max_length=80)

    @property
    def sought(self) -> Sought:
        """Return what is looked for; what is not understood narrows nothing."""
        self.is_valid()
        return Sought(**{name: value for name, value in self.cleaned_data.items() if value})
