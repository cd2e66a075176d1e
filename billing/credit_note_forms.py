"""What finance types to give something back: all that is left, an amount, or amounts of lines."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any
from uuid import uuid4

from django import forms

from billing.credit_asks import Ask, read_minor
from billing.credit_notes import LONGEST_REASON
from billing.crediting import Creditable
from marketplace.core.errors import InvalidInput
from marketplace.core.money import from_minor, minor_exponent

WHAT = (("all", "All that is left"), ("amount", "An amount"), ("lines", "Lines of it"))


class CreditForm(forms.Form):
    """One field for each line that has something left, named `line_` and its position."""

    what = forms.ChoiceField(
        choices=WHAT, widget=forms.RadioSelect, initial="all", label="What is given back"
    )
    amount = forms.DecimalField(required=False, min_value=Decimal(0), help_text="Tax included.")
    reason = forms.CharField(
        max_length=LONGEST_REASON,
        widget=forms.Textarea(attrs={"rows": 3}),
        help_text="The payer reads it on the credit note.",
    )
    key = forms.CharField(max_length=100, widget=forms.HiddenInput)

    def __init__(self, data: Any = None, *, lines: Sequence[Creditable], currency: str) -> None:
        super().__init__(data, initial={"key": str(uuid4())})
        self.currency = currency
        decimals = minor_exponent(currency)
        self.fields["amount"] = forms.DecimalField(
            required=False, min_value=Decimal(0), decimal_places=decimals, help_text="Tax included."
        )
        for line in lines:
            if line.left.gross_minor:
                self.fields[f"line_{line.position}"] = forms.DecimalField(
                    required=False, decimal_places=decimals, label=f"Give back of line {line.position}"
                )

    def ask(self) -> Ask:
        """Build what is asked for. Raises InvalidInput when an amount is missing."""
        typed = self.cleaned_data
        if typed["what"] == "amount":
            if typed["amount"] is None:
                raise InvalidInput("amount", "is needed")
            return Ask(amount_minor=read_minor(typed["amount"], field="amount", currency=self.currency))
        if typed["what"] == "all":
            return Ask()
        lines: dict[int, int | None] = {
            int(name.removeprefix("line_")): read_minor(value, field=name, currency=self.currency)
            for name, value in typed.items()
            if name.startswith("line_") and value
        }
        if not lines:
            raise InvalidInput("", "Give an amount for at least one line.")
        return Ask(lines=lines)

    def refuse(self, error: InvalidInput) -> None:
        """Show what the domain found wrong at the field that it is about."""
        for one in error.errors:
            name = one.field.replace("lines[", "line_").rstrip("]")
            self.add_error(name if name in self.fields else None, one.message)

    def line_field(self, position: int) -> forms.BoundField | None:
        name = f"line_{position}"
        return self[name] if name in self.fields else None


class CreditDecisionForm(forms.Form):
    """Approve, reject or take back; a rejection says why."""

    decision = forms.ChoiceField(choices=[(one, one) for one in ("approve", "reject", "withdraw")])
    note = forms.CharField(required=False, max_length=LONGEST_REASON)


def left_text(line: Creditable, currency: str) -> str:
    """Write what is left of a line, as a placeholder."""
    return f"{from_minor(line.left.gross_minor, currency):f}"
