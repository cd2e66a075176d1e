"""The terms a team accepts with each step of a subscription: numbered, and kept with what was agreed. Pure."""

from dataclasses import dataclass
from hashlib import sha256


@dataclass(frozen=True)
class Terms:
    """Terms under a version. A changed point is a new version, whose text has another digest."""

    version: str
    points: tuple[str, ...]

    @property
    def digest(self) -> str:
        """Return what tells one text from another."""
        return sha256("\n".join(self.points).encode()).hexdigest()


CURRENT = Terms(
    "2026-11",
    (
        "The team may call the app within the limits of its plan. A call beyond a limit is refused and costs nothing.",
        "Usage is booked on the cost center, at the price of the plan as it is on the day of the subscription. "
        "The plan stays as it is; a new price needs a change that you agree to.",
        "A monthly fee counts by days: the day of a start or a change belongs to the new plan, the day of an end "
        "is not charged.",
        "You can change the plan or cancel on any day. What was used before is billed at the end of the month.",
        "What you send goes where the page of the app says. Who holds a key calls on your bill: keep keys secret, "
        "and revoke those that others saw.",
    ),
)
