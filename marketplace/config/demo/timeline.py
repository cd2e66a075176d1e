"""When the story plays: everything in it is told in days before the anchor day."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

DAYS = 90


@dataclass(frozen=True)
class Timeline:
    """The anchor day, the moment at which the story ends on that day, and the seed of all that varies."""

    day: date
    at: datetime
    seed: int

    def ago(self, days: int, hour: int = 9, minute: int = 0) -> datetime:
        """Return a time of day, in UTC, so many days before the anchor day."""
        return datetime.combine(self.day - timedelta(days=days), time(hour, minute), UTC)

    @property
    def starts_at(self) -> datetime:
        """Return when the recorded usage begins."""
        return self.ago(DAYS, 0)


def until_now(*, now: datetime, seed: int) -> Timeline:
    """Tell the story up to this very minute."""
    return Timeline(now.astimezone(UTC).date(), now, seed)


def until_noon_of(day: date, *, now: datetime, seed: int) -> Timeline:
    """Tell the story up to noon of a day, so that it is the same whenever it is told; never into the future."""
    return Timeline(day, min(datetime.combine(day, time(12), UTC), now), seed)
