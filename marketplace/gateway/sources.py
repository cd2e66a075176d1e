"""What this process knows of the sources of its answers: which to leave alone, how fast each is, what went wrong last.

A source is a model at a provider. Nothing here waits or asks anybody: planning a call costs microseconds, and nothing
at all for sources while they are well.
"""

from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import groupby
from math import log, log2
from time import monotonic

from marketplace.gateway import breaker
from marketplace.gateway.breaker import Breaker
from marketplace.gateway.providers.base import (
    ProviderError,
    ProviderRateLimited,
    ProviderRefused,
    ProviderUnavailable,
)
from marketplace.gateway.router import Need, Offer, Route, price_of
from metering.latencies import BUCKETS_A_DOUBLING

SHOWN_FOR_S = 900.0
MOST_MEASURED = 2_000
PACE_FOR_S = 300.0
PACE_STEP = log(1.25)
"""Answers a quarter slower count as equally fast, so that chance does not move all traffic to and fro."""
MOST_ERROR_CHARACTERS = 300

Key = tuple[str, str]


class Resting(ProviderUnavailable):
    """Every source that could answer has failed so often that it is left alone for a while. Nothing was sent."""

    code = "provider_resting"
    was_maybe_charged = False

    def __init__(self, offers: tuple[Offer, ...], *, wait_s: float) -> None:
        names = ", ".join(dict.fromkeys(offer.provider for offer in offers))
        super().__init__(
            names, "fails at present and is not called for a moment", asked_pause_s=max(1.0, wait_s)
        )


@dataclass(frozen=True, slots=True)
class Measured:
    """One call: when it ended, how long until its answer (the first piece of a stream), whether it failed."""

    at: float
    ms: int
    is_failure: bool


@dataclass(frozen=True, slots=True)
class SourceReport:
    """A source as it stands, for people. Counts and latencies (in the buckets of ``metering.latencies``) are of the last
    quarter of an hour; totals are since this process began."""

    provider: str
    model: str
    state: breaker.State
    retry_at: datetime | None
    calls: int
    failures: int
    calls_total: int
    failures_total: int
    latencies: Mapping[int, int]
    last_error: str
    last_error_at: datetime | None


@dataclass(slots=True)
class Source:
    """A model at a provider as this process has met it."""

    breaker: Breaker = field(default_factory=Breaker)
    measured: deque[Measured] = field(default_factory=lambda: deque(maxlen=MOST_MEASURED))
    pace_ms: float = 0.0
    paced_at: float = float("-inf")
    calls: int = 0
    failures: int = 0
    last_error: str = ""
    last_error_at: float = 0.0

    def note(self, now: float, *, ms: int, is_failure: bool) -> None:
        """Remember a call."""
        self.calls += 1
        self.failures += is_failure
        self.measured.append(Measured(now, ms, is_failure))
        if not is_failure:
            # What is old says nothing of now; else each call moves the pace by a fifth.
            is_known = now - self.paced_at < PACE_FOR_S
            self.pace_ms = self.pace_ms + (ms - self.pace_ms) / 5 if is_known else ms
            self.paced_at = now

    def pace(self, now: float) -> int:
        """Return how fast it is in steps of a quarter; what nobody measured lately is tried first."""
        if now - self.paced_at >= PACE_FOR_S:
            return -1
        return int(log(max(self.pace_ms, 1.0)) / PACE_STEP)


class Trial:
    """Leave to call a source once; whoever takes it says how it went."""

    __slots__ = ("_app_id", "_key", "_source", "_sources")

    def __init__(self, sources: "Sources", key: Key, source: Source, app_id: int) -> None:
        self._sources, self._key, self._source, self._app_id = sources, key, source, app_id

    def answered(self, ms: int) -> None:
        """It answered; ``ms`` until the answer, of a stream until its first piece."""
        now = self._sources.clock()
        self._source.note(now, ms=ms, is_failure=False)
        self._source.breaker.succeed(now, by=self._app_id)
        self._sources.noted(self._key, self._source)

    def failed(self, error: ProviderError, *, ms: int) -> None:
        """It brought an error. One about the request alone says that the source is well; one that asks for a pause
        gets it."""
        if isinstance(error, ProviderRefused):
            self.answered(ms)
            return
        now = self._sources.clock()
        self._source.note(now, ms=ms, is_failure=True)
        self._source.last_error = error.message[:MOST_ERROR_CHARACTERS]
        self._source.last_error_at = now
        if isinstance(error, ProviderRateLimited):
            self._source.breaker.spare(now, for_s=error.asked_pause_s or 1.0)
        else:
            self._source.breaker.fail(now, by=self._app_id if error.was_maybe_charged else None)
        self._sources.noted(self._key, self._source)

    def left(self) -> None:
        """Nobody waited for its answer."""
        self._source.breaker.give_up()


class Sources:
    """All sources of one process. ``on_change`` is called after each call that was noted."""

    def __init__(
        self, *, clock: Callable[[], float] = monotonic, on_change: Callable[[], None] | None = None
    ) -> None:
        self.clock = clock
        self._on_change = on_change
        self._known: dict[Key, Source] = {}
        self._troubled: set[Key] = set()
        self._resets: dict[str, datetime] = {}

    def arrange(self, route: Route, need: Need) -> Route:
        """Return a route without sources that rest, those that asked for a pause last, and of equals in price the
        fastest first. Raises Resting when none is left."""
        offers = route.offers
        if len(offers) > 1:
            offers = tuple(self._fastest_of_equals(offers, need))
        if self._troubled:
            return self._ready(replace(route, offers=offers))
        return route if offers is route.offers else replace(route, offers=offers)

    def begin(self, offer: Offer, *, app_id: int) -> Trial | None:
        """Take leave to call a source now for an app; None when it rests."""
        key = (offer.provider, offer.model)
        source = self._known.get(key)
        if source is None:
            source = self._known[key] = Source()
        return Trial(self, key, source, app_id) if source.breaker.begin(self.clock()) else None

    def resting(self, offers: tuple[Offer, ...]) -> Resting:
        """Return the error that says that all of these rest."""
        now = self.clock()
        waits = [source.breaker.wait_s(now) for source in map(self._find, offers) if source]
        return Resting(offers, wait_s=min(waits, default=1.0))

    def noted(self, key: Key, source: Source) -> None:
        """Remember which sources planning has to look at."""
        if source.breaker.state != "closed" or source.breaker.spared_until > self.clock():
            self._troubled.add(key)
        else:
            self._troubled.discard(key)
        if self._on_change is not None:
            self._on_change()

    def reset(self, resets: Mapping[str, datetime]) -> None:
        """Close the sources of providers that somebody reset by hand since this was last said."""
        for provider, at in resets.items():
            before = self._resets.get(provider)
            self._resets[provider] = at
            if before != at:
                for key, source in self._known.items():
                    if key[0] == provider:
                        source.breaker.reset()
                        self._troubled.discard(key)

    def reports(self, *, at: datetime) -> list[SourceReport]:
        """Return how each source stands; ``at`` is now."""
        now = self.clock()
        return [_report(key, source, now=now, at=at) for key, source in sorted(self._known.items())]

    def _find(self, offer: Offer) -> Source | None:
        return self._known.get((offer.provider, offer.model))

    def _ready(self, route: Route) -> Route:
        now = self.clock()
        ready: list[Offer] = []
        spared: list[Offer] = []
        resting: list[str] = []
        for offer in route.offers:
            source = self._find(offer)
            if source is None or source.breaker.is_ready(now):
                is_spared = source is not None and source.breaker.spared_until > now
                (spared if is_spared else ready).append(offer)
            else:
                resting.append(offer.provider)
        if not (ready or spared):
            raise self.resting(route.offers)
        skipped = dict.fromkeys(resting if ready or not spared else ())
        reason = route.reason + "".join(f"; {name} rests" for name in skipped)
        return Route((*ready, *spared), reason)

    def _fastest_of_equals(self, offers: tuple[Offer, ...], need: Need) -> Iterator[Offer]:
        """Order those that follow each other at the same price by their pace; all else stays as it was chosen."""
        now = self.clock()
        for _, equals in groupby(offers, key=lambda offer: price_of(offer, need)):
            group = list(equals)
            if len(group) > 1:
                group.sort(key=lambda offer: self._pace(offer, now))
            yield from group

    def _pace(self, offer: Offer, now: float) -> int:
        source = self._find(offer)
        return source.pace(now) if source else -1


def _report(key: Key, source: Source, *, now: float, at: datetime) -> SourceReport:
    recent = [one for one in source.measured if one.at > now - SHOWN_FOR_S]
    wait_s = (
        source.breaker.wait_s(now) if source.breaker.state == "open" else source.breaker.spared_until - now
    )
    return SourceReport(
        provider=key[0],
        model=key[1],
        state=source.breaker.state,
        retry_at=at + timedelta(seconds=wait_s) if wait_s > 0 else None,
        calls=len(recent),
        failures=sum(one.is_failure for one in recent),
        calls_total=source.calls,
        failures_total=source.failures,
        latencies=Counter(_bucket(one.ms) for one in recent if not one.is_failure),
        last_error=source.last_error,
        last_error_at=at - timedelta(seconds=now - source.last_error_at) if source.last_error else None,
    )


def _bucket(ms: int) -> int:
    """Return the bucket of a latency, as ``metering.latencies`` has them."""
    return int(log2(max(ms, 1)) * BUCKETS_A_DOUBLING)
