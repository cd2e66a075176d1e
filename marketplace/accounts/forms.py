"""What people type into the pages about themselves."""

from datetime import datetime, timedelta

from django import forms

LIFETIMES = {"30": "30 days", "90": "90 days", "365": "1 year", "": "Until revoked"}


class KeyForm(forms.Form):
    """A key to be made: what it is for, and how long it may live."""

    name = forms.CharField(
        label="What is it for?",
        max_length=80,
        help_text="Only for you, to know which key to revoke later.",
        widget=forms.TextInput(attrs={"placeholder": "laptop", "autocomplete": "off"}),
    )
    days = forms.ChoiceField(label="Works for", required=False, choices=list(LIFETIMES.items()), initial="90")

    def expires_at(self, at: datetime) -> datetime | None:
        days = self.cleaned_data["days"]
        return at + timedelta(days=int(days)) if days else None
