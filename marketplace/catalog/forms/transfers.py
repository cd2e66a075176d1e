"""Forms to give an app to another team and to answer that."""

from django import forms
from django.db.models import QuerySet

from marketplace.accounts.models import Team


class TransferForm(forms.Form):
    """To whom an app shall go, from when on, and why."""

    team = forms.ModelChoiceField(Team.objects.none(), label="To the team", empty_label="Choose a team")
    starts_on = forms.DateField(
        label="From",
        required=False,
        widget=forms.DateInput(attrs={"type": "date"}),
        help_text="The start of this day in UTC. Empty: six minutes after it is accepted.",
    )
    reason = forms.CharField(label="Why", max_length=2000, widget=forms.Textarea(attrs={"rows": 3}))

    def __init__(self, data: object, *, teams: QuerySet[Team]) -> None:
        super().__init__(data)  # type: ignore[arg-type]
        field = self.fields["team"]
        assert isinstance(field, forms.ModelChoiceField)
        field.queryset = teams


class AnswerForm(forms.Form):
    """What the other team has to say."""

    note = forms.CharField(label="Note", required=False, max_length=2000)
