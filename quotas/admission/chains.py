"""Which limits a call and a report meet, in the windows of their time."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from metering.attribution import Dimensions
from metering.ingest import ACCEPTED, Receipt, Usage
from metering.rating import Quantities, Rated, from_atto
from quotas import counters
from quotas.admission.words import HoldRequest
from quotas.book import LimitBook, LimitFacts, owners_of


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


@dataclass(slots=True)
class Chains:
    """Which limits every hold request meets, and accepted reports: those that meet the same ones, summed."""

    of_holds: list[Chain]
    of_reports: list[tuple[Used, Chain]]
    distinct: set[Chain]

    def windows(self) -> dict[counters.Key, tuple[LimitFacts, datetime]]:
        """Return every counter that is met: its limit and the end of its window."""
        return {m.key: (m.limit, m.window_ends_at) for chain in self.distinct for m in chain}


def find_chains(
    holds: Sequence[HoldRequest],
    reports: Sequence[Usage],
    receipts: Sequence[Receipt],
    *,
    book: LimitBook,
    at: datetime,
) -> Chains:
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
    return Chains(of_holds, of_reports, set(of_holds) | {chain for _, chain in of_reports})


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


def _meeting(limit: LimitFacts, moment: datetime) -> Meeting:
    starts_at, ends_at = limit.bounds(moment)
    return Meeting(limit, (limit.id, starts_at), ends_at)
