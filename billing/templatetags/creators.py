"""Words for movements on statements of creators."""

from django import template

from billing.creators.statements import WORDS, document_of
from billing.models import CreatorMovement

register = template.Library()


@register.filter
def movement_words(one: CreatorMovement) -> str:
    """Say what a movement is."""
    return WORDS[one.kind]


@register.filter
def movement_document(one: CreatorMovement) -> str:
    """Name what a movement follows from."""
    return document_of(one)
