"""Forms around checks: a waiver, its decision, what to do about a live app, an example, files."""

import json
from datetime import datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from django import forms

from marketplace.catalog.inputs import inputs_asked

UTC = ZoneInfo("UTC")


class WaiverForm(forms.Form):
    reason = forms.CharField(
        widget=forms.Textarea(attrs={"rows": 4}),
        max_length=2_000,
        help_text="Why this can be accepted, and what limits the harm.",
    )
    ends_on = forms.DateField(
        widget=forms.DateInput(attrs={"type": "date"}), label="Until", help_text="The last day on which it counts, UTC; at most 180 days ahead."
    )  # fmt: skip

    @property
    def ends_at(self) -> datetime:
        """Return the moment after the last day."""
        return datetime.combine(self.cleaned_data["ends_on"] + timedelta(days=1), time(), UTC)


class WaiverDecisionForm(forms.Form):
    decision = forms.ChoiceField(
        choices=[("approve", "Accept"), ("reject", "Refuse"), ("withdraw", "Withdraw")],
        widget=forms.HiddenInput,
    )
    reason = forms.CharField(
        widget=forms.Textarea(attrs={"rows": 2}),
        max_length=2_000,
        required=False,
        help_text="Needed to refuse.",
    )


class NoteForm(forms.Form):
    note = forms.CharField(max_length=2_000, label="What happens now")


class ArchiveForm(forms.Form):
    archive = forms.FileField(label="Zip of the code", help_text="At most 5 MiB, 500 files, 30 MiB unpacked.")


class AdvisoriesForm(forms.Form):
    file = forms.FileField(help_text="OSV records: a zip of JSON files, a JSON list, or JSON lines.")
    source = forms.CharField(max_length=120, initial="osv.dev, PyPI", help_text="Where it comes from.")


class ExampleForm(forms.Form):
    """One field for each input of the app, and what is expected of every answer."""

    # In a form, an input named like a method of elements takes the place of that method.
    words = forms.CharField(
        required=False,
        max_length=2_000,
        label="Contains",
        help_text="Every answer has these words, in any case.",
    )
    no_words = forms.CharField(
        required=False, max_length=2_000, label="Does not contain", help_text="No answer has these words."
    )
    pattern = forms.CharField(
        required=False,
        max_length=2_000,
        label="Matches",
        help_text="A pattern (regular expression) that is found in every answer.",
    )
    max_length = forms.IntegerField(
        required=False, min_value=1, label="Longest answer", help_text="In characters."
    )
    json_schema = forms.CharField(
        required=False, max_length=2_000, label="JSON of this schema", widget=forms.Textarea(attrs={"rows": 3, "class": "mono"}),
        help_text="A JSON Schema; every answer is JSON that it accepts.",
    )  # fmt: skip
    json_field = forms.CharField(
        required=False, max_length=200, label="A field of the JSON", help_text="Such as items[0].name"
    )
    json_field_equals = forms.CharField(
        required=False, max_length=2_000, label="Equals", help_text="A word, a number, or JSON in quotes."
    )
    max_cost = forms.CharField(
        required=False, max_length=40, label="Costs at most", help_text="Of one call, such as 0.002."
    )

    def __init__(self, *args: Any, schema: dict[str, Any], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.inputs = inputs_asked(schema)
        own = dict(self.fields)
        self.fields.clear()
        for one in self.inputs:
            if one.kind == "choice":
                field: forms.Field = forms.ChoiceField(choices=[("", "–"), *((c, c) for c in one.choices)])
            elif one.kind == "number":
                field = forms.DecimalField(min_value=one.minimum, max_value=one.maximum)
            else:
                field = forms.CharField(max_length=one.max_length, widget=forms.Textarea(attrs={"rows": 2}))
            field.label, field.required, field.help_text = one.title, one.is_required, one.help
            self.fields[f"input_{one.name}"] = field
        self.fields.update(own)

    def clean_json_schema(self) -> dict[str, Any] | None:
        text = self.cleaned_data["json_schema"]
        try:
            schema = json.loads(text, parse_float=str) if text else None
        except (ValueError, RecursionError) as error:
            raise forms.ValidationError("This is not JSON.") from error
        if schema is not None and not isinstance(schema, dict):
            raise forms.ValidationError("A JSON Schema is an object.")
        return schema

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        if not self.errors and not self._expectations(data):
            raise forms.ValidationError("Say at least one thing that is expected of the answers.")
        return data

    @property
    def example(self) -> dict[str, Any]:
        """Return what was typed as the domain takes it."""
        data = self.cleaned_data
        given = {one.name: data[f"input_{one.name}"] for one in self.inputs}
        kept = {name: _plain(value) for name, value in given.items() if value not in ("", None)}
        return {"input": kept, "expect": self._expectations(data)}

    def _expectations(self, data: dict[str, Any]) -> list[dict[str, Any]]:
        kinds = {
            "words": "contains",
            "no_words": "excludes",
            "pattern": "matches",
            "max_length": "max_length",
            "json_schema": "json",
            "max_cost": "max_cost",
        }
        if path := data.get("json_field"):
            field = {"path": path, "equals": _json_or_text(data.get("json_field_equals", ""))}
            return [*self._plain(data, kinds), {"kind": "json_field", "value": field}]
        return self._plain(data, kinds)

    def _plain(self, data: dict[str, Any], kinds: dict[str, str]) -> list[dict[str, Any]]:
        return [{"kind": kind, "value": data[name]} for name, kind in kinds.items() if data.get(name)]


def _json_or_text(text: str) -> Any:
    """Read what a field equals: JSON where it is some, else the text itself."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _plain(value: Any) -> Any:
    """Give a number as JSON has it: whole where it is whole."""
    if hasattr(value, "as_tuple"):
        return int(value) if value == value.to_integral_value() else str(value)
    return value
