"""The decision on a review: a reason and one of three buttons."""

from typing import Any

from django import forms

DECISIONS = (("approve", "Approve"), ("request_changes", "Request changes"), ("reject", "Reject"))


class DecisionForm(forms.Form):
    decision = forms.ChoiceField(choices=DECISIONS, widget=forms.HiddenInput)
    # The field stands in the action bar, outside the form's element.
    reason = forms.CharField(
        widget=forms.TextInput(attrs={"form": "decision", "placeholder": "Needed to request changes or to reject"}),
        max_length=2_000, required=False,
    )  # fmt: skip

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        if data.get("decision") in ("request_changes", "reject") and not data.get("reason"):
            self.add_error("reason", "Give a reason: its maker reads it, and so does whoever reads the log.")
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
