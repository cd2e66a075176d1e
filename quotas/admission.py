"""Admission by group commit: holds, settlements and reports that arrive together share one transaction.

``commit`` is the one implementation of every rule. It locks the touched counters in key order, decides each request in
order of arrival, writes counters, holds, events and roll-ups, and commits; the answers are given after that. The order
of locks in every transaction is: events, roll-ups, counters, inboxes.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db import connection, transaction

from marketplace.core.epochs import read_epochs
from marketplace.core.json import encode
from metering import ingest, keeping
from metering.attribution import Dimensions
from metering.ingest import ACCEPTED, Batch, Draft, Receipt, Usage
from metering.rating import Quantities, Rated, from_atto
from metering.reports import Unplaced
from quotas import counters
from quotas.book import LimitBook, LimitFacts, limit_book, owners_of
from quotas.counters import Counter
from quotas.models import Hold

ONE = Decimal(1)


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a call may use at most: one request, tokens in and out, and its cost at the dearest possible price."""

    tokens: int
    cost: Decimal


@dataclass(frozen=True, slots=True)
class HoldRequest:
    """A call that asks to be admitted. ``usage`` is what is booked should its process die."""

    id: UUID
    usage: Usage
    estimate: Estimate
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a limit stands: ``used`` of ``limit``, until ``resets_at``."""

    limit: LimitFacts
    used: Decimal
    resets_at: datetime

    @property
    def remaining(self) -> Decimal:
        return max(Decimal(0), self.limit.value - self.used)


@dataclass(frozen=True, slots=True)
class Admitted:
    """The hold is on disk; ``standings`` are its limits with this hold counted."""

    hold_id: UUID
    standings: tuple[Standing, ...]


@dataclass(frozen=True, slots=True)
class Refused:
    """Nothing is held and nothing will be charged. ``standing`` is the limit that says no (the last to reset)."""

    standing: Standing
    asked: Decimal
    at: datetime


@dataclass(frozen=True, slots=True)
class Settlement:
    """The end of a hold: what was really used, or None to release it without a charge."""

    hold_id: UUID
    usage: Usage | None


@dataclass(frozen=True, slots=True)
class Settled:
    """``has_ended`` is False when the hold had ended before; then nothing was changed."""

    has_ended: bool
    receipt: Receipt | None


@dataclass(slots=True)
class Outcome:
    """The answers of one transaction, each list in the order of its requests."""

    holds: list[Admitted | Refused] = field(default_factory=list)
    settlements: list[Settled] = field(default_factory=list)
    reports: list[Receipt] = field(default_factory=list)


@dataclass(slots=True)
class _EndedHold:
    counter_ids: list[int]
    amounts: list[Decimal]


@dataclass(slots=True)
class _Overrun:
    counter: Counter
    amount: Decimal
    cause: str
    hold_id: UUID | None


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
    book = limit_book.at(epochs)
    drafted = ingest.draft_at([s.usage for s in settlements if s.usage is not None], epochs)
    batch = ingest.place([drafted, *reports], epochs=epochs)
    reported = [item.usage for item in batch.items[len(drafted.items) :]]
    with transaction.atomic(durable=not connection.in_atomic_block):
        ended = _end_holds(settlements, at=at)
        settlements, batch = _without_released(settlements, batch, ended)
        receipts = ingest.insert(batch, at=at)
        of_reports = receipts[len(receipts) - len(reported) :]
        chains = _chains(holds, reported, of_reports, book=book, at=at)
        held = {counter_id for hold in ended.values() for counter_id in hold.counter_ids}
        ids, locked = counters.find_and_lock(chains.windows(), held, book=book)
        counters.follow_limits(locked.values(), known=epochs)
        overruns = _apply_settlements(settlements, ended, batch, locked)
        overruns += _apply_reports(chains, ids, locked)
        decided = _decide(holds, chains, ids, locked, at=at)
        counters.write(locked.values())
        _insert_holds(holds, decided, chains, ids, at=at)
        _insert_overruns(overruns, at=at)
        if unplaced or keeping_apps:
            keeping.update(unplaced, _ids_by_app(reported, keeping_apps), at=at)
    if not connection.in_atomic_block:
        counters.remember(ids)
    return Outcome(decided, _settled(settlements, ended, receipts), of_reports)


def _ids_by_app(usages: Sequence[Usage], app_ids: Collection[int]) -> dict[int, list[str]]:
    found: dict[int, list[str]] = {}
    for usage in usages:
        if usage.who.app_id in app_ids:
            found.setdefault(usage.who.app_id, []).append(usage.event_id)
    return found


@dataclass(frozen=True, slots=True)
class _Meeting:
    """A limit that a request meets, in the window of its time."""

    limit: LimitFacts
    key: counters.Key
    window_ends_at: datetime


Chain = tuple[_Meeting, ...]


@dataclass(slots=True)
class Used:
    """What usage counts as, in every measure a limit may have."""

    requests: int = 0
    tokens: int = 0
    cost_atto: int = 0

    def add(self, quantities: Quantities, rated: Rated) -> None:
        self.requests += quantities.requests
        self.tokens += quantities.input_tokens + quantities.output_tokens
        self.cost_atto += rated.cost_atto

    def amount(self, measure: str) -> Decimal:
        """Return the amount in a limit's measure; concurrency counts calls under way, which usage is not."""
        if measure == "cost":
            return from_atto(self.cost_atto)
        return Decimal(self.requests if measure == "requests" else self.tokens)


@dataclass(slots=True)
class _Chains:
    """Which limits every hold request meets, and accepted reports: those that meet the same ones, summed."""

    of_holds: list[Chain]
    of_reports: list[tuple[Used, Chain]]
    distinct: set[Chain]

    def windows(self) -> dict[counters.Key, tuple[LimitFacts, datetime]]:
        """Return every counter that is met: its limit and the end of its window."""
        return {m.key: (m.limit, m.window_ends_at) for chain in self.distinct for m in chain}


def _chains(
    holds: Sequence[HoldRequest],
    reports: Sequence[Usage],
    receipts: Sequence[Receipt],
    *,
    book: LimitBook,
    at: datetime,
) -> _Chains:
    # Windows are whole minutes, so callers of one minute share their chain, unless a limit starts or ends in it.
    remembered: dict[tuple[Dimensions, datetime], Chain] = {}

    def chain_of(who: Dimensions, moment: datetime) -> Chain:
        minute = moment.replace(second=0, microsecond=0)
        chain = remembered.get((who, minute))
        if chain is None:
            limits = book.chain(owners_of(who), environment=who.environment, at=moment)
            chain = tuple(_meeting(limit, moment) for limit in limits)
            if minute not in book.changing_minutes:
                remembered[who, minute] = chain
        return chain

    of_holds = [chain_of(request.usage.who, at) for request in holds]
    of_reports = [
        (used, chain_of(who, moment)) for who, moment, used in _sums(reports, receipts, book.changing_minutes)
    ]
    return _Chains(of_holds, of_reports, set(of_holds) | {chain for _, chain in of_reports})


def _sums(
    reports: Sequence[Usage], receipts: Sequence[Receipt], changing_minutes: Collection[datetime]
) -> list[tuple[Dimensions, datetime, Used]]:
    """Sum the accepted reports by who used and when, as finely as their limits may differ.

    Counting a sum is counting its parts: a counter takes what fits and books the rest as overrun either way.
    """
    sums: dict[tuple[int, datetime], tuple[Dimensions, datetime, Used]] = {}
    last_who, last_moment, used = None, None, Used()
    for usage, receipt in zip(reports, receipts, strict=True):
        if receipt.status is not ACCEPTED:
            continue
        who, moment = usage.who, usage.occurred_at
        # Most events of a report are of the same origin and time; only where one of them changes is a sum looked up.
        if who is not last_who or moment is not last_moment:
            last_who, last_moment = who, moment
            minute = moment.replace(second=0, microsecond=0)
            key = (id(who), moment if minute in changing_minutes else minute)
            used = sums.setdefault(key, (who, moment, Used()))[2]
        used.add(usage.quantities, receipt.rated)
    return list(sums.values())


def _meeting(limit: LimitFacts, moment: datetime) -> _Meeting:
    starts_at, ends_at = limit.bounds(moment)
    return _Meeting(limit, (limit.id, starts_at), ends_at)


def _estimated(request: HoldRequest, measure: str) -> Decimal:
    if measure == "tokens":
        return Decimal(request.estimate.tokens)
    if measure == "cost":
        return request.estimate.cost
    return ONE


def _end_holds(settlements: Sequence[Settlement], *, at: datetime) -> dict[UUID, _EndedHold]:
    """End the holds that are still held; what this conditional UPDATE returns was ended here and nowhere else.

    Holds are locked in order of their id: processes that end the same ones (a late answer and the sweeper) would
    otherwise wait for each other in a circle.
    """
    if not settlements:
        return {}
    # Of two ends of one hold in a batch the first one counts.
    is_released = {s.hold_id: s.usage is None for s in reversed(settlements)}
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE quotas_hold SET state = CASE WHEN id = ANY(%s) THEN 'released' ELSE 'settled' END, ended_at = %s "
            "WHERE id = ANY(ARRAY(SELECT id FROM quotas_hold WHERE id = ANY(%s) AND state = 'held' ORDER BY id "
            "FOR NO KEY UPDATE)) RETURNING id, counter_ids, amounts",
            [[hold_id for hold_id, released in is_released.items() if released], at, list(is_released)],
        )
        return {hold_id: _EndedHold(ids, amounts) for hold_id, ids, amounts in cursor.fetchall()}


def _without_released(
    settlements: Sequence[Settlement], batch: Batch, ended: dict[UUID, _EndedHold]
) -> tuple[Sequence[Settlement], Batch]:
    """Leave out the usage of holds that were released: who released a call has promised that it costs nothing.

    Usage of a hold that was settled before stays in: recording tells that it is a duplicate.
    """
    first = {s.hold_id: s for s in reversed(settlements)}
    of_usage = {hold_id for hold_id, one in first.items() if one.usage is not None}
    charged = of_usage & ended.keys() | _charged_before(of_usage - ended.keys())
    kept = [s.hold_id in charged for s in settlements if s.usage is not None]
    if all(kept):
        return settlements, batch
    left = [
        s if s.usage is None or s.hold_id in charged else Settlement(s.hold_id, None) for s in settlements
    ]
    items = [item for item, is_kept in zip(batch.items, kept, strict=False) if is_kept]
    return left, replace(batch, items=[*items, *batch.items[len(kept) :]])


def _charged_before(hold_ids: set[UUID]) -> set[UUID]:
    if not hold_ids:
        return set()
    ended = Hold.objects.filter(pk__in=hold_ids).exclude(state=Hold.State.RELEASED)
    return set(ended.values_list("pk", flat=True))


def _apply_settlements(
    settlements: Sequence[Settlement], ended: dict[UUID, _EndedHold], batch: Batch, locked: dict[int, Counter]
) -> list[_Overrun]:
    """Give back what was held and book what was used. What exceeds its hold is an overrun entry, whole."""
    overruns = []
    items = iter(batch.items)
    handled: set[UUID] = set()
    for settlement in settlements:
        item = next(items) if settlement.usage is not None else None
        hold = ended.get(settlement.hold_id)
        if hold is None or settlement.hold_id in handled:
            continue
        handled.add(settlement.hold_id)
        spent = Used()
        if item is not None:
            spent.add(item.usage.quantities, item.rated)
        for counter_id, held in zip(hold.counter_ids, hold.amounts, strict=True):
            counter = locked.get(counter_id)
            if counter is None:
                continue  # of a minute long ago, purged since
            counter.release(held)
            if item is None or item.status is not ACCEPTED or counter.limit.measure == "concurrency":
                continue
            used = spent.amount(counter.limit.measure)
            counter.spend(used)
            if used > held:
                overruns.append(_Overrun(counter, used - held, "call", settlement.hold_id))
    return overruns


def _apply_reports(
    chains: _Chains, ids: dict[counters.Key, int], locked: dict[int, Counter]
) -> list[_Overrun]:
    """Book reported usage; per counter, what did not fit under the limit is one overrun entry."""
    over: dict[int, Decimal] = {}
    for used, chain in chains.of_reports:
        for meeting in chain:
            if meeting.limit.measure == "concurrency":
                continue
            counter = locked[ids[meeting.key]]
            beyond = counter.spend(used.amount(meeting.limit.measure))
            if beyond:
                over[counter.id] = over.get(counter.id, Decimal(0)) + beyond
    return [_Overrun(locked[counter_id], amount, "report", None) for counter_id, amount in over.items()]


def _decide(
    holds: Sequence[HoldRequest],
    chains: _Chains,
    ids: dict[counters.Key, int],
    locked: dict[int, Counter],
    *,
    at: datetime,
) -> list[Admitted | Refused]:
    """Decide in order of arrival: every limit of the chain admits the estimate, or nothing is held."""
    decided: list[Admitted | Refused] = []
    for request, chain in zip(holds, chains.of_holds, strict=True):
        asked = [(locked[ids[m.key]], _estimated(request, m.limit.measure)) for m in chain]
        refusing = [(counter, amount) for counter, amount in asked if not counter.can_take(amount)]
        if refusing:
            counter, amount = max(refusing, key=_time_to_wait)
            decided.append(Refused(_standing(counter), amount, at))
            continue
        for counter, amount in asked:
            counter.hold(amount)
        decided.append(Admitted(request.id, tuple(_standing(counter) for counter, _ in asked)))
    return decided


def _time_to_wait(refusing: tuple[Counter, Decimal]) -> tuple[bool, datetime]:
    """Order refusals by how long they last: calls at a time may end at any moment, windows end at their end."""
    counter, _ = refusing
    return counter.limit.measure != "concurrency", counter.window_ends_at


def _standing(counter: Counter) -> Standing:
    return Standing(counter.limit, counter.used, counter.window_ends_at)


def _insert_holds(
    holds: Sequence[HoldRequest],
    decided: Sequence[Admitted | Refused],
    chains: _Chains,
    ids: dict[counters.Key, int],
    *,
    at: datetime,
) -> None:
    rows = []
    for request, answer, chain in zip(holds, decided, chains.of_holds, strict=True):
        if isinstance(answer, Refused):
            continue
        counter_ids = ",".join(str(ids[m.key]) for m in chain)
        amounts = ",".join(format(_estimated(request, m.limit.measure), "f") for m in chain)
        who = request.usage.who
        facts = encode(usage_to_json(request.usage)).replace("\\", "\\\\")
        rows.append(
            f"{request.id}\theld\t{who.app_id}\t{who.subscription_id or chr(92) + 'N'}\t{{{counter_ids}}}\t"
            f"{{{amounts}}}\t{facts}\t0\t{at.isoformat()}\t{request.expires_at.isoformat()}\n"
        )
    if not rows:
        return
    with (
        connection.cursor() as cursor,
        connection.wrap_database_errors,
        cursor.copy(
            "COPY quotas_hold (id, state, app_id, subscription_id, counter_ids, amounts, usage, "
            "counted_output_tokens, created_at, expires_at) FROM STDIN"
        ) as copy,
    ):
        copy.write("".join(rows))


def _insert_overruns(overruns: Sequence[_Overrun], *, at: datetime) -> None:
    if not overruns:
        return
    with connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO quotas_overrunentry (limit_id, window_starts_at, amount, cause, hold_id, created_at) "
            "VALUES (%s, %s, %s, %s, %s, %s)",
            [
                (o.counter.limit.id, o.counter.window_starts_at, o.amount, o.cause, o.hold_id, at)
                for o in overruns
            ],
        )


def _settled(
    settlements: Sequence[Settlement], ended: dict[UUID, _EndedHold], receipts: Sequence[Receipt]
) -> list[Settled]:
    remaining = iter(receipts)
    not_told = set(ended)
    answers = []
    for settlement in settlements:
        receipt = next(remaining) if settlement.usage is not None else None
        answers.append(Settled(settlement.hold_id in not_told, receipt))
        not_told.discard(settlement.hold_id)
    return answers


def usage_to_json(usage: Usage) -> dict[str, Any]:
    """Return what a hold keeps of its call, so that anybody can book it later."""
    used = usage.quantities
    return {
        "who": [str(value) if isinstance(value, UUID) else value for value in usage.who],
        "occurred_at": usage.occurred_at.isoformat(),
        "model": usage.model,
        "input_tokens": used.input_tokens,
    }


def usage_from_json(hold_id: UUID, kept: dict[str, Any], *, output_tokens: int) -> Usage:
    """Rebuild the usage of a hold whose process died: the counted input and output, marked as an estimate."""
    who = Dimensions(*kept["who"])
    who = who._replace(
        subscription_id=who.subscription_id and UUID(str(who.subscription_id)),
        key_id=who.key_id and UUID(str(who.key_id)),
    )
    return Usage(
        event_id=str(hold_id),
        occurred_at=datetime.fromisoformat(kept["occurred_at"]),
        who=who,
        model=kept["model"],
        quantities=Quantities(input_tokens=kept["input_tokens"], output_tokens=output_tokens),
        is_estimated=True,
    )
