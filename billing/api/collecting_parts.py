"""What several answers about getting paid have in common."""

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter
from rest_framework import serializers
from rest_framework.request import Request

from billing import queries
from billing.models import (
    Invoice,
)
from marketplace.accounts.requests import actor_of
from marketplace.core.errors import InvalidInput

UUID_PATTERN = "[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
ID = OpenApiParameter("id", OpenApiTypes.UUID, "path")


class NoteBodySerializer(serializers.Serializer):
    """A word about a decision."""

    note = serializers.CharField(required=False, default="", allow_blank=True, max_length=500)


def note_of(request: Request) -> str:
    """Read the note of a body."""
    body = NoteBodySerializer(data=request.data)
    body.is_valid(raise_exception=True)
    return str(body.validated_data["note"])


def invoice_of(request: Request, number: str) -> Invoice:
    """Find an invoice that the person may see by its number. Raises InvalidInput."""
    found = queries.invoices(actor_of(request)).filter(number=number).first()
    if found is None:
        raise InvalidInput("invoice", "is not the number of an invoice", code="unknown_invoice")
    return found
