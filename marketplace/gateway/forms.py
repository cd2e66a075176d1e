"""What operators type about providers: facts, a key that never comes back, and a row for each model."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django import forms

from marketplace.gateway.models import Provider
from marketplace.gateway.offering import KEEP, MAX_UPSTREAM_NAME, KeyChange, ProviderFacts, SetKey
from metering.models import LanguageModel

MOST_SECONDS = 3600


@dataclass(frozen=True)
class OfferRow:
    """The two fields of one model: whether it is offered, and its name there."""

    model: LanguageModel
    is_offered: forms.BoundField
    upstream_name: forms.BoundField


class ProviderForm(forms.Form):
    """A provider; with ``provider`` the one to be changed, whose name stays."""

    name = forms.SlugField(
        label="Short name",
        max_length=40,
        help_text="Small letters, digits and hyphens, such as openai. Stays for ever.",
    )
    title = forms.CharField(label="Name", max_length=80, help_text="Shown beside its models.")
    kind = forms.ChoiceField(
        label="Protocol",
        choices=Provider.Kind.choices,
        initial=Provider.Kind.OPENAI,
        help_text="Most servers speak OpenAI's: vLLM, Ollama, SGLang, llama.cpp, and most hosted ones.",
    )
    base_url = forms.CharField(
        label="Address",
        max_length=200,
        help_text="Where its protocol begins: https://api.openai.com/v1, https://api.anthropic.com/v1, "
        "https://generativelanguage.googleapis.com/v1beta, http://127.0.0.1:11434/v1.",
        widget=forms.URLInput(attrs={"placeholder": "https://api.openai.com/v1"}),
    )
    api_key = forms.CharField(
        label="Key",
        required=False,
        max_length=400,
        help_text="Stored sealed and never shown again.",
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
    )
    remove_key = forms.BooleanField(label="Remove the stored key", required=False)
    api_key_variable = forms.RegexField(
        regex=r"^[A-Za-z_][A-Za-z0-9_]*$",
        label="Or the environment variable with the key",
        max_length=60,
        required=False,
        help_text="Used when no key is stored; set it for web processes and workers.",
    )
    timeout_s = forms.IntegerField(
        label="Wait for an answer at most",
        min_value=1,
        max_value=MOST_SECONDS,
        initial=120,
    )
    connect_timeout_s = forms.IntegerField(
        label="For the connection", min_value=1, max_value=MOST_SECONDS, initial=5
    )
    first_byte_timeout_s = forms.IntegerField(
        label="For the first piece of a stream", min_value=1, max_value=MOST_SECONDS, initial=60
    )
    idle_timeout_s = forms.IntegerField(
        label="Between two pieces", min_value=1, max_value=MOST_SECONDS, initial=30
    )
    is_active = forms.BooleanField(label="Calls go there", required=False, initial=True)

    def __init__(
        self,
        data: Mapping[str, Any] | None = None,
        *,
        models: Sequence[LanguageModel],
        offered: Mapping[str, str],
        provider: Provider | None = None,
    ) -> None:
        super().__init__(data, initial=_initial(provider))
        # What is offered stands on top, where it is looked for.
        self._models = sorted(models, key=lambda model: model.name not in offered)
        if provider is not None:
            del self.fields["name"]
        if provider is None or not provider.api_key_sealed:
            del self.fields["remove_key"]
        else:
            self.fields[
                "api_key"
            ].help_text = "A key is stored. Leave this empty to keep it; it is never shown."
        for model in self._models:
            self.fields[f"offer-{model.pk}"] = forms.BooleanField(
                label=model.name, required=False, initial=model.name in offered
            )
            self.fields[f"upstream-{model.pk}"] = forms.CharField(
                label=f"Name of {model.name} there",
                required=False,
                max_length=MAX_UPSTREAM_NAME,
                initial=offered.get(model.name, ""),
                widget=forms.TextInput(attrs={"placeholder": model.name}),
            )

    def offer_rows(self) -> list[OfferRow]:
        """Give the fields of each model."""
        return [
            OfferRow(model, self[f"offer-{model.pk}"], self[f"upstream-{model.pk}"]) for model in self._models
        ]

    def facts(self) -> ProviderFacts:
        """Return what was typed of the provider itself."""
        return ProviderFacts(**{name: self.cleaned_data[name] for name in ProviderFacts.__dataclass_fields__})

    def key_change(self) -> KeyChange:
        """Return what happens to the stored key: a typed one replaces it, an empty field keeps it."""
        if typed := self.cleaned_data["api_key"].strip():
            return SetKey(typed)
        return SetKey("") if self.cleaned_data.get("remove_key") else KEEP

    def offers(self) -> dict[str, str]:
        """Return the chosen models, each with its name there; one left empty is called as it is here."""
        typed = self.cleaned_data
        return {
            model.name: typed[f"upstream-{model.pk}"].strip() or model.name
            for model in self._models
            if typed[f"offer-{model.pk}"]
        }


def _initial(provider: Provider | None) -> dict[str, Any]:
    if provider is None:
        return {}
    return {name: getattr(provider, name) for name in ProviderFacts.__dataclass_fields__}
