"""Reopening a closed month for corrections: somebody gives a reason, a second person agrees, somebody locks it again.

Usage and invoices stay closed: late usage goes to the next open month and what is issued never changes. What a reopened
month takes are shared costs of its days, rules that begin with it, a new allocation and revised statements.
"""

from datetime import datetime

from django.db import IntegrityError, transaction
from django.urls import reverse

from billing.closing.marks import end_approval
from billing.models import BillingPeriod, JournalBatch, Reopening
from marketplace.accounts import access
from marketplace.accounts.access import Actor, Role
from marketplace.core import audit, proposing
from marketplace.core.errors import Conflict
from marketplace.core.notices import Kind as NoticeKind
from marketplace.core.notices import notify
from marketplace.core.transitions import move

State = Reopening.State


class NotClosed(Conflict):
    """Only a closed month is reopened."""

    code = "period_not_closed"

    def __init__(self, period: BillingPeriod) -> None:
        super().__init__(f"{period.name} is {period.state}; there is nothing to reopen.")


class ReopeningWaits(Conflict):
    """A month has one reopening at a time."""

    code = "reopening_waits"

    def __init__(self, period: BillingPeriod) -> None:
        super().__init__(f"A reopening of {period.name} waits for a second person, or is under way.")


class BatchesPosted(Conflict):
    """What was handed to the general ledger is reversed first, or the month stays as it is."""

    code = "batches_posted"

    def __init__(self, batch: JournalBatch) -> None:
        super().__init__(f"{batch.external_id} is posted. Reverse it first, then the month can be reopened.")


def propose(period: BillingPeriod, *, reason: str, by: Actor, at: datetime) -> Reopening:
    """Ask for a closed month to take corrections; finance is told. Raises NotAllowed, InvalidInput, NotClosed, ReopeningWaits."""
    access.require_platform(by, Role.FINANCE)
    reason = proposing.require_reason(reason)
    if period.state != BillingPeriod.State.CLOSED:
        raise NotClosed(period)
    try:
        with transaction.atomic():
            reopening = Reopening.objects.create(
                period=period, reason=reason, proposed_by=by.user, proposed_at=at
            )
            audit.record("billing.reopening.proposed", subject=reopening, at=at, by=by.user, reason=reason)
            notify(
                access.platform_people(Role.FINANCE).exclude(pk=by.user.pk),
                text=f"{period.name} is to be reopened for corrections: {reason}",
                at=at,
                key=f"reopening:{reopening.pk}:proposed",
                path=reverse("billing:checklist", args=[period.name]),
                kind=NoticeKind.DECISIONS,
                is_of_platform=True,
            )
    except IntegrityError as error:
        raise ReopeningWaits(period) from error
    return reopening


def approve(reopening: Reopening, *, by: Actor, at: datetime, note: str = "") -> None:
    """Reopen a month. Its approval ends. Raises OwnProposal, NotAllowed, BatchesPosted, IllegalTransition."""
    access.require_platform(by, Role.FINANCE)
    with transaction.atomic():
        # Posting locks the month too, so a batch and a reopening do not pass each other.
        period = BillingPeriod.objects.select_for_update().get(pk=reopening.period_id)
        batch = period.journal_batches.filter(state=JournalBatch.State.POSTED, reverses=None).first()
        if batch is not None:
            raise BatchesPosted(batch)
        proposing.decide(
            reopening, to=State.APPROVED, action="billing.reopening.approved", by=by.user, at=at, note=note
        )
        end_approval(period, at=at)


def reject(reopening: Reopening, *, by: Actor, at: datetime, note: str) -> None:
    """Refuse a reopening with a reason. Raises OwnProposal, NotAllowed, InvalidInput, IllegalTransition."""
    access.require_platform(by, Role.FINANCE)
    note = proposing.require_reason(note, field="note")
    proposing.decide(
        reopening, to=State.REJECTED, action="billing.reopening.rejected", by=by.user, at=at, note=note
    )


def withdraw(reopening: Reopening, *, by: Actor, at: datetime) -> None:
    """Take one's own proposal back. Raises NotAllowed, IllegalTransition."""
    proposing.withdraw(reopening, to=State.WITHDRAWN, action="billing.reopening.withdrawn", by=by.user, at=at)


def lock(reopening: Reopening, *, by: Actor, at: datetime) -> None:
    """Lock a reopened month again: it takes nothing more. Raises NotAllowed, IllegalTransition."""
    access.require_platform(by, Role.FINANCE)
    move(
        reopening,
        Reopening.TRANSITIONS,
        to=State.ENDED,
        action="billing.reopening.ended",
        at=at,
        by=by.user,
        changes={"ended_at": at, "ended_by": by.user},
    )


def active(period: BillingPeriod | str) -> Reopening | None:
    """Return the reopening of a month that waits or is under way."""
    found = Reopening.objects.select_related("proposed_by", "decided_by", "period")
    return found.filter(period=period, state__in=(State.PROPOSED, State.APPROVED)).first()
