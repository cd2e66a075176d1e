"""What finance types to give an invoice up."""

from django import forms

from billing.write_offs import LONGEST_REASON


class WriteOffForm(forms.Form):
    """Why, and whether the tax is taken back with it."""

    reason = forms.CharField(
        max_length=LONGEST_REASON,
        widget=forms.Textarea(attrs={"rows": 3}),
        help_text="Stands in the books; the payer does not read it.",
    )
    takes_tax_back = forms.BooleanField(
        required=False, initial=True, label="Take back the tax that was never paid"
    )
