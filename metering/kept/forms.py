"""What is posted to keep a question: a name for it, or how often it is mailed. The question itself is an address."""

from typing import Any

from django import forms

from metering.models import ReportSchedule, SavedView


class ViewForm(forms.Form):
    """A name for a question."""

    name = forms.CharField(label="Name", max_length=SavedView._meta.get_field("name").max_length)
    is_shared = forms.BooleanField(label="Show it to everybody of my organization", required=False)


class ScheduleForm(forms.Form):
    """How often a question is mailed."""

    cadence = forms.ChoiceField(label="How often", choices=ReportSchedule.Cadence.choices)

    def __init__(self, data: Any = None) -> None:
        super().__init__(data, auto_id="schedule-%s")
