"""What finance types about legal entities, tax rates, and whom invoices are made out to."""

from typing import Any

from django import forms

from billing.countries import CHOICES
from billing.models import BillingProfile, LegalEntity, LegalEntityFacts, TaxCategory
from marketplace.catalog.models import App

_COUNTRIES = [("", "Not said"), *CHOICES]
_HINTS = {
    "registration": "Such as HRB 123456.",
    "vat_id": "With the country's letters. Without one no tax is shown.",
    "tax_number": "Of the local tax office.",
}


def _day(label: str, **options: Any) -> forms.DateTimeField:
    widget = forms.DateTimeInput(attrs={"type": "datetime-local"}, format="%Y-%m-%dT%H:%M")
    return forms.DateTimeField(label=label, widget=widget, **options)


class TaxRateForm(forms.Form):
    """A rate to be proposed."""

    country = forms.ChoiceField(choices=CHOICES)
    category = forms.ChoiceField(choices=TaxCategory.choices)
    percent = forms.DecimalField(min_value=0, max_value=100, max_digits=7, decimal_places=4)
    starts_at = _day("Holds from", help_text="In UTC. A past moment counts for what is not issued yet.")
    reason = forms.CharField(max_length=500, label="Why", help_text="The law, and where it stands.")


class AppCategoryForm(forms.Form):
    """An app that is not taxed at the standard rate."""

    app = forms.ModelChoiceField(queryset=App.objects.order_by("name"))
    category = forms.ChoiceField(choices=TaxCategory.choices, initial=TaxCategory.REDUCED)


class RateDecisionForm(forms.Form):
    """What is decided on a proposed rate."""

    decision = forms.ChoiceField(
        choices=[(one, one) for one in ("approve", "reject", "withdraw")], required=False
    )
    note = forms.CharField(required=False, max_length=500)


class EntityForm(forms.Form):
    """A legal entity, and what is printed of it from a moment."""

    code = forms.SlugField(max_length=20, help_text="What you call it here, such as europe.")
    number_prefix = forms.RegexField(
        r"^[A-Z]*$",
        max_length=6,
        required=False,
        label="Prefix of numbers",
        help_text="Capitals before INV; the first entity may have none.",
    )
    name = forms.CharField(max_length=160, label="Legal name")
    street = forms.CharField(max_length=160, required=False)
    postal_code = forms.CharField(max_length=20, required=False)
    city = forms.CharField(max_length=80, required=False)
    country = forms.ChoiceField(choices=_COUNTRIES, required=False)
    vat_id = forms.CharField(max_length=20, required=False, label="VAT number", help_text=_HINTS["vat_id"])
    tax_number = forms.CharField(max_length=30, required=False, help_text=_HINTS["tax_number"])
    registration = forms.CharField(max_length=60, required=False, help_text=_HINTS["registration"])
    email = forms.EmailField(required=False, label="Mail address")
    phone = forms.CharField(max_length=30, required=False)
    bank_name = forms.CharField(max_length=80, required=False, label="Bank")
    iban = forms.CharField(max_length=42, required=False, label="IBAN")
    bic = forms.CharField(max_length=14, required=False, label="BIC")
    starts_at = _day("Holds from", required=False, help_text="In UTC; left empty, from now on.")

    def __init__(self, data: Any = None, *, entity: LegalEntity | None = None, **options: Any) -> None:
        super().__init__(data, **options)
        if entity is not None:
            del self.fields["code"], self.fields["number_prefix"]

    def facts(self) -> dict[str, str]:
        return {field: self.cleaned_data[field] for field in LegalEntityFacts.FIELDS}


class ProfileForm(forms.Form):
    """Whom invoices of an organization are made out to, and where they go."""

    legal_name = forms.CharField(max_length=160)
    street = forms.CharField(max_length=160, required=False)
    postal_code = forms.CharField(max_length=20, required=False)
    city = forms.CharField(max_length=80, required=False)
    country = forms.ChoiceField(choices=_COUNTRIES, required=False)
    vat_id = forms.CharField(
        max_length=30, required=False, label="VAT number", help_text="With the country's letters."
    )
    language = forms.ChoiceField(choices=BillingProfile.Language.choices, label="Language of documents")
    emails = forms.CharField(
        required=False,
        label="Send documents to",
        widget=forms.Textarea(attrs={"rows": 3}),
        help_text="Mail addresses, one a line.",
    )
    purchase_order = forms.CharField(max_length=40, required=False, label="Purchase order number")
    buyer_reference = forms.CharField(
        max_length=60, required=False, label="Your reference", help_text="Such as a routing id."
    )

    def facts(self) -> dict[str, Any]:
        return {**self.cleaned_data, "emails": self.cleaned_data["emails"].split()}


class TermsForm(forms.Form):
    """What the marketplace agreed with an organization."""

    payment_days = forms.IntegerField(
        required=False, min_value=0, max_value=180, label="Days to pay", help_text="Empty: as for everybody."
    )
    entity = forms.ModelChoiceField(
        queryset=LegalEntity.objects.order_by("code"),
        required=False,
        label="Issued by",
        empty_label="The entity for everybody",
    )


class ExemptionForm(forms.Form):
    """A certificate by which an organization pays no tax."""

    number = forms.CharField(max_length=60)
    reason = forms.CharField(max_length=200, help_text="Printed on invoices: the clause of the law.")
    starts_date = forms.DateField(label="From", widget=forms.DateInput(attrs={"type": "date"}))
    ends_date = forms.DateField(label="Until and including", widget=forms.DateInput(attrs={"type": "date"}))
