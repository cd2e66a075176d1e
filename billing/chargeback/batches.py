"""Journal batches: what cost centers are charged in a month, handed to the general ledger in one balanced piece.

The books of this marketplace take a statement's direct part when the month is closed. A batch adds the part of what is
shared and the corrections, and takes every entry along that charges the cost centers and is in no other batch.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Exists, F, Max, OuterRef, Q, QuerySet

from billing.chargeback import booking
from billing.ledger import chart
from billing.models import (
    BatchedEntry,
    BillingPeriod,
    BudgetDebit,
    CostStatement,
    JournalBatch,
    JournalBatchLine,
    JournalEntry,
    Posting,
    StatementDispute,
)
from marketplace.accounts import access
from marketplace.accounts.access import Actor, Role
from marketplace.accounts.models import CostCenter, Organization
from marketplace.core import audit
from marketplace.core.errors import Conflict
from marketplace.core.proposing import require_reason
from marketplace.core.transitions import move

DAY = timedelta(days=1)
Legs = dict[tuple[str, int | None, int | None, int | None, bool], int]


class NotReadyToPost(Conflict):
    """A month is posted when it is closed and approved, nobody can dispute it any more, and no dispute is open."""

    code = "not_ready_to_post"

    def __init__(self, reasons: Iterable[str]) -> None:
        self.reasons = tuple(reasons)
        super().__init__(" ".join(self.reasons))


class NothingToPost(Conflict):
    """Everything of the month is in a batch already."""

    code = "nothing_to_post"

    def __init__(self, period: BillingPeriod) -> None:
        super().__init__(f"Nothing of {period.name} waits for a batch.")


@dataclass(frozen=True)
class Line:
    """A line of a batch, made or to be: positive debits, negative credits."""

    account: str
    cost_center_id: int | None
    team_id: int | None
    app_id: int | None
    amount_minor: int
    is_shared: bool


@dataclass(frozen=True)
class Preview:
    """What a batch would hold, and what keeps it from being posted."""

    lines: tuple[Line, ...]
    reasons: tuple[str, ...]

    @property
    def debit_minor(self) -> int:
        return sum(line.amount_minor for line in self.lines if line.amount_minor > 0)


def preview(period: BillingPeriod, *, organization: Organization, currency: str, at: datetime) -> Preview:
    """Say what a batch would hold as things stand; writes nothing."""
    entries = _waiting(period, organization, currency)
    legs = _legs_of(entries)
    for leg in booking.shared_legs(period, organization, currency):
        _add(legs, leg.account.code, leg.cost_center_id, None, leg.app_id, True, leg.amount_minor)
    return Preview(_lines(legs), tuple(reasons_against(period, organization, currency, at=at)))


def is_waiting(period: BillingPeriod, *, organization: Organization, currency: str) -> bool:
    """Tell whether anything of a month is in no batch."""
    return _waiting(period, organization, currency).exists() or bool(
        booking.shared_legs(period, organization, currency)
    )


def reasons_against(
    period: BillingPeriod, organization: Organization, currency: str, *, at: datetime
) -> list[str]:
    """Say what keeps a month from being posted (three queries)."""
    reasons = []
    if period.state != BillingPeriod.State.CLOSED:
        reasons.append(f"{period.name} is {period.state}.")
    if not period.step_marks.filter(step="approved", ended_at=None).exists():
        reasons.append(f"Nobody has approved {period.name}.")
    published = CostStatement.objects.filter(
        period=period, organization=organization, currency=currency, state=CostStatement.State.PUBLISHED
    )
    facts = published.aggregate(
        until=Max("disputable_until", filter=Q(mode=CostCenter.Mode.CHARGEBACK)),
        last=Max("published_at"),
    )
    if facts["last"] is None:
        reasons.append("No statement is published.")
    if facts["until"] and at < facts["until"]:
        reasons.append(f"Statements can be disputed until {facts['until']:%d %B %Y, %H:%M} UTC.")
    is_open = Q(
        state=StatementDispute.State.OPEN, statement__period=period, statement__organization=organization
    )
    if count := StatementDispute.objects.filter(is_open, statement__currency=currency).count():
        reasons.append(f"{count} disputes wait for a decision.")
    return reasons


def post(
    period: BillingPeriod,
    *,
    organization: Organization,
    currency: str,
    by: Actor,
    at: datetime,
) -> JournalBatch:
    """Post what waits of a month: book shared parts and corrections, take all of it into a batch, debit budgets.

    Locks the month, so that of two at once the second finds nothing left. Raises NotAllowed, NotReadyToPost, NothingToPost.
    """
    access.require_platform(by, Role.FINANCE)
    with transaction.atomic():
        period = BillingPeriod.objects.select_for_update().get(pk=period.pk)
        if reasons := reasons_against(period, organization, currency, at=at):
            raise NotReadyToPost(reasons)
        number = _next_number(period, organization, currency)
        booked = booking.book_shared(period, organization, currency, number=number, at=at)
        entries = list(_waiting(period, organization, currency))
        lines = _lines(_legs_of([*entries, *booked]))
        if not entries and not booked:
            raise NothingToPost(period)
        batch = _make(period, organization, currency, number, lines, by=by, at=at)
        BatchedEntry.objects.bulk_create(BatchedEntry(batch=batch, entry=one) for one in [*entries, *booked])
        _debit_budgets(batch, lines)
        _note("billing.journal_batch.posted", batch, by=by, at=at)
    return batch


def reverse(batch: JournalBatch, *, reason: str, by: Actor, at: datetime) -> JournalBatch:
    """Reverse a batch by one of opposite lines; what was in it may be posted anew. Returns the reversal.

    Raises NotAllowed, InvalidInput, IllegalTransition when it was reversed before.
    """
    access.require_platform(by, Role.FINANCE)
    reason = require_reason(reason)[:300]
    with transaction.atomic():
        period = BillingPeriod.objects.select_for_update().get(pk=batch.period_id)
        move(
            batch,
            JournalBatch.TRANSITIONS,
            to=JournalBatch.State.REVERSED,
            action="billing.journal_batch.reversed",
            at=at,
            by=by.user,
            reason=reason,
            changes={"reversed_at": at, "reversed_by": by.user, "reason": reason},
        )
        booking.unbook_shared(batch, at=at)
        batch.entries.filter(released_at=None).update(released_at=at)
        lines = tuple(
            Line(one.account, one.cost_center_id, one.team_id, one.app_id, -one.amount_minor, one.is_shared)
            for one in batch.lines.all()
        )
        number = _next_number(period, batch.organization, batch.currency)
        opposite = _make(
            period, batch.organization, batch.currency, number, lines, by=by, at=at, reverses=batch
        )
        _debit_budgets(opposite, lines)
    return opposite


def _next_number(period: BillingPeriod, organization: Organization, currency: str) -> int:
    found = JournalBatch.objects.filter(period=period, organization=organization, currency=currency)
    return (found.aggregate(last=Max("number"))["last"] or 0) + 1


def _make(
    period: BillingPeriod,
    organization: Organization,
    currency: str,
    number: int,
    lines: tuple[Line, ...],
    *,
    by: Actor,
    at: datetime,
    reverses: JournalBatch | None = None,
) -> JournalBatch:
    statement = CostStatement.objects.filter(period=period, state=CostStatement.State.PUBLISHED).first()
    batch = JournalBatch.objects.create(
        external_id=f"HP-{period.name}-{organization.slug}-{currency}-{number}",
        period=period,
        organization=organization,
        currency=currency,
        number=number,
        run_id=statement.run_id if statement else None,
        reverses=reverses,
        debit_minor=sum(line.amount_minor for line in lines if line.amount_minor > 0),
        posting_date=(period.ends_at - DAY).date(),
        posted_at=at,
        posted_by=by.user,
    )
    what = f"Reversal of {reverses.external_id}" if reverses else f"Charges of {period.name}"
    JournalBatchLine.objects.bulk_create(
        JournalBatchLine(
            batch=batch,
            position=position,
            account=line.account,
            cost_center_id=line.cost_center_id,
            team_id=line.team_id,
            app_id=line.app_id,
            amount_minor=line.amount_minor,
            memo=f"{what}, {'shared and corrected' if line.is_shared else 'direct'}",
            is_shared=line.is_shared,
        )
        for position, line in enumerate(lines, start=1)
    )
    return batch


# --- what waits ------------------------------------------------------------------------------------------


def _waiting(period: BillingPeriod, organization: Organization, currency: str) -> QuerySet[JournalEntry]:
    """Find entries of a month that charge the cost centers of an organization and are in no batch."""
    charges = Posting.objects.filter(
        entry=OuterRef("pk"),
        account=chart.COST_CENTER_CHARGE.code,
        organization=organization,
        currency=currency,
    )
    batched = BatchedEntry.objects.filter(entry=OuterRef("pk"), released_at=None)
    found = JournalEntry.objects.filter(Exists(charges), ~Exists(batched), period=period)
    return found.exclude(kind=booking.KIND).order_by("posted_at", "pk")


def _legs_of(entries: Iterable[JournalEntry]) -> Legs:
    legs: Legs = defaultdict(int)
    postings = Posting.objects.filter(entry__in=list(entries)).annotate(kind=F("entry__kind"))
    for one in postings.order_by("pk"):
        _add(
            legs,
            one.account,
            one.cost_center_id,
            one.team_id,
            one.app_id,
            one.kind == booking.KIND,
            one.amount_minor,
        )
    return legs


def _add(
    legs: Legs,
    account: str,
    center: int | None,
    team: int | None,
    app: int | None,
    is_shared: bool,
    amount: int,
) -> None:
    legs[account, center, team, app, is_shared] += amount


def _lines(legs: Mapping[tuple[str, int | None, int | None, int | None, bool], int]) -> tuple[Line, ...]:
    order = {code: place for place, code in enumerate(chart.BY_CODE)}
    keys = sorted(legs, key=lambda key: (key[4], order[key[0]], *(value or 0 for value in key[1:4])))
    return tuple(Line(*key[:4], legs[key], key[4]) for key in keys if legs[key])


# --- budgets ---------------------------------------------------------------------------------------------


def _debit_budgets(batch: JournalBatch, lines: Iterable[Line]) -> None:
    sums: dict[int, int] = defaultdict(int)
    for line in lines:
        if line.account == chart.COST_CENTER_CHARGE.code and line.cost_center_id:
            sums[line.cost_center_id] += line.amount_minor
    BudgetDebit.objects.bulk_create(
        BudgetDebit(
            batch=batch,
            cost_center_id=center,
            period=batch.period,
            currency=batch.currency,
            amount_minor=amount,
        )
        for center, amount in sorted(sums.items())
    )


def _note(action: str, batch: JournalBatch, *, by: Actor, at: datetime) -> None:
    new = {"external_id": batch.external_id, "debit_minor": batch.debit_minor, "currency": batch.currency}
    audit.record(action, subject=batch, at=at, by=by.user, new=new)
