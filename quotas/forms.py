"""What people type to set or to find limits."""

from datetime import UTC, datetime, time, timedelta
from decimal import Decimal
from typing import Any

from django import forms

from quotas.limits import GREATEST, Terms
from quotas.models import Limit
from quotas.owners import TITLES

KIND_CHOICES = list(TITLES.items())
MEASURE_CHOICES = [
    ("requests", "Calls"),
    ("tokens", "Tokens"),
    ("cost", "Cost"),
    ("concurrency", "Calls at a time"),
]
WINDOW_CHOICES = [("minute", "a minute"), ("day", "a day"), ("month", "a month")]
MODE_CHOICES = [
    ("hard", "Hard: calls beyond it are refused"),
    ("soft", "Soft: calls go on, and it shows"),
    ("warn", "Warn: only counted"),
]


class LimitForm(forms.Form):
    """A limit to set."""

    measure = forms.ChoiceField(label="Of what", choices=MEASURE_CHOICES)
    window = forms.ChoiceField(label="How long", choices=WINDOW_CHOICES, initial="month")
    limit = forms.DecimalField(
        label="Limit", min_value=Decimal(0), max_value=GREATEST, max_digits=38, decimal_places=18
    )
    mode = forms.ChoiceField(label="What it does", choices=MODE_CHOICES)
    last_day = forms.DateField(
        label="Until and with",
        required=False,
        help_text="Empty: until it is ended.",
        widget=forms.DateInput({"type": "date"}, "%Y-%m-%d"),
    )
    note = forms.CharField(label="Why", max_length=200, help_text="Goes to the audit trail.")

    def terms(self, *, currency: str) -> Terms:
        """Return what the form says; ``currency`` is that of the platform."""
        typed = self.cleaned_data
        is_cost = typed["measure"] == Limit.Measure.COST
        return Terms(
            measure=typed["measure"],
            window=typed["window"],
            value=typed["limit"],
            mode=typed["mode"],
            currency=currency if is_cost else "",
        )

    @property
    def ends_at(self) -> datetime | None:
        last = self.cleaned_data["last_day"]
        return datetime.combine(last + timedelta(days=1), time(), tzinfo=UTC) if last else None


class FilterForm(forms.Form):
    """Which limits the list shows."""

    kind = forms.ChoiceField(required=False, label="Of", choices=[("", "Everything"), *KIND_CHOICES])
    measure = forms.ChoiceField(
        required=False, label="Measure", choices=[("", "All measures"), *MEASURE_CHOICES]
    )
    show = forms.ChoiceField(
        required=False,
        label="Show",
        choices=[("", "All"), ("full", "80 % taken or more"), ("set", "Set by people")],
    )

    def lookups(self) -> dict[str, Any]:
        """Return the filter as lookups on limits with their counters; what is not understood filters nothing."""
        self.is_valid()
        typed = self.cleaned_data
        lookups: dict[str, Any] = {}
        if typed.get("kind"):
            lookups[f"{typed['kind']}__isnull"] = False
        if typed.get("measure"):
            lookups["measure"] = typed["measure"]
        if typed.get("show") == "full":
            lookups["taken_share__gte"] = Decimal("0.8")
        if typed.get("show") == "set":
            lookups["is_default"] = False
        return lookups
