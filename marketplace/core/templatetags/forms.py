"""The tag behind `<c-field>`: a bound form field taken apart, its widget tied to help and error."""

from dataclasses import dataclass

from django import template
from django.forms import BoundField, CheckboxInput, CheckboxSelectMultiple, RadioSelect
from django.utils.safestring import SafeString

register = template.Library()


@dataclass(frozen=True)
class FieldParts:
    """A bound field taken apart for its component: the widget with ARIA attributes, and how to lay it out."""

    widget: SafeString
    help_id: str
    error_id: str
    is_hidden: bool
    is_check: bool
    is_group: bool


@register.simple_tag
def field_parts(field: BoundField, help_text: str = "") -> FieldParts:
    """Tie a field's widget to help and error by aria-describedby; `help_text` replaces the field's own."""
    help_id, error_id = f"{field.auto_id}-help", f"{field.auto_id}-error"
    widget = field.field.widget
    described_by = [help_id] * bool(help_text or field.help_text) + [error_id] * bool(field.errors)
    given = widget.attrs.get("aria-describedby")
    attrs: dict[str, str] = {"aria-describedby": " ".join(filter(None, [given, *described_by]))}
    if field.errors:
        attrs["aria-invalid"] = "true"
    return FieldParts(
        widget=field.as_widget(attrs={name: value for name, value in attrs.items() if value}),
        help_id=help_id,
        error_id=error_id,
        is_hidden=field.is_hidden,
        is_check=isinstance(widget, CheckboxInput),
        is_group=isinstance(widget, RadioSelect | CheckboxSelectMultiple),
    )
