"""What people type about increase requests and the policy for them."""

from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

from django import forms

from quotas.approvals import Terms
from quotas.increase_assessing import Wish
from quotas.increase_models import Grant, IncreasePolicy, IncreaseRequest
from quotas.increase_policies import TERMS
from quotas.increase_subjects import Subject
from quotas.limits import GREATEST

USUAL_DAYS = 90
DAY_AND_TIME = "%Y-%m-%dT%H:%M"
MOST_DAYS = 20 * 365


def _date(label: str, **options: Any) -> forms.DateField:
    return forms.DateField(label=label, widget=forms.DateInput({"type": "date"}, "%Y-%m-%d"), **options)


def _amount(label: str, **options: Any) -> forms.DecimalField:
    return forms.DecimalField(
        label=label, min_value=Decimal(0), max_value=GREATEST, max_digits=38, decimal_places=18, **options
    )


def _text(label: str, **options: Any) -> forms.CharField:
    widget = forms.Textarea({"rows": 3})
    return forms.CharField(label=label, max_length=2000, widget=widget, **options)


class WishForm(forms.Form):
    """A higher limit to ask for. Owner, measure and window are those of the page."""

    requested = _amount("New limit")
    reason = _text("Why", help_text="Whoever decides reads it.")
    monthly_calls = _amount("Calls a month", help_text="As you expect them with the new limit.")
    monthly_cost = _amount(
        "Cost a month", help_text="As you expect it; what is judged is the dearer of yours and ours."
    )
    first_day = _date("From", required=False, help_text="Empty: once it is approved.")
    last_day = _date("Until and with", required=False, help_text="Empty: until somebody revokes it.")

    @classmethod
    def starting_from(cls, *, current: Decimal, measure: str, at: datetime) -> dict[str, Any]:
        """Return what an empty form suggests: a quarter more, for ninety days."""
        more = current * 5 / 4
        whole = measure != "cost"
        return {
            "requested": _plain(more.to_integral_value() if whole else more),
            # That day is still part of it.
            "last_day": (at + timedelta(days=USUAL_DAYS - 1)).date(),
        }

    @classmethod
    def filled_from(cls, request: IncreaseRequest) -> dict[str, Any]:
        """Return what a draft says."""
        last = request.ends_at - timedelta(days=1) if request.ends_at else None
        return {
            "requested": _plain(request.requested),
            "reason": request.reason,
            "monthly_calls": _plain(request.monthly_calls),
            "monthly_cost": _plain(request.monthly_cost),
            "first_day": request.starts_at.date() if request.starts_at else None,
            "last_day": last.date() if last else None,
        }

    def wish(self, subject: Subject, *, currency: str, extends: Grant | None = None) -> Wish:
        """Return what the form says; ``currency`` is that of the platform."""
        typed = self.cleaned_data
        return Wish(
            measure=subject.measure,
            window=subject.window,
            model_class=subject.model_class,
            requested=typed["requested"],
            reason=typed["reason"],
            monthly_calls=typed["monthly_calls"],
            monthly_cost=typed["monthly_cost"],
            currency=currency,
            starts_at=_midnight(typed["first_day"]),
            ends_at=_midnight(typed["last_day"], days=1),
            extends=extends,
        )


class ExtensionForm(forms.Form):
    """Until when a grant is to go on, and why."""

    last_day = _date("Until and with")
    reason = _text("Why it is still needed")

    @property
    def ends_at(self) -> datetime:
        ends_at = _midnight(self.cleaned_data["last_day"], days=1)
        assert ends_at is not None
        return ends_at


class TextForm(forms.Form):
    """An answer, or the reason of what is done."""

    text = _text("Text", required=False)


class RequestFilterForm(forms.Form):
    """Which requests the list shows."""

    whose = forms.ChoiceField(
        label="Whose",
        required=False,
        choices=[("", "All I may see"), ("mine", "Mine"), ("waiting", "Waiting for me")],
    )
    state = forms.ChoiceField(
        label="State",
        required=False,
        choices=[
            ("", "Any state"),
            ("open", "Undecided"),
            *[(s.value, s.label) for s in IncreaseRequest.State],
        ],
    )


class PolicyForm(forms.Form):
    """The next version of the policy."""

    auto_max_percent = forms.DecimalField(
        label="Increase of at most",
        min_value=0,
        max_digits=9,
        decimal_places=2,
        help_text="0: nothing is granted by itself.",
    )
    auto_max_monthly_cost = _amount("Projected cost a month of at most")
    auto_min_head_room_percent = forms.DecimalField(
        label="Capacity left of at least", min_value=0, max_value=100, max_digits=5, decimal_places=2
    )
    auto_max_days = forms.IntegerField(label="For at most", min_value=0, max_value=MOST_DAYS)
    cost_review_above = _amount("Cost review above a projected cost a month of")
    capacity_review_above_percent = forms.DecimalField(
        label="Capacity review above an increase of", min_value=0, max_digits=9, decimal_places=2
    )
    needs_two_people = forms.BooleanField(label="Two reviews need two different people", required=False)
    remind_after_hours = forms.IntegerField(label="Remind after", min_value=1, max_value=8784)
    escalate_after_hours = forms.IntegerField(label="Escalate after", min_value=1, max_value=8784)
    expire_after_hours = forms.IntegerField(label="Expire after", min_value=1, max_value=8784)
    reason = _text("Why", help_text="Goes to the audit trail.")

    def __init__(
        self, data: Mapping[str, Any] | None = None, *, replaces: IncreasePolicy | None = None
    ) -> None:
        initial = (
            {name: _shown(getattr(replaces, name)) for name in TERMS}
            if replaces
            else {"needs_two_people": True}
        )
        super().__init__(data, initial=initial)

    def terms(self, *, currency: str) -> Terms:
        """Return what the form says; ``currency`` is that of the platform."""
        return Terms(currency=currency, **{name: self.cleaned_data[name] for name in TERMS})


class PolicyDecisionForm(forms.Form):
    """What the person who decides on a policy has to say."""

    note = forms.CharField(label="Note", required=False, max_length=2000)
    starts_at = forms.DateTimeField(
        label="Holds from (UTC)",
        required=False,
        input_formats=[DAY_AND_TIME, "%Y-%m-%d %H:%M", "%Y-%m-%d"],
        widget=forms.DateTimeInput({"type": "datetime-local"}, DAY_AND_TIME),
        help_text="Empty: at once.",
    )


def _midnight(day: date | None, *, days: int = 0) -> datetime | None:
    return datetime.combine(day + timedelta(days=days), time(), tzinfo=UTC) if day else None


def _plain(value: Decimal) -> str:
    """Write a number into a field: no exponent, no zeros at its end."""
    return f"{value.normalize():f}"


def _shown(value: Any) -> Any:
    return _plain(value) if isinstance(value, Decimal) else value
