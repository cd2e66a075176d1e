"""The form that takes a manifest: a file or pasted text, and the team a new app is for."""

from typing import Any

from django import forms
from django.db.models import QuerySet

from marketplace.accounts.models import Team
from marketplace.catalog.manifest_files import MAX_BYTES


class ManifestForm(forms.Form):
    """A manifest in JSON or YAML."""

    file = forms.FileField(
        label="File", required=False, help_text="JSON or YAML, at most 2 MiB. Or paste it below."
    )
    text = forms.CharField(
        label="Or its text", required=False, strip=False, max_length=MAX_BYTES,
        widget=forms.Textarea(attrs={"rows": 14, "class": "mono", "spellcheck": "false"}),
    )  # fmt: skip
    team = forms.ModelChoiceField(
        Team.objects.none(), empty_label=None, help_text="Owns the app if the manifest makes a new one."
    )

    def __init__(self, *args: Any, teams: QuerySet[Team], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["team"].queryset = teams  # type: ignore[attr-defined]

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        if not data.get("file") and not (data.get("text") or "").strip():
            raise forms.ValidationError("Choose a file or paste its text.")
        return data

    def content(self) -> bytes:
        """Return what was given; a file goes before text."""
        file = self.cleaned_data["file"]
        return file.read(MAX_BYTES + 1) if file else self.cleaned_data["text"].encode(errors="surrogatepass")
