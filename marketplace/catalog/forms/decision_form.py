"""The decision on a review: a reason, ready-made or typed, and one of four buttons."""

from typing import Any

from django import forms

from marketplace.catalog import canned_reasons
from marketplace.catalog.forms.review_forms import day_field, end_of

DECISIONS = (
    ("approve", "Approve"),
    ("ask", "Ask"),
    ("request_changes", "Request changes"),
    ("reject", "Reject"),
)


class DecisionForm(forms.Form):
    decision = forms.ChoiceField(choices=DECISIONS, widget=forms.HiddenInput)
    # The field stands in the action bar, outside the form's element.
    reason = forms.CharField(
        widget=forms.TextInput(attrs={"form": "decision", "placeholder": "Needed unless you approve"}),
        max_length=2_000, required=False,
    )  # fmt: skip
    canned = forms.ModelChoiceField(
        queryset=canned_reasons.offered(),
        required=False,
        label="Ready-made reason",
        empty_label="None",
        widget=forms.Select(attrs={"form": "decision"}),
        help_text="Put before what you write, with its policy.",
    )
    fix_by = day_field(
        required=False,
        label="To be fixed by",
        help_text="With “Request changes”: the last day, UTC. Not handed in again by then, it is rejected; what is live stays live.",
    )

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.fields["fix_by"].widget.attrs["form"] = "decision"

    @property
    def words(self) -> tuple[str, str]:
        """Return the reason, with what is ready-made before it, and the address of its policy."""
        return canned_reasons.words(self.cleaned_data.get("canned"), self.cleaned_data["reason"])

    @property
    def fix_by_at(self) -> Any:
        """Return the moment after the last day, or None."""
        return end_of(self.cleaned_data.get("fix_by"))

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        has_words = data.get("reason") or data.get("canned")
        if data.get("decision") in ("request_changes", "reject") and not has_words:
            self.add_error("reason", "Give a reason: its maker reads it, and so does whoever reads the log.")
        if data.get("decision") == "ask" and not data.get("reason"):
            self.add_error("reason", "Write what you want to know.")
        return data


class LogFilterForm(forms.Form):
    """What to look for in the log of decisions."""

    text = forms.CharField(required=False, label="App or reason", max_length=80)
    outcome = forms.ChoiceField(
        required=False,
        choices=[
            ("", "Any outcome"),
            ("approved", "Approved"),
            ("changes_requested", "Changes requested"),
            ("rejected", "Rejected"),
            ("withdrawn", "Withdrawn"),
        ],
    )
    person = forms.CharField(required=False, label="Person", max_length=80)


class ReasonForm(forms.Form):
    """Why something is taken back."""

    reason = forms.CharField(widget=forms.Textarea(attrs={"rows": 2}), max_length=2_000, required=False)
