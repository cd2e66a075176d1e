"""What people type into the pages of allocation, statements, disputes, batches and the close."""

from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import uuid4

from django import forms

from billing.allocation.shared_costs import LONGEST_NAME, Entry
from billing.allocation_models import SharedKind
from billing.chargeback.disputes import LONGEST_REASON
from billing.credit_asks import read_minor
from billing.models import SplitRule
from marketplace.accounts.models import CostCenter, Organization, User
from marketplace.catalog.models import App
from marketplace.core.errors import InvalidInput
from marketplace.core.money import MINOR_EXPONENTS

ENTERED = [choice for choice in SharedKind.choices if choice[0] != SharedKind.SANDBOX]
MONTH = r"^[0-9]{4}-(0[1-9]|1[0-2])$"


def _reason(label: str, *, help_text: str = "", required: bool = True) -> forms.CharField:
    return forms.CharField(
        label=label,
        required=required,
        max_length=LONGEST_REASON,
        widget=forms.Textarea(attrs={"rows": 3}),
        help_text=help_text,
    )


def _month(label: str, *, help_text: str = "") -> forms.RegexField:
    return forms.RegexField(
        MONTH, label=label, help_text=help_text, widget=forms.TextInput(attrs={"placeholder": "2026-12"})
    )


class RefusableForm(forms.Form):
    """A form that shows what the domain refuses at the field it is about."""

    def refuse(self, error: Exception) -> None:
        """Show an error of the domain."""
        for one in error.errors if isinstance(error, InvalidInput) else ():
            name = one.field.split("[")[0]
            self.add_error(name if name in self.fields else None, f"{one.message}")
        if not isinstance(error, InvalidInput):
            self.add_error(None, str(error))


class SharedCostForm(RefusableForm):
    """A cost that cost centers share, with its days."""

    organization = forms.ModelChoiceField(Organization.objects.none(), empty_label=None)
    kind = forms.ChoiceField(choices=ENTERED)
    name = forms.CharField(max_length=LONGEST_NAME, help_text="As statements call it.")
    amount = forms.DecimalField(min_value=Decimal(0))
    currency = forms.ChoiceField(choices=[(code, code) for code in sorted(MINOR_EXPONENTS)])
    starts_date = forms.DateField(label="From", widget=forms.DateInput(attrs={"type": "date"}))
    ends_date = forms.DateField(
        label="Until",
        widget=forms.DateInput(attrs={"type": "date"}),
        help_text="The first day that it is not for. Months bear it by days.",
    )
    reason = forms.CharField(max_length=300, required=False, label="Note")
    key = forms.CharField(max_length=100, widget=forms.HiddenInput)

    def __init__(self, data: Any = None, *, currency: str) -> None:
        super().__init__(data, initial={"key": str(uuid4()), "currency": currency})
        self.fields["organization"].queryset = Organization.objects.filter(billing="chargeback").order_by(  # type: ignore[attr-defined]
            "-is_platform", "name"
        )

    def entry(self) -> Entry:
        """Build what is to be entered. Raises InvalidInput for more decimals than the currency has."""
        typed = self.cleaned_data
        return Entry(
            organization=typed["organization"],
            kind=typed["kind"],
            name=typed["name"],
            amount_minor=read_minor(typed["amount"], field="amount", currency=typed["currency"]),
            currency=typed["currency"],
            starts_date=typed["starts_date"],
            ends_date=typed["ends_date"],
            reason=typed["reason"],
        )


class SplitRuleForm(RefusableForm):
    """A version of how something shared is split; one field of percent for each cost center."""

    organization = forms.ModelChoiceField(Organization.objects.none(), empty_label=None)
    kind = forms.ChoiceField(choices=SharedKind.choices, label="What is shared")
    name = forms.CharField(
        max_length=LONGEST_NAME,
        required=False,
        help_text="Of one shared cost by its name; empty for all of its kind.",
    )
    method = forms.ChoiceField(choices=SplitRule.Method.choices)
    metric = forms.ChoiceField(
        choices=SplitRule.Metric.choices, required=False, help_text="Only by a metric."
    )
    percentages = forms.CharField(
        required=False,
        widget=forms.Textarea(attrs={"rows": 4, "placeholder": "CC-100 40\nCC-200 60"}),
        help_text="Only for fixed percentages: a line each with code and percent. What is left of 100 is borne by nobody.",
    )
    starts_month = _month("From the month", help_text="A month that is not closed.")
    reason = _reason("Why")

    def __init__(self, data: Any = None, *, initial: Any = None, is_what_if: bool = False) -> None:
        super().__init__(data, initial=initial)
        self.fields["organization"].queryset = Organization.objects.filter(billing="chargeback").order_by(  # type: ignore[attr-defined]
            "-is_platform", "name"
        )
        if is_what_if:
            del self.fields["starts_month"], self.fields["reason"]

    def rule(self, *, starts_month: str = "") -> SplitRule:
        """Build the rule, unsaved. Raises InvalidInput for percentages that cannot be read."""
        typed = self.cleaned_data
        return SplitRule(
            organization=typed["organization"],
            kind=typed["kind"],
            name=typed["name"].strip(),
            version=0,
            method=typed["method"],
            metric=typed["metric"],
            percentages=_percentages(typed["percentages"]),
            starts_month=starts_month or typed["starts_month"],
            reason=typed.get("reason", ""),
        )


def _percentages(text: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for line in text.splitlines():
        code, _, percent = line.strip().rpartition(" ")
        if line.strip() and not code:
            raise InvalidInput("percentages", f"{line.strip()!r} is no code and percent, such as CC-100 40")
        if code:
            found[code.strip()] = percent.strip().rstrip("%")
    return found


class DecisionForm(RefusableForm):
    """Approve, reject or take back; a rejection says why."""

    decision = forms.ChoiceField(choices=[(one, one) for one in ("approve", "reject", "withdraw")])
    note = forms.CharField(required=False, max_length=LONGEST_REASON)


class GoalForm(RefusableForm):
    """Who looks after what is unallocated, and how much it may be."""

    owner = forms.ModelChoiceField(User.objects.none(), empty_label=None)
    target_percent = forms.DecimalField(
        min_value=Decimal(0), max_value=Decimal(100), max_digits=5, decimal_places=2, label="At most"
    )

    def __init__(self, data: Any = None, *, candidates: list[User], initial: Any = None) -> None:
        super().__init__(data, initial=initial)
        found = User.objects.filter(pk__in=[one.pk for one in candidates]).order_by("email")
        self.fields["owner"].queryset = found  # type: ignore[attr-defined]


class ReasonForm(RefusableForm):
    """A reason for something that is done at once."""

    reason = _reason("Reason")


class DisputeForm(RefusableForm):
    """What is disputed, with evidence. Files are read from the request."""

    app = forms.ModelChoiceField(
        App.objects.none(), required=False, empty_label="All of the statement", help_text="What it is about."
    )
    amount = forms.DecimalField(min_value=Decimal(0))
    reason = _reason("Why", help_text="Finance decides by it.")
    event_ids = forms.CharField(
        required=False,
        label="Events",
        widget=forms.Textarea(attrs={"rows": 2}),
        help_text="Ids of events that it is about, one a line, at most 20.",
    )

    def __init__(self, data: Any = None, *, app_ids: set[int], currency: str) -> None:
        super().__init__(data)
        self.currency = currency
        self.fields["app"].queryset = App.objects.filter(pk__in=app_ids).order_by("name")  # type: ignore[attr-defined]

    def amount_minor(self) -> int:
        """Give the amount in minor units. Raises InvalidInput."""
        return read_minor(self.cleaned_data["amount"], field="amount", currency=self.currency)

    def events(self) -> tuple[str, ...]:
        """Give the ids of events, each once."""
        return tuple(dict.fromkeys(self.cleaned_data["event_ids"].split()))


class DisputeDecisionForm(RefusableForm):
    """What finance decides: accept all or a part, perhaps for another cost center, or reject; with a reason."""

    decision = forms.ChoiceField(choices=[(one, one) for one in ("accept", "reject", "withdraw")])
    amount = forms.DecimalField(
        required=False, min_value=Decimal(0), help_text="Empty for all that is disputed."
    )
    charge_to = forms.ModelChoiceField(
        CostCenter.objects.none(),
        required=False,
        empty_label="Nobody: the platform bears it",
        label="Charge it to",
    )
    note = _reason("Reason", required=False, help_text="Who disputes it reads it.")

    def __init__(self, data: Any = None, *, organization_id: int, without: int) -> None:
        super().__init__(data)
        others = CostCenter.objects.filter(organization=organization_id).exclude(pk=without).order_by("code")
        self.fields["charge_to"].queryset = others  # type: ignore[attr-defined]


class SwitchForm(RefusableForm):
    """How a cost center is to be charged, from which month."""

    to_mode = forms.ChoiceField(choices=CostCenter.Mode.choices, label="Charged by")
    starts_month = _month("From the month")
    reason = _reason("Why", help_text="The owner reads it and signs off.")


def next_month_name(at: datetime) -> str:
    """Name the month after this one, as forms begin with."""
    year, month = (at.year + 1, 1) if at.month == 12 else (at.year, at.month + 1)
    return f"{year:04d}-{month:02d}"
