"""What operators type about prices: a proposal, and the note of a decision."""

from collections.abc import Mapping
from datetime import UTC
from decimal import Decimal
from typing import Any

from django import forms

from metering.models import InstanceRate, LanguageModel, RateCard, RateProposal
from metering.proposals import GREATEST, TOKEN_PRICES
from metering.rate_cards.pages import LABELS

Kind = RateProposal.Kind
NEW_MODEL_FIELDS = ("model_title", "model_class", "context_tokens")
DAY_AND_TIME = "%Y-%m-%dT%H:%M"


def _price(name: str) -> forms.DecimalField:
    return forms.DecimalField(
        label=LABELS[name], min_value=Decimal(0), max_value=GREATEST, max_digits=27, decimal_places=18
    )


class ProposalForm(forms.Form):
    """A price to propose. With ``replaces``, its values stand in the form; a new model says more about itself."""

    subject = forms.CharField(label="Name", max_length=80)
    model_title = forms.CharField(label="Title", max_length=120, help_text="As people read it.")
    model_class = forms.ChoiceField(label="Class", choices=LanguageModel.ModelClass.choices, initial="small")
    context_tokens = forms.IntegerField(label="Tokens of context", min_value=1, max_value=100_000_000)
    starts_at = forms.DateTimeField(
        label="Holds from (UTC)",
        required=False,
        input_formats=[DAY_AND_TIME, "%Y-%m-%d %H:%M", "%Y-%m-%d"],
        widget=forms.DateTimeInput({"type": "datetime-local"}, DAY_AND_TIME),
        help_text="Empty: five minutes after it is approved.",
    )
    reason = forms.CharField(
        label="Why", max_length=2000, widget=forms.Textarea({"rows": 3}), help_text="Goes to the audit trail."
    )
    source = forms.CharField(
        label="Source", max_length=200, help_text="Where the price stands, such as a price list and its date."
    )

    def __init__(
        self,
        data: Mapping[str, Any] | None = None,
        *,
        kind: str,
        subject: str = "",
        replaces: RateCard | InstanceRate | None = None,
        is_new_model: bool = False,
    ) -> None:
        self.kind, self._subject = kind, subject
        self.price_names = ("price_per_hour",) if kind == Kind.INSTANCE_TYPE else TOKEN_PRICES
        prices = {name: _plain(getattr(replaces, name)) for name in self.price_names} if replaces else {}
        super().__init__(data, initial=prices)
        for name in self.price_names:
            self.fields[name] = _price(name)
        if subject or kind == Kind.CEILING:
            del self.fields["subject"]
        if not is_new_model:
            for name in NEW_MODEL_FIELDS:
                del self.fields[name]

    @property
    def price_fields(self) -> list[forms.BoundField]:
        return [self[name] for name in self.price_names]

    def proposal(self, *, currency: str) -> RateProposal:
        """Build what the form says, unsaved; ``currency`` is that of the platform."""
        typed = self.cleaned_data
        starts_at = typed["starts_at"]
        names = [name for name in (*self.price_names, *NEW_MODEL_FIELDS) if name in self.fields]
        return RateProposal(
            kind=self.kind,
            subject=typed.get("subject", self._subject),
            currency=currency,
            starts_at=starts_at.astimezone(UTC) if starts_at else None,
            reason=typed["reason"],
            source=typed["source"],
            **{name: typed[name] for name in names},
        )


class DecisionForm(forms.Form):
    """What the person who decides has to say."""

    note = forms.CharField(
        label="Note", required=False, max_length=2000, help_text="Whoever proposed it reads it."
    )


def _plain(price: Decimal) -> str:
    """Write a price into a field: no exponent, no zeros at its end."""
    return f"{price.normalize():f}"
