"""The end of a hold: what was held is given back and what was used is booked, once."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from marketplace.core import prepared
from metering.ingest import ACCEPTED, Batch, Prepared, Receipt
from quotas import counters
from quotas.admission.chains import Chains, ClassOf, Used
from quotas.admission.overruns import Overrun
from quotas.admission.words import Settled, Settlement
from quotas.counters import Counter
from quotas.models import Hold


@dataclass(slots=True)
class EndedHold:
    """A hold that was ended here. Of an app elsewhere nothing is known before it has answered."""

    counter_ids: list[int]
    amounts: list[Decimal]
    is_elsewhere: bool

    @property
    def cause(self) -> str:
        return "elsewhere" if self.is_elsewhere else "call"


def end_holds(settlements: Sequence[Settlement], *, at: datetime) -> dict[UUID, EndedHold]:
    """End the holds that are still held; what this conditional UPDATE returns was ended here and nowhere else.

    Holds are locked in order of their id: processes that end the same ones (a late answer and the sweeper) would
    otherwise wait for each other in a circle.
    """
    if not settlements:
        return {}
    # Of two ends of one hold in a batch the first one counts.
    is_released = {s.hold_id: s.usage is None for s in reversed(settlements)}
    released = [hold_id for hold_id, is_one in is_released.items() if is_one]
    rows = prepared.run(
        "UPDATE quotas_hold SET state = CASE WHEN id = ANY(%s) THEN 'released' ELSE 'settled' END, ended_at = %s "
        "WHERE id = ANY(ARRAY(SELECT id FROM quotas_hold WHERE id = ANY(%s) AND state = 'held' ORDER BY id "
        "FOR NO KEY UPDATE)) RETURNING id, counter_ids, amounts, usage->>'model' = ''",
        [released, at, list(is_released)],
    )
    return {row[0]: EndedHold(*row[1:]) for row in rows}


def without_released(
    settlements: Sequence[Settlement], batch: Batch, ended: dict[UUID, EndedHold]
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


def used_by_calls(
    settlements: Sequence[Settlement], ended: dict[UUID, EndedHold], batch: Batch
) -> dict[UUID, Prepared]:
    """Return what the holds that ended here have used, as it is recorded; of two ends of one hold the first counts."""
    items = iter(batch.items)
    used: dict[UUID, Prepared | None] = {}
    for settlement in settlements:
        item = next(items) if settlement.usage is not None else None
        if settlement.hold_id in ended:
            used.setdefault(settlement.hold_id, item)
    return {hold_id: item for hold_id, item in used.items() if item is not None and item.status is ACCEPTED}


@dataclass(frozen=True, slots=True)
class _Call:
    """A call that has ended, with what it used; None when it was released."""

    hold_id: UUID
    hold: EndedHold
    used: Used | None
    model_class: str

    def counts(self, counter: Counter) -> bool:
        limit = counter.limit
        return limit.measure != "concurrency" and limit.counts_class(self.model_class)


def apply_settlements(
    ended: dict[UUID, EndedHold],
    used: dict[UUID, Prepared],
    chains: Chains,
    ids: dict[counters.Key, int],
    locked: dict[int, Counter],
    *,
    class_of: ClassOf,
) -> list[Overrun]:
    """Give back what was held and book what was used. What exceeds its hold is an overrun entry, whole."""
    overruns: list[Overrun] = []
    for hold_id, hold in ended.items():
        item = used.get(hold_id)
        call = _Call(hold_id, hold, _sum(item), class_of(item.usage.model) if item else "")
        overruns += _apply(call, locked)
        others = [locked[ids[meeting.key]] for meeting in chains.of_calls.get(hold_id, ())]
        overruns += _count_unheld(call, others, locked)
    return overruns


def _sum(item: Prepared | None) -> Used | None:
    if item is None:
        return None
    used = Used()
    used.add(item.usage.quantities, item.rated)
    return used


def _apply(call: _Call, locked: dict[int, Counter]) -> Iterator[Overrun]:
    for counter_id, held in zip(call.hold.counter_ids, call.hold.amounts, strict=True):
        counter = locked.get(counter_id)
        if counter is None:
            continue  # of a minute long ago, purged since
        counter.release(held)
        if call.used is None or not call.counts(counter):
            continue
        used = call.used.amount(counter.limit.measure)
        counter.spend(used)
        if used > held:
            yield Overrun(counter, used - held, call.hold.cause, call.hold_id)


def _count_unheld(call: _Call, others: list[Counter], locked: dict[int, Counter]) -> Iterator[Overrun]:
    """Book at limits of its model's class of which the hold holds nothing.

    Which model an app elsewhere uses is known only once it has answered; a limit may be newer than the hold.
    """
    held = {locked[each].limit.id for each in call.hold.counter_ids if each in locked}
    for counter in others:
        if counter.limit.id in held or call.used is None or not call.counts(counter):
            continue
        used = call.used.amount(counter.limit.measure)
        counter.spend(used)
        if used:
            yield Overrun(counter, used, call.hold.cause, call.hold_id)


def settled_of(
    settlements: Sequence[Settlement], ended: dict[UUID, EndedHold], receipts: Sequence[Receipt]
) -> list[Settled]:
    remaining = iter(receipts)
    not_told = set(ended)
    answers = []
    for settlement in settlements:
        receipt = next(remaining) if settlement.usage is not None else None
        answers.append(Settled(settlement.hold_id in not_told, receipt))
        not_told.discard(settlement.hold_id)
    return answers
