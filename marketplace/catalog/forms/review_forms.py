"""Forms of those who review: filters of the queue, what is said beside a decision, second looks, rules."""

from datetime import UTC, datetime, time, timedelta
from typing import Any

from django import forms
from django.core.files.uploadedfile import UploadedFile

from marketplace.accounts.models import Organization
from marketplace.catalog.about import CATEGORIES
from marketplace.catalog.attachments import MAX_FILE_BYTES, Upload
from marketplace.catalog.auto_rules import Terms
from marketplace.catalog.review_models import CannedReason
from marketplace.catalog.review_queue import RISKS, SHOWN, Wanted

GRADES = [("", "Any risk"), ("high", "High risk"), ("medium", "Medium risk"), ("low", "Low risk")]


def day_field(**options: Any) -> forms.DateField:
    """Build a field for a day."""
    return forms.DateField(widget=forms.DateInput(attrs={"type": "date"}), **options)


def end_of(day: Any) -> datetime | None:
    """Return the moment after a day, UTC; None without one."""
    return datetime.combine(day + timedelta(days=1), time(), UTC) if day else None


class QueueForm(forms.Form):
    """What is wanted of the queue; what is not understood shows everything."""

    text = forms.CharField(required=False, label="App, team or person", max_length=80)
    grade = forms.ChoiceField(required=False, label="Risk", choices=GRADES)
    risk = forms.ChoiceField(required=False, label="Reason", choices=[("", "Any reason"), *RISKS.items()])
    category = forms.ChoiceField(
        required=False, label="Category", choices=[("", "Any category"), *CATEGORIES.items()]
    )
    show = forms.ChoiceField(required=False, choices=list(SHOWN.items()), widget=forms.HiddenInput)

    @property
    def wanted(self) -> Wanted:
        self.is_valid()
        found = {name: value for name, value in self.cleaned_data.items() if value}
        return Wanted(**found)


class ManyFilesInput(forms.ClearableFileInput):
    allow_multiple_selected = True


class ManyFilesField(forms.FileField):
    """Several files in one field."""

    widget = ManyFilesInput

    def clean(self, data: Any, initial: Any = None) -> list[UploadedFile]:
        files = data if isinstance(data, list | tuple) else [data] if data else []
        return [super(ManyFilesField, self).clean(one, initial) for one in files]


class NoteForm(forms.Form):
    text = forms.CharField(
        widget=forms.Textarea(attrs={"rows": 3}), max_length=4_000, required=False, label="Note"
    )
    attached = ManyFilesField(
        required=False, label="Files", help_text="Up to three: PNG, JPEG, PDF or plain text, 2 MiB each."
    )
    is_private = forms.BooleanField(required=False, label="Only approvers see it")

    @property
    def uploads(self) -> list[Upload]:
        """Read the files, and no more of each than tells that it is too large."""
        return [Upload(one.name or "", one.read(MAX_FILE_BYTES + 1)) for one in self.cleaned_data["attached"]]


class AnswerForm(forms.Form):
    text = forms.CharField(widget=forms.Textarea(attrs={"rows": 3}), max_length=4_000, label="Your answer")


class AppealForm(forms.Form):
    text = forms.CharField(
        widget=forms.Textarea(attrs={"rows": 4}),
        max_length=4_000,
        label="Why it should be decided otherwise",
        help_text="Somebody who had no part in the decision reads it.",
    )


class SecondLookForm(forms.Form):
    """A second person's decision."""

    decision = forms.CharField(widget=forms.HiddenInput)
    note = forms.CharField(
        widget=forms.Textarea(attrs={"rows": 2}), max_length=2_000, required=False, label="Note"
    )


class TakedownForm(forms.Form):
    canned = forms.ModelChoiceField(
        queryset=CannedReason.objects.none(), required=False, label="Ready-made reason", empty_label="None"
    )
    reason = forms.CharField(
        widget=forms.Textarea(attrs={"rows": 4}),
        max_length=2_000,
        required=False,
        help_text="Its makers and subscribers are told. Needed unless a ready-made one is chosen.",
    )
    fix_by = day_field(
        required=False,
        label="Live until",
        help_text="The last day, UTC, on which it may be fixed by a new version. Empty: taken down at once.",
    )

    def __init__(self, *args: Any, canned: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.fields["canned"].queryset = canned  # type: ignore[attr-defined]


class CannedReasonForm(forms.Form):
    title = forms.CharField(max_length=80)
    text = forms.CharField(widget=forms.Textarea(attrs={"rows": 3}), max_length=1_500)
    policy_url = forms.URLField(
        required=False, label="Policy", help_text="Address of the rule it stands on.", assume_scheme="https"
    )


class HolidayForm(forms.Form):
    organization = forms.ModelChoiceField(queryset=Organization.objects.none(), empty_label=None)
    day = day_field()
    name = forms.CharField(max_length=80)

    def __init__(self, *args: Any, organizations: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.fields["organization"].queryset = organizations  # type: ignore[attr-defined]


class PolicyForm(forms.Form):
    """Terms of auto-approval."""

    max_risk = forms.IntegerField(min_value=0, max_value=100, initial=20, label="Risk score up to")
    max_monthly_cost = forms.DecimalField(
        min_value=0, max_digits=18, decimal_places=6, initial=10, label="Cost a month up to"
    )
    sample_percent = forms.IntegerField(
        min_value=0, max_value=100, initial=25, label="Looked at afterwards, percent"
    )
    allows_first = forms.BooleanField(required=False, label="Also first versions of apps")
    reason = forms.CharField(
        widget=forms.Textarea(attrs={"rows": 2}), max_length=2_000, required=False, label="Why"
    )

    def terms(self, currency: str) -> Terms:
        """Return what was typed, as terms."""
        typed = self.cleaned_data
        return Terms(
            max_risk=typed["max_risk"],
            max_monthly_cost=typed["max_monthly_cost"],
            currency=currency,
            allows_first=typed["allows_first"],
            sample_percent=typed["sample_percent"],
        )


class DeprecationForm(forms.Form):
    last_day = day_field(label="Last day", help_text="The last day, UTC, on which calls are answered.")
    successor = forms.SlugField(
        required=False,
        max_length=60,
        help_text="Address of the app that takes its place, such as inbox-digest.",
    )
    reason = forms.CharField(
        widget=forms.Textarea(attrs={"rows": 3}), max_length=2_000, help_text="Subscribers read it."
    )


class RollBackForm(forms.Form):
    version = forms.IntegerField(min_value=1, widget=forms.HiddenInput)
    reason = forms.CharField(max_length=500, label="Reason")
