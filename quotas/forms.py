"""What people type to set or to find limits."""

from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from django import forms

from marketplace.catalog.models import Environment
from marketplace.core.errors import InvalidInput
from marketplace.core.periods import check_zone
from metering.models import LanguageModel
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
    ("soft", "Soft: calls go on, answers and pages say so, people are told"),
    ("warn", "Warn: calls go on, people are told once a window"),
]
CLASS_CHOICES = [("", "All models"), *LanguageModel.ModelClass.choices]


class LimitForm(forms.Form):
    """A limit to set."""

    measure = forms.ChoiceField(label="Of what", choices=MEASURE_CHOICES)
    window = forms.ChoiceField(label="How long", choices=WINDOW_CHOICES, initial="month")
    model_class = forms.ChoiceField(
        label="Of which models",
        choices=CLASS_CHOICES,
        required=False,
        help_text="Counts only calls of this class.",
    )
    limit = forms.DecimalField(
        label="Limit", min_value=Decimal(0), max_value=GREATEST, max_digits=38, decimal_places=18
    )
    mode = forms.ChoiceField(label="What it does", choices=MODE_CHOICES)
    time_zone = forms.CharField(
        label="Time zone",
        required=False,
        max_length=40,
        help_text="Where its days and months begin, such as Europe/Berlin. Empty: as it is, or UTC.",
        widget=forms.TextInput({"list": "time-zones", "autocomplete": "off"}),
    )
    first_day = forms.DateField(
        label="From",
        required=False,
        help_text="Empty: now.",
        widget=forms.DateInput({"type": "date"}, "%Y-%m-%d"),
    )
    last_day = forms.DateField(
        label="Until and with",
        required=False,
        help_text="Empty: until it is ended.",
        widget=forms.DateInput({"type": "date"}, "%Y-%m-%d"),
    )
    note = forms.CharField(label="Why", max_length=200, help_text="Goes to the audit trail.")

    def clean_time_zone(self) -> str:
        """Read it here, as the days beside it are of this zone."""
        name: str = self.cleaned_data["time_zone"].strip()
        if name:
            try:
                check_zone(name)
            except InvalidInput as error:
                raise forms.ValidationError(error.errors[0].message) from None
        return name

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
            model_class=typed["model_class"],
            time_zone=typed["time_zone"],
        )

    @property
    def starts_at(self) -> datetime | None:
        first = self.cleaned_data["first_day"]
        return self._midnight(first) if first else None

    @property
    def ends_at(self) -> datetime | None:
        last = self.cleaned_data["last_day"]
        return self._midnight(last + timedelta(days=1)) if last else None

    def _midnight(self, day: date) -> datetime:
        return datetime.combine(day, time(), tzinfo=ZoneInfo(self.cleaned_data["time_zone"] or "UTC"))


class WhyForm(forms.Form):
    """Which call is explained."""

    environment = forms.ChoiceField(
        required=False, label="Environment", choices=[("", "Its environment"), *Environment.choices]
    )
    model_class = forms.ChoiceField(required=False, label="Models", choices=CLASS_CHOICES)

    def asked(self) -> dict[str, str]:
        """Return what is asked; what is not understood asks nothing."""
        self.is_valid()
        return {name: self.cleaned_data.get(name, "") for name in self.fields}


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
