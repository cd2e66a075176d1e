"""What one person proposes and another decides: the columns, the constraints, and the moves.

A model takes its columns from ``Proposal``, has states and transitions of its own, and names its constraints with
``four_eyes``. Who may propose and decide at all, who is told, and what follows stay with its own module.
"""

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

from django.db import models
from django.db.models import F, Q

from marketplace.core.errors import InvalidInput, NotAllowed
from marketplace.core.models import Proposal as Proposal
from marketplace.core.transitions import move


class OwnProposal(NotAllowed):
    """Whoever proposed something does not decide on it."""

    code = "own_proposal"

    def __init__(self) -> None:
        super().__init__("Nobody decides what they proposed. A second person has to.")


def four_eyes(name: str, *, decided: Collection[str]) -> list[models.BaseConstraint]:
    """Build the constraints ``<name>_four_eyes`` and ``<name>_has_decider``; ``decided`` are states that need a decider."""
    return [
        models.CheckConstraint(
            condition=Q(decided_by__isnull=True) | ~Q(decided_by=F("proposed_by")),
            name=f"{name}_four_eyes",
            violation_error_message="Nobody decides what they proposed.",
        ),
        models.CheckConstraint(
            condition=~Q(state__in=list(decided)) | Q(decided_by__isnull=False, decided_at__isnull=False),
            name=f"{name}_has_decider",
        ),
    ]


def require_reason(reason: str, *, field: str = "reason", who: str = "Whoever decides reads it.") -> str:
    """Return the reason without blanks around it. Raises InvalidInput when there is none."""
    if not reason.strip():
        raise InvalidInput(field, f"Give a reason. {who}", code="required")
    return reason.strip()


def decide(
    proposal: Proposal,
    *,
    to: str,
    action: str,
    by: Any,
    at: datetime,
    note: str = "",
    changes: Mapping[str, Any] | None = None,
) -> None:
    """Decide on a proposal, once. Raises OwnProposal, or IllegalTransition when somebody decided before."""
    if proposal.proposed_by_id == by.pk:
        raise OwnProposal
    decided = {"decided_by": by, "decided_at": at, "decision_note": note, **(changes or {})}
    move(proposal, proposal.TRANSITIONS, to=to, action=action, at=at, by=by, reason=note, changes=decided)


def withdraw(proposal: Proposal, *, to: str, action: str, by: Any, at: datetime) -> None:
    """Take a proposal back; for who made it. Raises NotAllowed, or IllegalTransition when it was decided."""
    if proposal.proposed_by_id != by.pk:
        raise NotAllowed("Only who proposed it takes it back.")
    move(proposal, proposal.TRANSITIONS, to=to, action=action, at=at, by=by)
