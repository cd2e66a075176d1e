"""Which limits a call and a report meet, in the windows of their time."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from metering.attribution import Dimensions
from metering.ingest import ACCEPTED, Receipt, Usage
from metering.rating import Quantities, Rated, from_atto
from quotas import counters
from quotas.admission.words import HoldRequest
from quotas.book import LimitBook, LimitFacts, owners_of

NO_CLASSES: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Meeting:
    """A limit that a request meets, in the window of its time."""

    limit: LimitFacts
    key: counters.Key
    window_ends_at: datetime


Chain = tuple[Meeting, ...]


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


ClassOf = Callable[[str], str]
"""Names the class of a model; empty for usage of none."""


@dataclass(frozen=True, slots=True)
class Happened:
    """Usage that has happened and where it counts: accepted reports that meet the same limits, summed."""

    used: Used
    chain: Chain


@dataclass(slots=True)
class Chains:
    """Which limits every hold request meets, and what has happened."""

    of_holds: list[Chain]
    of_reports: list[Happened]
    of_calls: dict[UUID, Chain]
    """Limits of a class of models that a settled call meets; its hold may know nothing of them."""
    distinct: set[Chain]

    def windows(self) -> dict[counters.Key, tuple[LimitFacts, datetime]]:
        """Return every counter that is met: its limit and the end of its window."""
        return {m.key: (m.limit, m.window_ends_at) for chain in self.distinct for m in chain}


class ChainFinder:
    """Finds chains in the limits of one transaction, each once.

    Windows are whole minutes, so usage of one minute shares its chain, unless a limit starts or ends in it.
    """

    def __init__(self, book: LimitBook, class_of: ClassOf) -> None:
        self._book = book
        self._class_of = class_of if book.has_classes else _no_class
        self._found: dict[tuple[Dimensions, datetime, Collection[str]], Chain] = {}

    def find(
        self,
        holds: Sequence[HoldRequest],
        reports: Sequence[Usage],
        receipts: Sequence[Receipt],
        calls: Mapping[UUID, Usage],
        *,
        at: datetime,
    ) -> Chains:
        """Find the chains of hold requests at ``at``, and of reports and of settled calls when they happened."""
        of_holds = [
            self._chain(one.usage.who, at, one.classes if self._book.has_classes else NO_CLASSES)
            for one in holds
        ]
        of_reports = [
            Happened(used, self._chain(who, moment, _only(model_class)))
            for who, moment, model_class, used in self._sums(reports, receipts)
        ]
        of_calls = self._of_classes(calls) if self._book.has_classes else {}
        distinct = {*of_holds, *(one.chain for one in of_reports), *of_calls.values()}
        return Chains(of_holds, of_reports, of_calls, distinct)

    def class_of(self, model: str) -> str:
        return self._class_of(model)

    def _chain(self, who: Dimensions, moment: datetime, classes: Collection[str]) -> Chain:
        minute = moment.replace(second=0, microsecond=0)
        chain = self._found.get((who, minute, classes))
        if chain is None:
            limits = self._book.chain(owners_of(who), environment=who.environment, at=moment, classes=classes)
            chain = tuple(_meeting(limit, moment) for limit in limits)
            if minute not in self._book.changing_minutes:
                self._found[who, minute, classes] = chain
        return chain

    def _of_classes(self, calls: Mapping[UUID, Usage]) -> dict[UUID, Chain]:
        chains = {
            hold_id: self._chain(usage.who, usage.occurred_at, _only(self._class_of(usage.model)))
            for hold_id, usage in calls.items()
        }
        return {
            hold_id: tuple(meeting for meeting in chain if meeting.limit.model_class)
            for hold_id, chain in chains.items()
        }

    def _sums(
        self, reports: Sequence[Usage], receipts: Sequence[Receipt]
    ) -> list[tuple[Dimensions, datetime, str, Used]]:
        """Sum the accepted reports by who used what class of model and when, as finely as their limits may differ.

        Counting a sum is counting its parts: a counter takes what fits and books the rest as overrun either way.
        """
        changing = self._book.changing_minutes
        sums: dict[tuple[int, datetime, str], tuple[Dimensions, datetime, str, Used]] = {}
        last_who, last_moment, last_model, used = None, None, None, Used()
        for usage, receipt in zip(reports, receipts, strict=True):
            if receipt.status is not ACCEPTED:
                continue
            who, moment = usage.who, usage.occurred_at
            # Most events of a report are of the same origin and time; only where one of them changes is a sum looked up.
            if who is not last_who or moment is not last_moment or usage.model != last_model:
                last_who, last_moment, last_model = who, moment, usage.model
                minute = moment.replace(second=0, microsecond=0)
                model_class = self._class_of(usage.model)
                key = (id(who), moment if minute in changing else minute, model_class)
                used = sums.setdefault(key, (who, moment, model_class, Used()))[3]
            used.add(usage.quantities, receipt.rated)
        return list(sums.values())


def _meeting(limit: LimitFacts, moment: datetime) -> Meeting:
    starts_at, ends_at = limit.bounds(moment)
    return Meeting(limit, (limit.id, starts_at), ends_at)


def _no_class(model: str) -> str:
    return ""


def _only(model_class: str) -> frozenset[str]:
    return frozenset((model_class,)) if model_class else NO_CLASSES
