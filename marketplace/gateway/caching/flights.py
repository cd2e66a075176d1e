"""Calls for one answer: the first who asks goes, and who asks the same meanwhile waits for what comes of it.

This holds for one process. Several of them buy an answer at most once each while none has it; after that the database
has it for all.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from marketplace.gateway import books
from marketplace.gateway.books import DatabaseAway
from marketplace.gateway.caching import hits, similar, store
from marketplace.gateway.caching.entries import Entry, of_completion, of_stream
from marketplace.gateway.caching.hits import Hit
from marketplace.gateway.caching.judging import agree
from marketplace.gateway.caching.keys import Scope, key_of, may_keep, scope_of
from marketplace.gateway.caching.memory import Memory
from marketplace.gateway.caching.questions import Question, question_of, text_of
from marketplace.gateway.caching.terms import SavingTerms
from marketplace.gateway.directory import Caller
from marketplace.gateway.providers.base import Completion, Stream
from marketplace.gateway.requests import ModelRequest
from marketplace.gateway.router import Offer
from marketplace.gateway.sharing.gathering import Announced

if TYPE_CHECKING:
    from marketplace.gateway.pipeline import Gateway

logger = logging.getLogger(__name__)

LONGEST_WAIT_S = 30.0
"""After so long somebody who waits goes on their own: slower than that, one answer for all is no favor."""
TRIED = 13
"""Of 256 questions to which a similar one has an answer, so many are bought all the same while answers are served:
about 5 %, so that it shows when they begin to be wrong."""


@dataclass(frozen=True, slots=True)
class Found:
    """An answer that was there, and by what it was found."""

    entry: Entry
    by: str = hits.EXACT


@dataclass(frozen=True, slots=True)
class Wanted:
    """What an answer is looked for, and kept, by."""

    key: bytes
    scope: Scope
    request: ModelRequest
    terms: SavingTerms
    question: Question | None = None


class AnswerCache:
    """The answers that a process has at hand, and the calls under way for those it has not."""

    def __init__(self, gateway: "Gateway", *, longest_wait_s: float = LONGEST_WAIT_S) -> None:
        self.gateway = gateway
        self.memory = Memory()
        self.under_way: dict[bytes, asyncio.Future[Found | None]] = {}
        self.longest_wait_s = longest_wait_s

    def flight(self) -> "Flight":
        """Begin a call that may find its answer here; to be used in a ``with`` block."""
        return Flight(self)

    async def read(self, question: Callable[[], Any]) -> Any:
        """Ask the database; one that is away knows no answers."""
        try:
            return await self.gateway.read(question)
        except DatabaseAway:
            logger.info("the database is away: kept answers are not looked for")
            return None

    def write(self, work: Callable[[], Any]) -> None:
        """Write beside the call; what is lost with the database costs another call."""
        self.gateway.in_background(self.read(work))


class Flight:
    """One call on its way. Leaving the block ends it for whoever waits, however it went."""

    def __init__(self, cache: AnswerCache) -> None:
        self._cache = cache
        self._wanted: Wanted | None = None
        self._leads: asyncio.Future[Found | None] | None = None
        self._on_trial: tuple[Entry, float] | None = None
        self.hit: Hit | None = None
        self.announced: Announced | None = None
        """That a call is on the way which may be bought together with others."""

    def __enter__(self) -> "Flight":
        return self

    def __exit__(self, *_: object) -> None:
        self._land(None)
        self._announce(None)

    @property
    def outcome(self) -> str:
        """What the answer says of the cache: hit, miss, or bypass when it had no part in the call."""
        return "hit" if self.hit else "miss" if self._wanted else "bypass"

    async def look(self, caller: Caller, request: ModelRequest | None, offer: Offer | None) -> Hit | None:
        """Look for the answer to a request that would be sent to an offer; waits for one that is on its way.

        Called again when the call is decided anew.
        """
        self._land(None)
        self.hit = self._wanted = self._on_trial = None
        self._announce(self._cache.gateway.shared.announce(caller, request) if request else None)
        terms = caller.app.saving
        if request is None or offer is None or not may_keep(request, terms):
            return None
        scope = scope_of(caller, offer, generation=terms.generation)
        self._wanted = Wanted(key_of(scope, request), scope, request, terms)
        entry = self._cache.memory.get(self._wanted.key, at=books.now())
        found = Found(entry) if entry else await self._wait_or_lead(self._wanted)
        if found is not None:
            self.hit = hits.make(found.entry, offer, by=found.by)
            self._announce(None)
        return self.hit

    def keep_completion(self, offer: Offer, completion: Completion, *, call_id: str) -> None:
        """Keep a whole answer, if it may be given again, and give it to whoever waits."""
        if self._wanted is not None:
            self._keep(offer, of_completion(completion, path=self._wanted.request.path), call_id)

    def keep_stream(self, offer: Offer, stream: Stream, *, call_id: str) -> None:
        """Keep a streamed answer that came to its end."""
        if self._wanted is not None and not self._wanted.request.fields.get("logprobs"):
            self._keep(offer, of_stream(stream, model=offer.model, at=books.now()), call_id)

    async def _wait_or_lead(self, wanted: Wanted) -> Found | None:
        under_way = self._cache.under_way.get(wanted.key)
        if under_way is not None:
            # Who gives up waiting does not end it for the others. One that came to nothing is no reason to wait for
            # the next: then each goes on its own.
            done, _ = await asyncio.wait([under_way], timeout=self._cache.longest_wait_s)
            return under_way.result() if done else None
        # Before anything is awaited, so that nobody else can lead meanwhile.
        self._leads = asyncio.get_running_loop().create_future()
        self._cache.under_way[wanted.key] = self._leads
        found = await self._kept(wanted) or await self._similar(wanted)
        if found is not None:
            self._land(found)
        return found

    async def _kept(self, wanted: Wanted) -> Found | None:
        """Look whether another process has kept the answer."""
        at = books.now()
        row = await self._cache.read(lambda: store.find(wanted.key, at=at))
        if row is None:
            return None
        entry, expires_at = row
        self._cache.memory.put(wanted.key, entry, expires_at=expires_at)
        return Found(entry)

    async def _similar(self, wanted: Wanted) -> Found | None:
        """Look for the answer to a similar question. While it is measured, or tried, it is kept for comparison."""
        question = question_of(wanted.request, wanted.scope) if wanted.terms.compares else None
        if question is None:
            return None
        self._wanted = Wanted(wanted.key, wanted.scope, wanted.request, wanted.terms, question)
        at, threshold = books.now(), wanted.terms.threshold
        near = await self._cache.read(lambda: similar.find(question, threshold=threshold, at=at))
        if near is None:
            return None
        if wanted.terms.serves_similar and wanted.key[0] >= TRIED:
            return Found(near[0], hits.SIMILAR)
        self._on_trial = near
        return None

    def _keep(self, offer: Offer, entry: Entry | None, call_id: str) -> None:
        wanted = self._wanted
        # What another model answered than the one that the key names would be given to those who pay for this one.
        if entry is None or wanted is None or not _is_of(wanted.scope, offer):
            return
        at = books.now()
        expires_at = at + timedelta(seconds=wanted.terms.ttl_s)
        self._cache.memory.put(wanted.key, entry, expires_at=expires_at)
        self._land(Found(entry))
        self._cache.write(
            lambda: store.keep(
                wanted.key, wanted.scope, entry, at=at, expires_at=expires_at, question=wanted.question
            )
        )
        self._try(entry, wanted.scope.app_id, call_id)

    def _try(self, entry: Entry, app_id: int, call_id: str) -> None:
        """Compare what was bought with what a similar question would have been answered."""
        if self._on_trial is None:
            return
        kept, similarity = self._on_trial
        was_wrong, at = not agree(text_of(kept), text_of(entry)), books.now()
        self._cache.write(
            lambda: similar.note_trial(app_id, call_id, similarity=similarity, was_wrong=was_wrong, at=at)
        )

    def _announce(self, announced: Announced | None) -> None:
        if self.announced is not None:
            self.announced.end()
        self.announced = announced

    def _land(self, found: Found | None) -> None:
        """End the call for whoever waits for it; a second end changes nothing."""
        if self._leads is None or self._wanted is None:
            return
        if not self._leads.done():
            self._leads.set_result(found)
        if self._cache.under_way.get(self._wanted.key) is self._leads:
            del self._cache.under_way[self._wanted.key]
        self._leads = None


def _is_of(scope: Scope, offer: Offer) -> bool:
    return (scope.model, scope.rate_card_id) == (offer.model, offer.prices.id)
