"""How much capacity stays free when more is granted."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from quotas.owners import Owner


@dataclass(frozen=True)
class HeadRoom:
    """Percent of what can be served that stays free; None where nobody knows."""

    after_this: Decimal | None
    after_all_pending: Decimal | None


def head_room(owner: Owner, *, measure: str, window: str, granted: Decimal, at: datetime) -> HeadRoom:
    """Return the head-room after a grant. Nobody knows yet what can be served, and what is not known is not free."""
    return HeadRoom(None, None)
