"""Fields that serializers of every app share."""

from decimal import Decimal

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from marketplace.core.money import to_text

EXACT_AMOUNT = {
    "type": "string",
    "format": "decimal",
    "pattern": r"^-?\d+(\.\d+)?$",
    "example": "0.0125",
}


@extend_schema_field(EXACT_AMOUNT)
class AmountField(serializers.Field):
    """An unrounded amount: a text without trailing zeros, for a JSON number would be read as a float."""

    def to_representation(self, value: Decimal) -> str:
        return to_text(value)
