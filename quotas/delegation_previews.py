"""What a delegation would move to a delegate, and what it would not: nobody decides what they asked for themselves."""

from dataclasses import dataclass
from datetime import datetime

from marketplace.accounts.access import actor_for
from marketplace.accounts.models import User
from quotas.deputies import Hat, decidable
from quotas.increase_models import IncreaseRequest
from quotas.increase_subjects import subject_of
from quotas.models import Delegation
from quotas.owners import RELATED

SHOWN = 20


@dataclass(frozen=True)
class Moved:
    """A request that waits for the delegator now. ``is_own`` is what the delegate asked for: it stays where it is."""

    request: IncreaseRequest
    label: str
    is_own: bool


@dataclass(frozen=True)
class Preview:
    """What waits for the delegator now in these kinds of review; more may come while the delegation lasts."""

    delegate: User
    delegator: User
    moved: tuple[Moved, ...]

    @property
    def kept_back(self) -> int:
        """How many the delegate may not decide: they asked for them."""
        return sum(one.is_own for one in self.moved)


def preview(delegator: User, *, to: User, scope: str, at: datetime) -> Preview:
    """Say what would move to a delegate if it held now (two queries)."""
    levels = ["cost_review", "capacity_review"] if scope == Delegation.Scope.ALL else [scope]
    waiting = decidable([Hat(actor_for(delegator))]).filter(state__in=levels)
    found = waiting.select_related(*RELATED, "requester").order_by("escalate_at", "pk")[:SHOWN]
    moved = [Moved(one, subject_of(one).owner.label, one.requester_id == to.pk) for one in found]
    return Preview(to, delegator, tuple(moved))
