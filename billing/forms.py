"""What people type into the pages of finance and into the price editor."""

from decimal import Decimal
from typing import Any

from django import forms
from django.db.models import Q, QuerySet

from billing.models import Invoice
from billing.pricing import Charge, parse_charges
from billing.revenue_share import Basis
from billing.terms import ShareTerms
from marketplace.core.money import MINOR_EXPONENTS

MOST_CALLS = 10_000_000_000
_ISSUED_STATES = [choice for choice in Invoice.State.choices if choice[0] != Invoice.State.DRAFT]


def _amount(**options: Any) -> forms.DecimalField:
    return forms.DecimalField(
        required=False, min_value=Decimal(0), max_digits=38, decimal_places=18, **options
    )


class EstimateForm(forms.Form):
    """The price plan being edited; what is left empty counts as zero."""

    fee = _amount()
    free_calls = forms.IntegerField(required=False, min_value=0, max_value=MOST_CALLS)
    price_per_call = _amount()
    markup = _amount()
    cost_per_call = _amount()
    calls = forms.IntegerField(required=False, min_value=1, max_value=MOST_CALLS)
    share = _amount(max_value=Decimal(1))
    basis = forms.ChoiceField(required=False, choices=[("gross", "gross"), ("net_of_cost", "net of cost")])
    currency = forms.ChoiceField(required=False, choices=[(code, code) for code in sorted(MINOR_EXPONENTS)])

    def charges(self) -> tuple[Charge, ...]:
        """Build the plan's charges; without a markup cost is not passed on, with 0 it is at cost."""
        typed = self.cleaned_data
        charges: list[dict[str, Any]] = []
        if typed["fee"]:
            charges.append({"code": "fee", "model": "flat", "amount": typed["fee"], "prorate": True})
        if typed["price_per_call"] or typed["free_calls"]:
            charges.append(
                {
                    "code": "calls",
                    "model": "per_unit",
                    "unit_amount": typed["price_per_call"] or 0,
                    "free_units": typed["free_calls"] or 0,
                }
            )
        if typed["markup"] is not None:
            charges.append({"code": "cost", "model": "cost_plus", "markup": typed["markup"]})
        return parse_charges(charges) if charges else ()

    def share_terms(self, default: ShareTerms) -> ShareTerms:
        typed = self.cleaned_data
        basis: Basis = typed["basis"] or default.basis
        return ShareTerms(default.share if typed["share"] is None else typed["share"], basis)


class InvoiceFilter(forms.Form):
    """Narrows the list of invoices; what is left empty narrows nothing."""

    kind = forms.ChoiceField(required=False, choices=[("", "Invoices and statements"), *Invoice.Kind.choices])
    state = forms.ChoiceField(required=False, choices=[("", "Any state"), *_ISSUED_STATES])
    period = forms.RegexField(
        r"^[0-9]{4}-[0-9]{2}$",
        required=False,
        label="Month",
        widget=forms.TextInput(attrs={"placeholder": "2026-10", "size": 8}),
    )
    payer = forms.CharField(required=False, max_length=80, label="Payer")

    def narrow(self, invoices: QuerySet[Invoice]) -> QuerySet[Invoice]:
        """Keep what was asked for; nothing at all when something was asked that makes no sense."""
        if not self.is_valid():
            return invoices.none()
        for name in ("kind", "state", "period"):
            if self.cleaned_data[name]:
                invoices = invoices.filter(**{name: self.cleaned_data[name]})
        payer = self.cleaned_data["payer"]
        if payer:
            invoices = invoices.filter(
                Q(organization__name__icontains=payer)
                | Q(organization__slug=payer)
                | Q(cost_center__code__iexact=payer)
                | Q(cost_center__name__icontains=payer)
            )
        return invoices
