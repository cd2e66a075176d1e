"""The gateway's transactions: holds, settlements and reports of one process, committed together.

Requests carry the epoch of the directory under which their key was looked up. The transaction's thread compares it
with the database first; a request that was decided on older data is answered ``Stale`` and looked up again, so a
revoked key or a suspended subscription stops working with the next batch, in every process.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from uuid import UUID

from django.db import DatabaseError, DataError, IntegrityError, InterfaceError, connection
from django.utils import timezone

from marketplace.core.epochs import DIRECTORY, read_epochs
from marketplace.core.errors import InvalidInput, Unavailable
from metering.ingest import Draft, Receipt
from metering.reports import Unplaced
from quotas import admission, holds, refusals
from quotas.admission import Admitted, HoldRequest, Outcome, Refused, Settled, Settlement


@dataclass(frozen=True, slots=True)
class Reserve:
    """Ask for a hold."""

    request: HoldRequest
    epoch: int
    weight: int = 1


@dataclass(frozen=True, slots=True)
class Settle:
    """End a hold."""

    settlement: Settlement
    weight: int = 1


@dataclass(frozen=True, slots=True)
class Report:
    """Record usage that an app reports, and keep what names something unknown; its key was looked up under the epoch
    of the draft."""

    draft: Draft
    unplaced: Sequence[Unplaced] = ()
    keeping_app: int | None = None

    @property
    def epoch(self) -> int:
        return self.draft.epoch

    @property
    def weight(self) -> int:
        return len(self.draft.items) + len(self.unplaced)


@dataclass(frozen=True, slots=True)
class Count:
    """Note how far a stream has come, and that its hold is alive until ``expires_at``."""

    hold_id: UUID
    output_tokens: int
    expires_at: datetime
    weight: int = 1


@dataclass(frozen=True, slots=True)
class Stale:
    """The directory has changed since the key was looked up; ``epoch`` is its number now."""

    epoch: int


Entry = Reserve | Settle | Report | Count
Answer = Admitted | Refused | Settled | list[Receipt] | Stale | None


class DatabaseAway(Unavailable):
    """The database did not take the transaction; nothing of this batch counts."""

    code = "database_unavailable"

    def __init__(self) -> None:
        super().__init__("The database cannot be reached; nothing was recorded.", retry_after_s=2)


def commit(entries: list[Entry]) -> list[Answer | Exception]:
    """Commit a batch; what is wrong with one entry is answered to that entry alone."""
    try:
        return _commit(entries)
    except (InvalidInput, DataError, IntegrityError) as error:
        # Something in one entry cannot be stored; tried again together, it would keep all others out for good.
        if len(entries) == 1:
            return [error]
        return [answer for entry in entries for answer in commit([entry])]
    except (DatabaseError, InterfaceError) as error:
        connection.close()
        away = DatabaseAway()
        away.__cause__ = error
        return [away] * len(entries)


def _commit(entries: list[Entry]) -> list[Answer | Exception]:
    epochs = read_epochs()
    epoch = epochs.get(DIRECTORY, 0)
    at = now()
    reserves = [e.request for e in entries if isinstance(e, Reserve) and e.epoch == epoch]
    settles = [e.settlement for e in entries if isinstance(e, Settle)]
    reports = [e for e in entries if isinstance(e, Report) and e.epoch == epoch]
    counts = [e for e in entries if isinstance(e, Count)]
    outcome = Outcome()
    if counts:
        # Before the rest: when this fails nothing is committed yet, as the answer then says.
        holds.count_output(
            [(count.hold_id, count.output_tokens) for count in counts],
            expires_at=max(count.expires_at for count in counts),
        )
    if reserves or settles or reports:
        outcome = admission.commit(
            holds=reserves,
            settlements=settles,
            reports=[report.draft for report in reports],
            unplaced=[one for report in reports for one in report.unplaced],
            keeping_apps={report.keeping_app for report in reports if report.keeping_app is not None},
            at=at,
            epochs=epochs,
        )
        refusals.note(outcome.holds, at=at)
    return _answers(entries, outcome, reports, epoch=epoch)


def _answers(
    entries: list[Entry], outcome: Outcome, reports: list[Report], *, epoch: int
) -> list[Answer | Exception]:
    decided, settled = iter(outcome.holds), iter(outcome.settlements)
    bounds = [0]
    for report in reports:
        bounds.append(bounds[-1] + len(report.draft.items))
    receipts = iter([outcome.reports[start:end] for start, end in pairwise(bounds)])
    answers: list[Answer | Exception] = []
    for entry in entries:
        if isinstance(entry, Count):
            answers.append(None)
        elif isinstance(entry, Settle):
            answers.append(next(settled))
        elif entry.epoch != epoch:
            answers.append(Stale(epoch))
        else:
            answers.append(next(decided) if isinstance(entry, Reserve) else next(receipts))
    return answers


def end() -> None:
    """Let go of the thread's connection."""
    connection.close()


def now() -> datetime:
    """The gateway's clock."""
    return timezone.now()
