"""Filters for pages of pools and savings."""

from django import template

from marketplace.core.templatetags.ui import duration
from marketplace.gateway.savings.report import hours
from marketplace.gateway.savings.telling import percent

register = template.Library()


@register.filter
def replica_hours(milliseconds: int) -> str:
    """Write the time of replicas in hours with one decimal."""
    return hours(milliseconds)


@register.filter
def duration_or_dash(milliseconds: int | None) -> str:
    """Write a duration; a dash where none was measured."""
    return "–" if milliseconds is None else str(duration(milliseconds))


@register.filter
def permille(thousandths: int) -> str:
    """Write thousandths as a percentage."""
    return percent(thousandths)
