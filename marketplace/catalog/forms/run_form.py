"""The form by which a person runs an app: one field for each input, and files of text for the long ones."""

from collections.abc import Sequence
from typing import Any, cast

from django import forms
from django.core.files.uploadedfile import UploadedFile

from marketplace.catalog.forms.inputs_form import plain_number
from marketplace.catalog.inputs import Input

LONG_TEXT = 200
# A letter of UTF-8 has at most four bytes, and a file may begin with a mark of three.
BYTES_A_LETTER = 4


class RunForm(forms.Form):
    """Typed inputs of an app."""

    def __init__(self, *args: Any, inputs: Sequence[Input], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.inputs = list(inputs)
        for one in self.inputs:
            self.fields[f"input.{one.name}"] = _field_of(one)
            if _takes_file(one):
                label = f"Or a file with it ({one.title})"
                self.fields[f"file.{one.name}"] = forms.FileField(
                    label=label, required=False, help_text="Plain text in UTF-8.",
                    widget=forms.ClearableFileInput(attrs={"accept": "text/*,.txt,.md,.csv,.json,.log"}),
                )  # fmt: skip

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        for one in self.inputs:
            name = f"input.{one.name}"
            file = data.get(f"file.{one.name}")
            if file is not None:
                data[name] = self._text_of(one, file)
            if one.is_required and data.get(name) in ("", None) and not self._is_refused(one):
                self.add_error(name, "This field is required.")
        return data

    def given(self) -> dict[str, Any]:
        """Return the input as the app takes it; what was left empty is left out."""
        given = {one.name: self.cleaned_data.get(f"input.{one.name}") for one in self.inputs}
        return {name: plain_number(value) for name, value in given.items() if value not in ("", None)}

    def _is_refused(self, one: Input) -> bool:
        return bool({f"input.{one.name}", f"file.{one.name}"} & set(self.errors))

    def _text_of(self, one: Input, file: UploadedFile) -> str:
        """Read a file of text, never more of it than the input takes."""
        most = one.max_length * BYTES_A_LETTER + 3
        content = cast(bytes, file.read(most + 1))
        try:
            text = content.decode("utf-8-sig") if len(content) <= most else None
        except UnicodeDecodeError:
            self.add_error(f"file.{one.name}", "This is not a text in UTF-8.")
            return ""
        if text is None or len(text) > one.max_length:
            self.add_error(f"file.{one.name}", f"The text has more than {one.max_length:,} characters.")
            return ""
        if "\x00" in text:
            self.add_error(f"file.{one.name}", "This is not a text.")
            return ""
        return text.replace("\r\n", "\n")


def _takes_file(one: Input) -> bool:
    return one.kind == "text" and one.max_length > LONG_TEXT


def _field_of(one: Input) -> forms.Field:
    # What is required is asked for after files were read.
    label = one.title if one.is_required else f"{one.title} (optional)"
    shared: dict[str, Any] = {"label": label, "help_text": one.help, "required": False}
    if one.kind == "choice":
        return forms.ChoiceField(choices=[("", "–"), *((c, c) for c in one.choices)], **shared)
    if one.kind == "number":
        return forms.DecimalField(min_value=one.minimum, max_value=one.maximum, **shared)
    widget = forms.Textarea(attrs={"rows": 6}) if _takes_file(one) else forms.TextInput()
    return forms.CharField(max_length=one.max_length, strip=False, widget=widget, **shared)
