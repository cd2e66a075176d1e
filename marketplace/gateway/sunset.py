"""What an answer says of an app whose end is announced: the headers Deprecation (RFC 9745), Sunset (RFC 8594) and Link."""

from dataclasses import dataclass
from datetime import datetime
from email.utils import format_datetime

from marketplace.catalog import deprecations
from marketplace.catalog.models import App


@dataclass(frozen=True, slots=True)
class Ending:
    """The announced end of an app; ``successor`` is the address of the app that takes its place, or empty."""

    announced_at: datetime
    ends_at: datetime
    successor: str

    @property
    def headers(self) -> dict[str, str]:
        """Write the headers: "@1688169599" and "Fri, 30 Jun 2023 23:59:59 GMT"."""
        found = {
            "deprecation": f"@{int(self.announced_at.timestamp())}",
            "sunset": format_datetime(self.ends_at, usegmt=True),
        }
        if self.successor:
            found["link"] = f'</catalog/{self.successor}/>; rel="successor-version"'
        return found


def ending_of(app: App) -> Ending | None:
    """Return the announced end of an app, or None (one query)."""
    found = deprecations.announced(app)
    if found is None:
        return None
    return Ending(found.announced_at, found.ends_at, found.successor.slug if found.successor else "")
