"""Forms of routing: the table row by row, how it is put to use, and what is asked of dear models."""

from collections.abc import Mapping, Sequence
from typing import Any

from django import forms

from marketplace.gateway.routing import intents, policies, table
from marketplace.gateway.routing.table import Row

_ANY = (("", "any"), ("yes", "with"), ("no", "without"))
_FLAGS = {"": None, "yes": True, "no": False}
ROW_FIELDS = (
    "intents", "tokens_from", "tokens_below", "tools", "schema", "images", "environments", "budget_left_below", "use",
)  # fmt: skip


class RowForm(forms.Form):
    """A row; one without ``use`` is left out."""

    intents = forms.CharField(required=False, max_length=400, label="Intents")
    tokens_from = forms.IntegerField(required=False, min_value=0, label="From tokens")
    tokens_below = forms.IntegerField(required=False, min_value=0, label="Under tokens")
    tools = forms.ChoiceField(required=False, choices=_ANY, label="Tools")
    schema = forms.ChoiceField(required=False, choices=_ANY, label="Schema")
    images = forms.ChoiceField(required=False, choices=_ANY, label="Images")
    environments = forms.CharField(required=False, max_length=60, label="Environments")
    budget_left_below = forms.IntegerField(
        required=False, min_value=0, max_value=100, label="Budget left under, %"
    )
    use = forms.ChoiceField(required=False, label="Uses")

    def __init__(self, *args: Any, uses: Sequence[str] = (), **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        use = self.fields["use"]
        assert isinstance(use, forms.ChoiceField)
        use.choices = [("", "no row"), *((one, one) for one in uses)]
        for name, field in self.fields.items():
            field.widget.attrs["aria-label"] = str(field.label or name)
        self.fields["intents"].widget.attrs["list"] = "known-intents"

    def row(self) -> dict[str, Any]:
        """Return what the row says, as the API takes it."""
        said = self.cleaned_data
        found: dict[str, Any] = {"use": said["use"]}
        for name in ("intents", "environments"):
            if names := [one.strip() for one in said[name].split(",") if one.strip()]:
                found[name] = names
        for name in ("tokens_from", "tokens_below", "budget_left_below"):
            if said[name] is not None:
                found[name] = said[name]
        for part in table.PARTS:
            if (flag := _FLAGS[said[part]]) is not None:
                found[part] = flag
        return found


class _Rows(forms.BaseFormSet):
    def add_fields(self, form: Any, index: int | None) -> None:
        """Say of the field that orders rows what it is."""
        super().add_fields(form, index)
        form.fields["ORDER"].widget.attrs["aria-label"] = "Place in the table"

    def rows(self) -> list[dict[str, Any]]:
        """Return the rows in the order in which their places say."""
        placed = [
            (form.cleaned_data.get("ORDER") or 10_000, at, form)
            for at, form in enumerate(self.forms)
            if form.is_valid() and form.cleaned_data.get("use")
        ]
        return [form.row() for _, _, form in sorted(placed, key=lambda one: one[:2])]


RowFormSet = forms.formset_factory(RowForm, formset=_Rows, extra=2, can_order=True, max_num=table.MOST_ROWS)


def row_forms(data: Mapping[str, Any] | None, rows: Sequence[Row], *, uses: Sequence[str]) -> Any:
    """Build the forms of a table, filled with rows."""
    return RowFormSet(data, prefix="row", initial=[_initial(row) for row in rows], form_kwargs={"uses": uses})


def _initial(row: Row) -> dict[str, Any]:
    told = {name: getattr(row, name) for name in ROW_FIELDS}
    flags = {True: "yes", False: "no", None: ""}
    return told | {
        "intents": ", ".join(row.intents),
        "environments": ", ".join(row.environments),
        **{part: flags[getattr(row, part)] for part in table.PARTS},
    }


class PolicyForm(forms.Form):
    """How a table is put to use."""

    mode = forms.ChoiceField(choices=policies.Mode.choices, label="It decides")
    percent = forms.IntegerField(
        min_value=1,
        max_value=100,
        initial=100,
        label="Percent",
        help_text="Of a part of the calls; else 100.",
    )
    split_by = forms.ChoiceField(
        choices=policies.Split.choices, label="A part is made of", initial=policies.Split.SUBSCRIPTION
    )
    quality_floor = forms.IntegerField(
        min_value=policies.LEAST_FLOOR, max_value=policies.MOST_FLOOR, initial=95, label="Quality floor, %",
        help_text="So much of the strongest models' quality is kept: “auto” goes by it, and feedback is held against it.",
    )  # fmt: skip
    note = forms.CharField(required=False, max_length=400, label="What is new")
    replaces = forms.IntegerField(widget=forms.HiddenInput, required=False)

    def policy(self, rows: list[dict[str, Any]]) -> dict[str, Any]:
        """Return the policy, as the API takes it."""
        said = {name: value for name, value in self.cleaned_data.items() if name != "replaces"}
        return said | {"rows": rows}


class AskDearForm(forms.Form):
    model = forms.ChoiceField(label="Model")
    reason = forms.CharField(widget=forms.Textarea(attrs={"rows": 3}), max_length=2000, label="Why")
    ends_at = forms.DateField(required=False, label="Until", widget=forms.DateInput(attrs={"type": "date"}))

    def __init__(self, *args: Any, names: Sequence[str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        model = self.fields["model"]
        assert isinstance(model, forms.ChoiceField)
        model.choices = [(name, name) for name in names]


class DearRuleForm(forms.Form):
    model_classes = forms.MultipleChoiceField(
        required=False,
        choices=[(one, one) for one in table.CLASSES],
        widget=forms.CheckboxSelectMultiple,
        label="Classes",
    )
    output_per_mtok_from = forms.DecimalField(
        required=False, max_digits=20, decimal_places=6, label="Or output from, per million tokens"
    )
    starts_on = forms.DateField(
        required=False,
        label="From",
        help_text="Left out: from now on.",
        widget=forms.DateInput(attrs={"type": "date"}),
    )
    reason = forms.CharField(widget=forms.Textarea(attrs={"rows": 2}), max_length=2000, label="Why")


class DearNoteForm(forms.Form):
    note = forms.CharField(
        required=False, widget=forms.Textarea(attrs={"rows": 3}), max_length=2000, label="Note"
    )


KNOWN_INTENTS = intents.BUILT_IN
