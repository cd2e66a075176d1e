"""What people type about incidents: a reason for each act, and the thresholds of a policy."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from django import forms

from quotas.incident_models import Incident
from quotas.incident_policies import ALL_BOUNDS, WHOLE, Rules, as_texts, parse
from quotas.incidents import LONGEST_CEILING_HOURS, MOST_AMOUNT, MOST_RATE

DAY_AND_TIME = "%Y-%m-%dT%H:%M"
LONGEST_REASON = 2000
EXPECTED_DAYS = 14
LABELS = {
    "notice_ratio": ("Notice: times the usual", "The median of the same 24 hours of seven days."),
    "notice_highest_ratio": ("Notice: and times the highest", "Of the seven days before."),
    "throttle_ratio": ("Throttle: times the highest", "Of the seven days before."),
    "money_floor": ("Least above the usual, a day", "Less than this is never an incident."),
    "repeated_hours": ("Pause: hours after it was slowed", "Without a budget that breaks."),
    "new_app_days": ("An app is new for days", "Until then the two caps below judge it."),
    "new_app_notice": ("New app, notice: a day", "Cost."),
    "new_app_throttle": ("New app, throttle: a day", "Cost."),
    "request_floor": ("Flood: least requests above the usual", "In 24 hours; three times the highest."),
    "drop_percent": ("Silence: percent of the lowest day", "0: not one request in 24 hours."),
    "drop_requests": (
        "Silence: least requests of the lowest day",
        "Apps that rest now and then are left out.",
    ),
    "error_percent": ("Errors: percent of an hour's calls", "Admitted, and no answer came."),
    "error_calls": ("Errors: least calls of an hour", "Fewer tell nothing."),
    "escalate_hours": ("Hours until a wider circle is told", "When nobody looks after it."),
    "quiet_hours": ("Quiet hours that close a notice", ""),
    "ceiling_hours": ("Hours at a ceiling after resuming", "What the form proposes."),
}


class ReasonForm(forms.Form):
    """An act with a reason. ``what`` is its name, which keeps the ids of the page's forms apart."""

    what = "pause"
    reason = forms.CharField(
        label="Why", max_length=LONGEST_REASON, widget=forms.Textarea({"rows": 2}),
        help_text="Owner and subscribers read it.",
    )  # fmt: skip

    def __init__(
        self, data: Mapping[str, Any] | None = None, *, initial: dict[str, Any] | None = None
    ) -> None:
        super().__init__(data, initial=initial, auto_id=f"id_{self.what}_%s")


class AcknowledgeForm(ReasonForm):
    what = "acknowledge"
    reason = forms.CharField(
        label="Note", required=False, max_length=LONGEST_REASON, widget=forms.Textarea({"rows": 2}),
        help_text="Nobody else is told any more.",
    )  # fmt: skip


class ContactForm(ReasonForm):
    what = "contact"
    reason = forms.CharField(
        label="What they should know", max_length=LONGEST_REASON, widget=forms.Textarea({"rows": 2}),
        help_text="Goes to the people who make the app.",
    )  # fmt: skip


class ThrottleForm(ReasonForm):
    what = "throttle"
    requests_per_minute = forms.IntegerField(
        label="Requests a minute", min_value=1, max_value=MOST_RATE, help_text="All subscribers together."
    )
    field_order = ("requests_per_minute", "reason")


class ResumeForm(ReasonForm):
    what = "resume"
    ceiling = forms.DecimalField(
        label="Ceiling a day", min_value=Decimal("0.01"), max_value=MOST_AMOUNT, max_digits=38, decimal_places=18,
        help_text="Cost of all subscribers together, counted from now.",
    )  # fmt: skip
    hours = forms.IntegerField(
        label="For hours",
        min_value=1,
        max_value=LONGEST_CEILING_HOURS,
        help_text="Then it runs without a ceiling.",
    )
    field_order = ("ceiling", "hours", "reason")


class ExpectForm(ReasonForm):
    what = "expect"
    until = forms.DateTimeField(
        label="Until (UTC)",
        input_formats=[DAY_AND_TIME, "%Y-%m-%d %H:%M", "%Y-%m-%d"],
        widget=forms.DateTimeInput({"type": "datetime-local"}, DAY_AND_TIME),
    )
    up_to = forms.DecimalField(
        label="Up to, a day", min_value=Decimal("0.01"), max_value=MOST_AMOUNT, max_digits=38, decimal_places=18,
        help_text="More than this is found all the same.",
    )  # fmt: skip
    field_order = ("until", "up_to", "reason")

    def clean_until(self) -> datetime:
        until: datetime = self.cleaned_data["until"]
        return until.astimezone(UTC)


class CloseForm(ReasonForm):
    what = "close"
    reason = forms.CharField(
        label="What it was", max_length=LONGEST_REASON, widget=forms.Textarea({"rows": 2}),
        help_text="Whoever meets the next one reads it.",
    )  # fmt: skip


FORMS: dict[str, type[ReasonForm]] = {
    form.what: form
    for form in (AcknowledgeForm, ContactForm, ThrottleForm, ReasonForm, ResumeForm, ExpectForm, CloseForm)
}


def initial_of(what: str, incident: Incident, *, rules: Rules, rate: int, at: datetime) -> dict[str, Any]:
    """Return what stands in a form before anybody types."""
    if what == "throttle":
        return {"requests_per_minute": rate}
    if what == "resume":
        usual = (
            max(incident.highest, incident.expected) if incident.kind == Incident.Kind.COST else Decimal(0)
        )
        ceiling = (usual or rules.thresholds.new_app_notice).quantize(Decimal("0.01"))
        return {"ceiling": f"{ceiling:f}", "hours": rules.ceiling_hours}
    if what == "expect":
        half_more = (incident.actual * 3 / 2).quantize(Decimal("0.01"))
        return {"until": at + timedelta(days=EXPECTED_DAYS), "up_to": f"{half_more:f}"}
    return {}


class PolicyForm(forms.Form):
    """Every threshold, filled with those in force."""

    reason = forms.CharField(
        label="Why", max_length=LONGEST_REASON, widget=forms.Textarea({"rows": 3}),
        help_text="Goes to the audit trail.",
    )  # fmt: skip

    def __init__(self, data: Mapping[str, Any] | None = None, *, rules: Rules) -> None:
        super().__init__(data, initial=as_texts(rules))
        for name, (least, most) in ALL_BOUNDS.items():
            label, help_text = LABELS[name]
            kind = forms.IntegerField if name in WHOLE else forms.DecimalField
            self.fields[name] = kind(label=label, help_text=help_text, min_value=least, max_value=most)

    @property
    def threshold_fields(self) -> list[forms.BoundField]:
        return [self[name] for name in ALL_BOUNDS]

    def rules(self) -> Rules:
        """Build what the form says."""
        return parse({name: str(self.cleaned_data[name]) for name in ALL_BOUNDS})


class DecisionForm(forms.Form):
    """What the person who decides on a policy has to say."""

    note = forms.CharField(label="Note", required=False, max_length=LONGEST_REASON)
