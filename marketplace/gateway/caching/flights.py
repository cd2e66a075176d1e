"""Calls for one answer: the first who asks goes, and who asks the same meanwhile waits for what comes of it.

This holds for one process. Several of them buy an answer at most once each while none has it; after that the database
has it for all.
"""

import asyncio
import logging
from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from marketplace.gateway import books
from marketplace.gateway.books import DatabaseAway
from marketplace.gateway.caching import hits, store
from marketplace.gateway.caching.entries import Entry, of_completion, of_stream
from marketplace.gateway.caching.hits import Hit
from marketplace.gateway.caching.keys import Scope, key_of, may_keep, scope_of
from marketplace.gateway.caching.memory import Memory
from marketplace.gateway.directory import Caller
from marketplace.gateway.providers.base import Completion, Stream
from marketplace.gateway.requests import ModelRequest
from marketplace.gateway.router import Offer

if TYPE_CHECKING:
    from marketplace.gateway.pipeline import Gateway

logger = logging.getLogger(__name__)

LONGEST_WAIT_S = 30.0
"""After so long somebody who waits goes on their own: slower than that, one answer for all is no favor."""


class AnswerCache:
    """The answers that a process has at hand, and the calls under way for those it has not."""

    def __init__(self, gateway: "Gateway", *, longest_wait_s: float = LONGEST_WAIT_S) -> None:
        self.gateway = gateway
        self.memory = Memory()
        self.under_way: dict[bytes, asyncio.Future[Entry | None]] = {}
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


class Flight:
    """One call on its way. Leaving the block ends it for whoever waits, however it went."""

    def __init__(self, cache: AnswerCache) -> None:
        self._cache = cache
        self._key: bytes | None = None
        self._scope: Scope | None = None
        self._ttl = timedelta()
        self._request: ModelRequest | None = None
        self._leads: asyncio.Future[Entry | None] | None = None
        self.hit: Hit | None = None

    def __enter__(self) -> "Flight":
        return self

    def __exit__(self, *_: object) -> None:
        self._land(None)

    @property
    def outcome(self) -> str:
        """What the answer says of the cache: hit, miss, or bypass when it had no part in the call."""
        return "hit" if self.hit else "miss" if self._key else "bypass"

    async def look(self, caller: Caller, request: ModelRequest | None, offer: Offer | None) -> Hit | None:
        """Look for the answer to a request that would be sent to an offer; waits for one that is on its way.

        Called again when the call is decided anew.
        """
        self._land(None)
        self.hit = self._key = self._scope = None
        terms = caller.app.saving
        if request is None or offer is None or not may_keep(request, terms):
            return None
        self._scope, self._request = scope_of(caller, offer, generation=terms.generation), request
        self._key, self._ttl = key_of(self._scope, request), timedelta(seconds=terms.ttl_s)
        entry = self._cache.memory.get(self._key, at=books.now())
        if entry is None:
            entry = await self._wait_or_lead(self._key)
        if entry is not None:
            self.hit = hits.make(entry, offer)
        return self.hit

    def keep_completion(self, offer: Offer, completion: Completion) -> None:
        """Keep a whole answer, if it may be given again, and give it to whoever waits."""
        if self._request is not None:
            self._keep(offer, of_completion(completion, path=self._request.path))

    def keep_stream(self, offer: Offer, stream: Stream) -> None:
        """Keep a streamed answer that came to its end."""
        if self._request is not None and not self._request.fields.get("logprobs"):
            self._keep(offer, of_stream(stream, model=offer.model, at=books.now()))

    async def _wait_or_lead(self, key: bytes) -> Entry | None:
        under_way = self._cache.under_way.get(key)
        if under_way is not None:
            # Shielded: who gives up waiting must not end it for the others. One that came to nothing is no reason to
            # wait for the next; then each goes on its own.
            done, _ = await asyncio.wait([under_way], timeout=self._cache.longest_wait_s)
            return under_way.result() if done else None
        self._leads = self._cache.under_way[key] = asyncio.get_running_loop().create_future()
        at = books.now()
        found = await self._cache.read(lambda: store.find(key, at=at))
        if found is None:
            return None
        entry, expires_at = found
        self._cache.memory.put(key, entry, expires_at=expires_at)
        self._land(entry)
        assert isinstance(entry, Entry)
        return entry

    def _keep(self, offer: Offer, entry: Entry | None) -> None:
        key, scope = self._key, self._scope
        # What another model answered than the one that the key names would be given to those who pay for this one.
        if entry is None or key is None or scope is None or not self._is_of(scope, offer):
            return
        at = books.now()
        expires_at = at + self._ttl
        self._cache.memory.put(key, entry, expires_at=expires_at)
        self._land(entry)
        self._cache.gateway.in_background(
            self._cache.read(lambda: store.keep(key, scope, entry, at=at, expires_at=expires_at))
        )

    @staticmethod
    def _is_of(scope: Scope, offer: Offer) -> bool:
        return (scope.model, scope.rate_card_id) == (offer.model, offer.prices.id)

    def _land(self, entry: Entry | None) -> None:
        """End the call for whoever waits for it; a second end changes nothing."""
        if self._leads is None or self._key is None:
            return
        if not self._leads.done():
            self._leads.set_result(entry)
        if self._cache.under_way.get(self._key) is self._leads:
            del self._cache.under_way[self._key]
        self._leads = None
