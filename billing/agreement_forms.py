"""What either side types when it proposes terms."""

from decimal import Decimal
from typing import Any

from django import forms

from billing.agreed_terms import AgreedTerms
from billing.revenue_share import Fee, Tier
from billing.service_credits.terms import parse_steps
from marketplace.core.money import from_minor, round_minor, to_text


class TermsForm(forms.Form):
    """Share and basis, fees of each sale, tiers, a guarantee; all amounts in one currency."""

    share_percent = forms.DecimalField(
        min_value=Decimal(0), max_value=Decimal(100), label="Platform's share", help_text="In percent."
    )
    basis = forms.ChoiceField(
        choices=[("net_of_cost", "of what cost leaves of the price"), ("gross", "of the price")],
        label="Of what",
    )
    fee_percent = forms.DecimalField(
        min_value=Decimal(0),
        max_value=Decimal(100),
        required=False,
        label="Fee of each sale",
        help_text="In percent of the price.",
    )
    fee_fixed = forms.DecimalField(min_value=Decimal(0), required=False, label="And fixed")
    tiers = forms.CharField(
        required=False,
        widget=forms.Textarea(attrs={"rows": 3, "placeholder": "1000 15"}),
        help_text="A line each: revenue from which on, and the platform's share there in percent.",
    )
    tier_window = forms.ChoiceField(
        choices=[("month", "of the month"), ("year", "of the year")], label="Revenue"
    )
    guarantee = forms.DecimalField(
        min_value=Decimal(0),
        required=False,
        label="Guarantee",
        help_text="Least that a month gives the creator.",
    )
    starts_at = forms.DateField(label="From", widget=forms.DateInput(attrs={"type": "date"}))
    reason = forms.CharField(max_length=500, widget=forms.Textarea(attrs={"rows": 2}))

    def __init__(self, data: Any = None, *, now: AgreedTerms, **kwargs: Any) -> None:
        fee = now.fees[0] if now.fees else Fee("")
        initial = {
            "share_percent": to_text(now.share * 100),
            "basis": now.basis,
            "fee_percent": fee.percent,
            "fee_fixed": fee.fixed,
            "tiers": "\n".join(f"{one.starts_at} {one.share * 100:f}" for one in now.tiers),
            "tier_window": now.tier_window,
            "guarantee": from_minor(now.guarantee_minor, now.currency),
        }
        self.currency = now.currency
        super().__init__(data, initial=initial | kwargs.pop("initial", {}), **kwargs)

    def terms(self) -> AgreedTerms:
        """Give what was typed as terms. Raises InvalidInput for tiers that are no numbers."""
        typed = self.cleaned_data
        percent, fixed = typed["fee_percent"] or Decimal(0), typed["fee_fixed"] or Decimal(0)
        steps = parse_steps(typed["tiers"], name="tiers")
        return AgreedTerms(
            share=typed["share_percent"] / 100,
            basis=typed["basis"],
            currency=self.currency,
            fees=(Fee("platform fee", percent, fixed),) if percent or fixed else (),
            tiers=tuple(Tier(one.beyond, one.percent / 100) for one in steps),
            tier_window=typed["tier_window"],
            guarantee_minor=round_minor(typed["guarantee"] or Decimal(0), self.currency),
        )


class AnswerForm(forms.Form):
    """What somebody answers to proposed terms."""

    answer = forms.ChoiceField(choices=[(one, one) for one in ("accept", "decline", "withdraw", "endorse")])
    note = forms.CharField(max_length=500, required=False)


class ServiceForm(forms.Form):
    """What an app promises from the next month on."""

    availability_percent = forms.DecimalField(
        min_value=Decimal(0),
        max_value=Decimal(100),
        required=False,
        label="Available",
        help_text="Percent of calls that are answered.",
    )
    availability_steps = forms.CharField(
        required=False,
        widget=forms.Textarea(attrs={"rows": 3, "placeholder": "99.5 10"}),
        label="Given back",
        help_text="A line each: below how many percent, and how many percent of the month's fees.",
    )
    latency_p95_ms = forms.IntegerField(
        min_value=1, required=False, label="95 % of calls within", help_text="In milliseconds."
    )
    latency_steps = forms.CharField(
        required=False,
        widget=forms.Textarea(attrs={"rows": 3, "placeholder": "2000 5"}),
        label="Given back for slowness",
        help_text="A line each: above how many milliseconds, and how many percent of the month's fees.",
    )
    support_hours = forms.IntegerField(
        min_value=1,
        max_value=1000,
        required=False,
        label="Support answers within",
        help_text="Hours. Stated, not measured: support does not run here.",
    )
    cap_percent = forms.DecimalField(
        min_value=Decimal(0),
        max_value=Decimal(100),
        initial=Decimal(100),
        label="At most",
        help_text="Percent of a month's fees.",
    )
    borne_by = forms.ChoiceField(
        choices=[
            ("creator", "The creator"),
            ("shared", "Both, as fees were split"),
            ("platform", "The platform"),
        ],
        label="Borne by",
    )


class MaintenanceForm(forms.Form):
    """Hours in which an app will be away."""

    starts_at = forms.DateTimeField(
        label="From (UTC)", widget=forms.DateTimeInput(attrs={"type": "datetime-local"})
    )
    ends_at = forms.DateTimeField(
        label="Until (UTC)", widget=forms.DateTimeInput(attrs={"type": "datetime-local"})
    )
    why = forms.CharField(max_length=200, label="Why")
