"""The monthly run: everybody's bill drafted batch by batch, then finalized payer by payer.

The tables are the queue. A batch of organizations is claimed by its row's lock for as long as the transaction that drafts
it lasts, a draft by its own row's lock while it is finalized; both with SKIP LOCKED. So any number of workers share a
run, and one that dies leaves what it held to the others, as it was.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import DataError, IntegrityError, connection, transaction
from django.db.models import Count, Q, QuerySet, Sum

from billing import draft_writing, drafting, invoicing, parking, parties, run_planning
from billing.billable import Payer
from billing.models import BillingPeriod, Invoice, MonthlyRun, ParkedBill, RunBatch
from billing.parties import Register
from billing.terms import Terms
from marketplace.core.errors import Conflict, HalfpennyError, Unavailable
from marketplace.core.periods import Period, parse_month

Progress = Callable[[int, int], None]
Purpose = MonthlyRun.Purpose
# The state in which a month must be for a run of each purpose to write anything.
_WRITES_IN = {Purpose.DRAFTS: BillingPeriod.State.OPEN, Purpose.CLOSE: BillingPeriod.State.CLOSING}
CLAIMED_AT_ONCE = 200


class TurnOver(Unavailable):
    """A worker has worked on a run for as long as it may at a time; the next turn goes on."""

    code = "turn_over"


class NothingToDraft(Conflict):
    """Drafts are made of a month that is over and not being closed yet."""

    code = "nothing_to_draft"

    def __init__(self, period: BillingPeriod) -> None:
        self.period = period
        super().__init__(f"The month {period.name} is {period.state}, so no drafts are made of it.")


class FinalizingFailed(HalfpennyError):
    """The database refused to finalize a bill: something is wrong with it that nobody foresaw."""

    code = "finalizing_failed"


@dataclass(frozen=True)
class RunState:
    """How far a month is: batches drafted, bills finalized, and what waits for somebody."""

    period: str
    state: str
    batches: int
    batches_drafted: int
    drafts: int
    finalized: int
    failed: int
    held: int

    @property
    def parked(self) -> int:
        return self.failed + self.held

    @property
    def bills(self) -> int:
        return self.drafts + self.finalized

    @property
    def is_done(self) -> bool:
        return self.state == BillingPeriod.State.CLOSED


def run_state(name: str) -> RunState:
    """Tell how far a month is, in four queries."""
    period = BillingPeriod.objects.filter(pk=name).first()
    newest = MonthlyRun.objects.filter(period=name).order_by("-started_at", "-pk").values("pk")[:1]
    batches = RunBatch.objects.filter(run__in=newest).aggregate(all=Count("pk"), drafted=Count("drafted_at"))
    is_draft = Q(state=Invoice.State.DRAFT)
    bills = Invoice.objects.filter(period=name).aggregate(
        drafts=Count("pk", filter=is_draft), finalized=Count("pk", filter=~is_draft)
    )
    parked = ParkedBill.objects.filter(period=name, state=ParkedBill.State.PARKED).aggregate(
        failed=Count("pk", filter=Q(cause="error")), held=Count("pk", filter=Q(cause="held"))
    )
    return RunState(
        period=name,
        state=period.state if period else BillingPeriod.State.OPEN,
        batches=batches["all"],
        batches_drafted=batches["drafted"],
        **bills,
        **parked,
    )


@dataclass(frozen=True)
class Worker:
    """One worker's part of a run: what it works with, and whom it tells."""

    run: MonthlyRun
    month: Period
    terms: Terms
    at: datetime
    by: Any = None
    on_progress: Progress | None = None
    is_time_up: Callable[[], bool] = lambda: False

    def draft_all(self) -> None:
        """Draft until every batch is drafted, by this worker or another."""
        while self._draft_next(skip_locked=True) or self._draft_next(skip_locked=False):
            self._look_at_the_time()

    def finalize_all(self) -> None:
        """Finalize until nothing is left that may be, by this worker or another."""
        done = 0
        while not _has_batches(self.run) and (waiting := self._waiting()):
            left = _finalizable(self.run).count()
            register = self._register(waiting)
            taken = 0
            for pk in waiting:
                taken += self._finalize(pk, register=register, skip_locked=True)
                self._tell(done + taken, done + left)
                self._look_at_the_time()
            if not taken:
                # All of them are in others' hands: wait for one, so that this worker ends after them.
                taken = self._finalize(waiting[0], register=register, skip_locked=False)
            done += taken

    def _draft_next(self, *, skip_locked: bool) -> bool:
        with transaction.atomic():
            if not _hold_state(self.run):
                return False
            waiting = RunBatch.objects.select_for_update(skip_locked=skip_locked)
            batch = waiting.filter(run=self.run, drafted_at=None).order_by("number").first()
            if batch is None:
                return False
            batch.drafts = draft(
                self.run.period, batch.organizations, month=self.month, terms=self.terms, at=self.at
            )
            batch.drafted_at = self.at
            batch.save(update_fields=["drafts", "drafted_at"])
        return True

    def _waiting(self) -> list[UUID]:
        return list(_finalizable(self.run).values_list("pk", flat=True)[:CLAIMED_AT_ONCE])

    def _register(self, invoices: list[UUID]) -> Register:
        found = Invoice.objects.filter(pk__in=invoices).order_by().values_list("organization", flat=True)
        return parties.read(at=self.at, terms=self.terms, organizations=found.distinct())

    def _finalize(self, pk: UUID, *, register: Register, skip_locked: bool) -> int:
        """Finalize one draft in a transaction of its own, or park it; 0 when somebody else has it or did it."""
        with transaction.atomic():
            # What was released meanwhile is drafted anew first; releasing waits for the lock that is held here.
            if not _hold_state(self.run) or _has_batches(self.run):
                return 0
            claimed = _finalizable(self.run).select_for_update(skip_locked=skip_locked, of=("self",))
            invoice = claimed.filter(pk=pk).select_related("organization", "cost_center", "period").first()
            if invoice is None:
                return 0
            try:
                with transaction.atomic():
                    invoicing.finalize(invoice, terms=self.terms, at=self.at, by=self.by, register=register)
            except (HalfpennyError, IntegrityError, DataError) as error:
                self._park(invoice, error)
        return 1

    def _park(self, invoice: Invoice, error: Exception) -> None:
        reason = error if isinstance(error, HalfpennyError) else FinalizingFailed(str(error).splitlines()[0])
        payer = Payer(invoice.organization_id, invoice.cost_center_id, invoice.currency)
        parking.park(self.run.period, {payer: reason}, at=self.at)

    def _tell(self, done: int, total: int) -> None:
        if self.on_progress:
            self.on_progress(done, max(done, total))

    def _look_at_the_time(self) -> None:
        if self.is_time_up():
            raise TurnOver("The run goes on in the next turn.")


def draft(
    period: BillingPeriod, organizations: list[int], *, month: Period, terms: Terms, at: datetime
) -> int:
    """Work out the bills of some organizations and write them as drafts; park what cannot be made.

    Must run in a transaction that holds the month's state. Returns how many drafts there are.
    """
    worked = drafting.work_out(month, default_share=terms.default_share, organizations=organizations)
    count, unwritten = draft_writing.write(
        worked.bills, period=period, organizations=organizations, terms=terms, at=at
    )
    refused = worked.refused | unwritten
    parking.settle(period, organizations, refused, at=at)
    parking.park(period, refused, at=at)
    return count


def begin(period: BillingPeriod, purpose: Purpose, *, at: datetime) -> MonthlyRun:
    """Plan a run, or return the one that is under way. Locks the month."""
    with transaction.atomic():
        period = BillingPeriod.objects.select_for_update().get(pk=period.pk)
        run, is_new = MonthlyRun.objects.get_or_create(
            period=period, purpose=purpose, ended_at=None, defaults={"started_at": at}
        )
        if is_new:
            planned = run_planning.batches(parse_month(period.name))
            RunBatch.objects.bulk_create(
                RunBatch(run=run, number=number, organizations=ids)
                for number, ids in enumerate(planned, start=1)
            )
    return run


def refresh_drafts(name: str, *, at: datetime, terms: Terms) -> RunState:
    """Work out every draft of a month that is over and still takes usage; what was late is in it then.

    Safe to run twice and from several workers at once. Raises NothingToDraft.
    """
    month = parse_month(name)
    BillingPeriod.objects.get_or_create(
        name=month.name, defaults={"starts_at": month.starts_at, "ends_at": month.ends_at}
    )
    period = BillingPeriod.objects.get(pk=month.name)
    if period.state != BillingPeriod.State.OPEN or at < month.ends_at:
        raise NothingToDraft(period)
    run = begin(period, Purpose.DRAFTS, at=at)
    Worker(run, month, terms, at).draft_all()
    MonthlyRun.objects.filter(pk=run.pk, ended_at=None).update(ended_at=at)
    return run_state(month.name)


def help_with(name: str, *, at: datetime, terms: Terms, is_time_up: Callable[[], bool]) -> None:
    """Share the work of a month that is being closed, until nothing is left; whoever closes it ends it."""
    run = MonthlyRun.objects.filter(period=name, purpose=Purpose.CLOSE, ended_at=None).first()
    if run is not None:
        worker = Worker(run, parse_month(name), terms, at, is_time_up=is_time_up)
        worker.draft_all()
        worker.finalize_all()


def redraft(invoice: Invoice, *, terms: Terms, at: datetime) -> None:
    """Work out the drafts of one payer's organization anew, after something about them was changed."""
    month = parse_month(invoice.period_id)
    with transaction.atomic():
        period = BillingPeriod.objects.select_for_update().get(pk=invoice.period_id)
        if period.state != BillingPeriod.State.CLOSED:
            together = run_planning.together_with(invoice.organization_id, month=month)
            draft(period, together, month=month, terms=terms, at=at)


def has_work(run: MonthlyRun) -> bool:
    """Tell whether a run has something left that nobody put aside."""
    return _has_batches(run) or _finalizable(run).exists()


def _has_batches(run: MonthlyRun) -> bool:
    return RunBatch.objects.filter(run=run, drafted_at=None).exists()


def _finalizable(run: MonthlyRun) -> QuerySet[Invoice]:
    found = Invoice.objects.filter(
        parking.not_parked(), part=0, period=run.period_id, state=Invoice.State.DRAFT
    )
    return found.order_by("organization__slug", "cost_center__code", "currency")


def _hold_state(run: MonthlyRun) -> bool:
    """Keep the month in its state until this transaction ends; False when it is not the one that the run writes in.

    Shared: workers do not wait for each other, but whoever ends the month, or changes a draft, waits for all of them.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT state FROM billing_billingperiod WHERE name = %s FOR SHARE", [run.period_id])
        (state,) = cursor.fetchone()
    return bool(state == _WRITES_IN[Purpose(run.purpose)])


def totals(name: str) -> list[tuple[str, int, int]]:
    """Sum the drafts of a month by currency: how many, and their total in minor units (one query)."""
    drafts = Invoice.objects.filter(period=name, state=Invoice.State.DRAFT)
    summed = drafts.order_by().values("currency").annotate(count=Count("pk"), total=Sum("total_minor"))
    return [(row["currency"], row["count"], int(row["total"])) for row in summed.order_by("currency")]
