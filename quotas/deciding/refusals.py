"""What the domain refuses, at the fields of a form."""

from collections.abc import Mapping

from django.forms import Form

from marketplace.core.errors import HalfpennyError, InvalidInput


def tell(form: Form, error: HalfpennyError, *, names: Mapping[str, str] | None = None) -> None:
    """Put each message to its field, which the form may call by another of ``names``; what has none, above the form."""
    if not isinstance(error, InvalidInput):
        form.add_error(None, error.message)
        return
    for one in error.errors:
        field = (names or {}).get(one.field, one.field)
        form.add_error(field if field in form.fields else None, one.message)
