"""The one transaction in which everything that arrived together is decided and written."""

from collections.abc import Collection, Sequence
from datetime import datetime

from django.db import connection, transaction

from marketplace.core.epochs import LIMITS, read_epochs
from metering import ingest, keeping
from metering.ingest import Draft, Receipt, Usage
from metering.ratecards import price_book
from metering.reports import Unplaced
from quotas import counters
from quotas.admission.chains import ChainFinder
from quotas.admission.deciding import decide
from quotas.admission.holding import insert_holds
from quotas.admission.overruns import insert_overruns
from quotas.admission.reporting import apply_reports, ids_by_app
from quotas.admission.settling import (
    apply_settlements,
    end_holds,
    settled_of,
    used_by_calls,
    without_released,
)
from quotas.admission.words import Admitted, HoldRequest, Outcome, Refused, Settled, Settlement
from quotas.lifts import limits_at, load_limits


def reserve(requests: Sequence[HoldRequest], *, at: datetime) -> list[Admitted | Refused]:
    """Admit or refuse each request over every limit of its chain, all or nothing; admitted holds are committed."""
    return commit(holds=requests, at=at).holds


def settle(settlements: Sequence[Settlement], *, at: datetime) -> list[Settled]:
    """Turn holds into what was really used, with its usage events; settling twice changes nothing."""
    return commit(settlements=settlements, at=at).settlements


def report(usages: Sequence[Usage], *, at: datetime) -> list[Receipt]:
    """Record usage that has happened and count it against the same limits; what does not fit is overrun."""
    return commit(reports=[ingest.draft_at(usages, read_epochs())], at=at).reports


def commit(
    *,
    holds: Sequence[HoldRequest] = (),
    settlements: Sequence[Settlement] = (),
    reports: Sequence[Draft] = (),
    unplaced: Sequence[Unplaced] = (),
    keeping_apps: Collection[int] = (),
    at: datetime,
    epochs: dict[str, int] | None = None,
) -> Outcome:
    """Do all of this in one transaction and return when it is on disk. Raises UnknownPrice before it writes.

    ``unplaced`` is kept in the inboxes of its apps; for ``keeping_apps``, those that have one, what is reported ends
    the kept events of the same ids. ``epochs`` are those that the caller has just read.
    """
    if epochs is None:
        epochs = read_epochs()
    book = limits_at(at, epochs)
    finder = ChainFinder(book, price_book.at(epochs).class_of)
    drafted = ingest.draft_at([s.usage for s in settlements if s.usage is not None], epochs)
    batch = ingest.place([drafted, *reports], epochs=epochs)
    reported = [item.usage for item in batch.items[len(drafted.items) :]]
    with transaction.atomic(durable=not connection.in_atomic_block):
        ended = end_holds(settlements, at=at)
        settlements, batch = without_released(settlements, batch, ended)
        receipts = ingest.insert(batch, at=at)
        of_reports = receipts[len(receipts) - len(reported) :]
        used = used_by_calls(settlements, ended, batch)
        calls = {hold_id: item.usage for hold_id, item in used.items()}
        chains = finder.find(holds, reported, of_reports, calls, at=at)
        held = {counter_id for hold in ended.values() for counter_id in hold.counter_ids}
        ids, locked, epoch = counters.find_and_lock(chains.windows(), held, book=book, at=at)
        if epoch != epochs.get(LIMITS, 0):
            counters.follow(locked.values(), load_limits(at), at=at)
        overruns = apply_settlements(ended, used, chains, ids, locked, class_of=finder.class_of)
        overruns += apply_reports(chains, ids, locked)
        decided = decide(holds, chains, ids, locked, at=at)
        counters.write(locked.values())
        insert_holds(holds, decided, at=at)
        insert_overruns(overruns, at=at)
        if unplaced or keeping_apps:
            keeping.update(unplaced, ids_by_app(reported, keeping_apps), at=at)
    if not connection.in_atomic_block:
        counters.remember(ids)
    return Outcome([one.answer for one in decided], settled_of(settlements, ended, receipts), of_reports)
