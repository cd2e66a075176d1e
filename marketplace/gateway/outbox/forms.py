"""What keepers type about a channel; its address goes in and never comes back."""

from collections.abc import Mapping, Sequence
from typing import Any

from django import forms

from marketplace.core.models import NoticeChannel
from marketplace.core.notice_kinds import Kind
from marketplace.gateway.egress import MAX_URL_LENGTH
from marketplace.gateway.outbox.channels import ChannelFacts
from marketplace.gateway.outbox.keepers import Place

USUAL = (Kind.DECISIONS, Kind.LIMITS, Kind.INCIDENTS, Kind.APPS)


class ChannelForm(forms.Form):
    """A channel; with ``channel`` the one to be changed, whose place and form stay."""

    name = forms.CharField(
        label="Name", max_length=80, widget=forms.TextInput(attrs={"placeholder": "Alarms"})
    )
    where = forms.ChoiceField(label="Notices about")
    sent_as = forms.ChoiceField(label="Sent as", choices=NoticeChannel.Form.choices)
    url = forms.CharField(
        label="Address",
        max_length=MAX_URL_LENGTH,
        help_text="A public https:// address. Stored sealed and never shown again.",
        widget=forms.URLInput(attrs={"placeholder": "https://hooks.example.com/…", "autocomplete": "off"}),
    )
    kinds = forms.MultipleChoiceField(
        label="Kinds of notices", choices=Kind.choices, widget=forms.CheckboxSelectMultiple, initial=USUAL
    )

    def __init__(
        self,
        data: Mapping[str, Any] | None = None,
        *,
        places: Sequence[Place] = (),
        channel: NoticeChannel | None = None,
    ) -> None:
        initial = {"name": channel.name, "kinds": channel.kinds} if channel else None
        super().__init__(data, initial=initial)
        self._places = {one.key: one for one in places}
        self.fields["where"].choices = [(key, str(one)) for key, one in self._places.items()]  # type: ignore[attr-defined]
        if channel is not None:
            del self.fields["where"], self.fields["sent_as"]
            self.fields["url"].required = False
            self.fields["url"].help_text = "Leave this empty to keep the address; it is never shown."

    def facts(self) -> ChannelFacts:
        """Return what was typed, but for the address."""
        return ChannelFacts(self.cleaned_data["name"], self.cleaned_data["kinds"])

    def place(self) -> Place:
        """Return whose notices it gets."""
        return self._places[self.cleaned_data["where"]]
