"""The rows of a form in which a creator says what the app asks for."""

import re
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any, cast

from django import forms
from django.forms.formsets import BaseFormSet

from marketplace.catalog.inputs import DEFAULT_MAX_LENGTH, MAX_INPUTS, MAX_TEXT, Input, Kind
from marketplace.core.errors import FieldError

PREFIX = "inputs"
_ROW = re.compile(r"inputs\[(\d+)\]\.(\w+)")


class InputForm(forms.Form):
    """One input: what it is called, what it may hold, and an example that the check uses."""

    name = forms.CharField(
        max_length=40, help_text="Stands in the prompt as {{ name }}.",
        widget=forms.TextInput(attrs={"class": "mono", "spellcheck": "false", "autocapitalize": "off"}),
    )  # fmt: skip
    title = forms.CharField(label="Label", max_length=60)
    kind = forms.ChoiceField(
        choices=[("text", "Text"), ("choice", "Choice"), ("number", "Number")], initial="text"
    )
    help = forms.CharField(label="Help", max_length=160, required=False)
    choices = forms.CharField(max_length=1_000, required=False, help_text="Of a choice, separated by commas.")
    max_length = forms.IntegerField(
        label="Longest text", min_value=1, max_value=MAX_TEXT, required=False, help_text="Characters."
    )
    minimum = forms.IntegerField(label="Smallest number", required=False)
    maximum = forms.IntegerField(label="Largest number", required=False)
    example = forms.CharField(
        widget=forms.Textarea(attrs={"rows": 2}), max_length=MAX_TEXT, required=False,
        help_text="Shown when somebody tries the app; the check calls it with this.",
    )  # fmt: skip
    is_required = forms.BooleanField(label="Must be given", required=False, initial=True)

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        if data.get("kind") == "number" and data.get("example"):
            try:
                data["example"] = _number(data["example"])
            except ArithmeticError:
                self.add_error("example", "Must be a number.")
        return data

    def as_input(self) -> Input:
        data = self.cleaned_data
        kind: Kind = data["kind"]
        return Input(
            name=data["name"],
            title=data["title"],
            kind=kind,
            help=data["help"],
            is_required=data["is_required"],
            choices=tuple(filter(None, map(str.strip, data["choices"].split(","))))
            if kind == "choice"
            else (),
            max_length=data["max_length"] or DEFAULT_MAX_LENGTH,
            minimum=data["minimum"] if kind == "number" else None,
            maximum=data["maximum"] if kind == "number" else None,
        )


class InputRows(BaseFormSet):
    """All rows. A row marked for removal counts no longer."""

    def kept(self) -> list[InputForm]:
        """Return the rows that stay and say something; only after validation."""
        return [form for form in self.forms if not form.cleaned_data.get("DELETE") and form.cleaned_data]

    def inputs(self) -> list[Input]:
        return [form.as_input() for form in self.kept()]

    def example_input(self) -> dict[str, Any]:
        """Return the examples by name; an empty one of an optional input is left out."""
        rows = [form.cleaned_data for form in self.kept()]
        return {row["name"]: row["example"] for row in rows if row["example"] != ""}

    def place(self, error: FieldError) -> bool:
        """Put an error of the domain at its row; False when it is not about one."""
        kept = self.kept()
        if match := _ROW.fullmatch(error.field):
            form, name = kept[int(match[1])], match[2]
            form.add_error(name if name in form.fields else None, error.message)
            return True
        for form in kept:
            if form.cleaned_data.get("name") == error.field:
                form.add_error("example", f"The example {error.message}.")
                return True
        return False


InputFormSet = forms.formset_factory(
    InputForm, formset=InputRows, extra=0, max_num=MAX_INPUTS, validate_max=True, can_delete=True
)


def bound_rows(data: Mapping[str, Any], *, add_row: bool = False) -> InputRows:
    """Read the rows a person sent, with an empty one more when they asked for it."""
    if not add_row:
        return cast(InputRows, InputFormSet(data, prefix=PREFIX))
    longer = data.copy() if hasattr(data, "copy") else dict(data)
    key = f"{PREFIX}-TOTAL_FORMS"
    shown = str(longer.get(key))
    count = min((int(shown) if shown.isdecimal() else 0) + 1, MAX_INPUTS)
    longer[key] = str(count)
    longer.setdefault(f"{PREFIX}-{count - 1}-kind", "text")
    longer.setdefault(f"{PREFIX}-{count - 1}-is_required", "on")
    return cast(InputRows, InputFormSet(longer, prefix=PREFIX))


def fresh_rows(rows: Iterable[Mapping[str, Any]]) -> InputRows:
    """Show rows that nobody has edited yet."""
    return cast(InputRows, InputFormSet(initial=list(rows), prefix=PREFIX))


def rows_of(inputs: Sequence[Input], example_input: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return what the rows show of an app's inputs."""
    return [
        {
            "name": one.name,
            "title": one.title,
            "kind": one.kind,
            "help": one.help,
            "is_required": one.is_required,
            "choices": ", ".join(one.choices),
            "max_length": one.max_length if one.kind == "text" else None,
            "minimum": one.minimum,
            "maximum": one.maximum,
            "example": example_input.get(one.name, ""),
        }
        for one in inputs
    ]


def _number(text: str) -> int | float:
    """Read a number as JSON will carry it; it is an input of an app, never money."""
    value = Decimal(text.strip().replace(",", "."))
    if not value.is_finite():
        raise ArithmeticError
    return int(value) if value == value.to_integral_value() else float(value)


def plain_number(value: Any) -> Any:
    """Give a number that a form has read as JSON carries it; everything else as it is."""
    return _number(str(value)) if isinstance(value, Decimal) else value
