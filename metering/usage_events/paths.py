"""Ids of events in addresses: they hold whatever their sender put into them, slashes and line ends too."""

from django.urls import register_converter
from django.urls.converters import StringConverter


class EventIdConverter(StringConverter):
    """Everything that is left of a path."""

    regex = "(?s:.+)"


register_converter(EventIdConverter, "event_id")
