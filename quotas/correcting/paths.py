"""How an event stands in a path: its id may hold any character, slashes and ends of lines too."""

from django.urls import register_converter


class EventIdConverter:
    """Matches whatever an id may be; its end is where the rest of the path begins."""

    regex = r"[\s\S]+"

    def to_python(self, value: str) -> str:
        return value

    def to_url(self, value: str) -> str:
        return value


register_converter(EventIdConverter, "event_id")
