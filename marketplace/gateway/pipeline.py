"""The path of a call: admit, route, call, meter, rate, settle.

One ``Gateway`` lives in each event loop that makes calls. It owns the process's group commit, its directory of keys
and its connections to providers. A hold is on disk before a byte goes to a provider, and every hold is ended here:
settled with what was used, or released when no answer was delivered. If this process dies, the sweeper ends it.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from decimal import Decimal
from time import monotonic, perf_counter
from typing import Any, TypeVar
from uuid import UUID

from django.conf import settings
from msgspec.structs import replace

from marketplace.core.errors import Unavailable
from marketplace.core.ids import uuid7
from marketplace.gateway import books, requests
from marketplace.gateway.admitted import Admission, Served, admitted, tell_standings
from marketplace.gateway.asking import UsualOutput, Way, ways
from marketplace.gateway.books import DatabaseAway, Reserve, Stale
from marketplace.gateway.caching import hits
from marketplace.gateway.caching.flights import AnswerCache, Flight
from marketplace.gateway.caching.hits import Hit, HitStream
from marketplace.gateway.calling import first_answer, first_stream
from marketplace.gateway.directory import Caller, Directory
from marketplace.gateway.health_reports import HealthReports
from marketplace.gateway.http_apps import HttpAppCaller
from marketplace.gateway.limits import LimitReached
from marketplace.gateway.offers import OfferBook, offer_book
from marketplace.gateway.open_streams import OpenStream
from marketplace.gateway.process_work import ProcessWork
from marketplace.gateway.providers import ConnectionPool, Provider, ProviderEndpoint, make_provider
from marketplace.gateway.providers.base import Completion, ProviderError, ProviderUnavailable, Stream
from marketplace.gateway.providers.base import Usage as ProviderUsage
from marketplace.gateway.requests import ModelRequest
from marketplace.gateway.router import Offer
from marketplace.gateway.routing import calls as routing
from marketplace.gateway.routing.book import RouteBook, route_book
from marketplace.gateway.sharing.buying import SharedCalls, tags_of
from marketplace.gateway.sources import Sources
from metering.ingest import Usage
from metering.origins import Reporter
from metering.rating import Quantities
from quotas import usual
from quotas.admission import Admitted, HoldRequest, Refused
from quotas.usual import UsualBook

logger = logging.getLogger(__name__)

T = TypeVar("T")
FindCaller = Callable[[], Awaitable[Caller]]
USUAL_FOR_S = 300.0
MOST_LOOKUPS = 5
# The next worker of a batch ends what the one before left held; this is for the case that none comes.
BATCH_HOLD = timedelta(hours=2)
Keep = Callable[[UUID, str, Completion], Awaitable[None]]
"""Writes down what came back (id of the hold, model, answer) before it is settled."""


class Moving(Unavailable):
    """The directory changed again and again while a call was being admitted."""

    def __init__(self) -> None:
        super().__init__("The catalogue is changing; try again.", retry_after_s=1)


class Gateway(ProcessWork):
    """Everything a process needs to make calls, in one event loop. ``close`` finishes what is under way."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = Directory()
        self.pool = ConnectionPool()
        self.apps = HttpAppCaller(allowed=settings.EGRESS_ALLOW)
        self.answers = AnswerCache(self)
        self.shared = SharedCalls(
            lambda admission, request: self._first_answer(admission, request), start=self.in_background
        )
        self._offers: tuple[int, OfferBook] | None = None
        self._routes: tuple[int, RouteBook] | None = None
        self.budgets = routing.BudgetsLeft()
        self._usual_book = UsualBook()
        self._usual_until = 0.0
        self._providers: dict[ProviderEndpoint, Provider] = {}
        self.health = HealthReports(self)
        self.sources = Sources(on_change=self.health.due)

    async def close(self) -> None:
        """Settle what is still to be settled, then let go of threads and connections."""
        await self.finish_background()
        await self.health.close()
        await self.end_threads()
        await self.apps.close()
        await self.pool.close()

    async def find(self, presented: str, *, kind: str) -> Caller | Reporter:
        """Return who presents this key. Raises BadKey, AppPaused."""
        at = books.now()
        holder = self.directory.remembered(presented, kind=kind, at=at)
        if holder is None:
            holder = await self.read(lambda: self.directory.look_up(presented, kind=kind, at=at))
        self._note_use(holder.who.key_id if isinstance(holder, Caller) else holder.key_id, at)
        return holder

    async def offers(self, epoch: int) -> OfferBook:
        """Return models, prices and providers at an epoch of the directory."""
        if self._offers is None or self._offers[0] != epoch:
            book = await self.read(lambda: offer_book.at({"directory": epoch}))
            self._offers = (epoch, book)
            self.sources.reset(book.resets)
        return self._offers[1]

    async def routes(self, epoch: int) -> RouteBook:
        """Return route policies and approvals at an epoch of the directory."""
        if self._routes is None or self._routes[0] != epoch:
            book = await self.read(lambda: route_book.at({"directory": epoch}))
            self._routes = (epoch, book)
        return self._routes[1]

    async def admit(
        self,
        find: FindCaller,
        ask: Callable[[Caller], ModelRequest | None],
        *,
        call_id: UUID | None = None,
        flight: Flight | None = None,
    ) -> tuple[Admission, Any]:
        """Hold what a call may use at most, before anything is sent. With a ``flight``, an answer that is there first.

        ``ask`` builds the model request for a caller, or None for an app that runs elsewhere. Raises LimitReached
        and what the router or ``ask`` raises; then nothing is held. A ``call_id`` that was written down before is the
        id of the hold and of the event: who takes over from a process that died finds what became of the call.
        """
        for _ in range(MOST_LOOKUPS):
            caller = await find()
            caller.require_active()
            request = ask(caller)
            hold, found = await self._hold_for(caller, request, call_id or uuid7())
            if flight is not None:
                hit = await flight.look(caller, request, found[0].route.offers[0] if found else None)
                hold = hits.hold_of(hit, hold) if hit else hold
            try:
                answer = await self.group.submit(Reserve(hold, caller.epoch))
            except (DatabaseAway, asyncio.CancelledError):
                # The hold may be on disk though nobody heard of it; what was not called must not be charged.
                self.in_background(self._release_if_held(hold.id))
                raise
            if isinstance(answer, Stale):
                self.directory.renew(answer.epoch)
                continue
            if isinstance(answer, Refused):
                raise LimitReached(answer)
            assert isinstance(answer, Admitted)
            self.budgets.note(caller.who.subscription_id, answer.standings)
            return admitted(
                answer, caller, request, hold, found, cache=flight.outcome if flight else "bypass"
            )
        raise Moving

    async def _hold_for(
        self, caller: Caller, request: ModelRequest | None, hold_id: UUID
    ) -> tuple[HoldRequest, list[Way]]:
        """Return what to ask admission for, and the ways to make the call that it stands for."""
        at = books.now()
        is_batch = request is not None and request.is_batch
        expires_at = at + (BATCH_HOLD if is_batch else timedelta(seconds=settings.HOLD_SECONDS))
        if request is None:
            usage = Usage(str(hold_id), at, caller.who_at(at), "", Quantities())
            most, often = (await self._usual()).elsewhere(caller.app.app_id)
            return HoldRequest(hold_id, usage, most, expires_at, (often,)), []
        book = await self.offers(caller.epoch)
        chosen = routing.choose(
            request,
            caller,
            offers=book,
            book=await self.routes(caller.epoch),
            budget_left=self.budgets.of(caller.who.subscription_id, at=at),
            call_id=hold_id,
            at=at,
        )
        need = request.need
        route = self.sources.arrange(chosen.route, need)
        who = caller.who_at(at)._replace(model_asked=need.asked, feature=request.feature)
        usage = Usage(
            str(hold_id),
            at,
            who,
            route.offers[0].model,
            Quantities(input_tokens=need.input_tokens),
            is_batch=is_batch,
            tags=chosen.tags,
        )
        found = ways(route, need, usual_output=await self._usual_output(caller, request))
        first, *others = [way.estimate for way in found]
        return HoldRequest(hold_id, usage, first, expires_at, tuple(others)), found

    async def _usual_output(self, caller: Caller, request: ModelRequest) -> UsualOutput | None:
        """Tell how long answers of this app usually are, for a caller who did not say how long one may be."""
        if request.names_length:
            return None
        book, app_id, choices = await self._usual(), caller.app.app_id, request.choices

        def of_model(model: str) -> int | None:
            output = book.output(app_id, model)
            return output * choices if output else None

        return of_model

    async def _usual(self) -> UsualBook:
        """Return what calls usually come to, read again when it is old; one that is away is as if unknown."""
        if monotonic() >= self._usual_until:
            self._usual_until = monotonic() + USUAL_FOR_S
            with suppress(DatabaseAway):
                self._usual_book = await self.read(usual.load)
        return self._usual_book

    async def complete(
        self,
        find: FindCaller,
        ask: Callable[[Caller], ModelRequest],
        *,
        call_id: UUID | None = None,
        keep: Keep | None = None,
    ) -> tuple[Served, Completion]:
        """Make a whole call and return its answer once it is metered.

        With ``keep``, what came back is kept before it is settled; where that fails nothing is charged. Such a call has
        no part in what is saved: who takes over from a process that died settles what a provider answered.
        """
        with self.answers.flight() as flight:
            admission, request = await self.admit(
                find, ask, call_id=call_id, flight=flight if keep is None else None
            )
            if flight.hit is not None:
                return await self._settle_hit(admission, flight.hit), flight.hit.completion
            try:
                offer, completion = await self.shared.buy(admission, request, flight.announced)
                if keep is not None:
                    await keep(admission.id, offer.model, completion)
            except BaseException as error:
                await self._end(admission, None)
                tell_standings(error, admission)
                raise
            flight.keep_completion(offer, completion, call_id=str(admission.id))
        served = await self._settle(
            admission,
            offer,
            completion.usage,
            latency_ms=completion.latency_ms,
            tags=tags_of(completion),
        )
        return served, completion

    async def _settle_hit(self, admission: Admission, hit: Hit) -> Served:
        """End the hold of a call whose answer was there: a call that used nothing."""
        latency_ms = int((books.now() - admission.usage.occurred_at).total_seconds() * 1000)
        usage = hits.usage_of(hit, admission.usage, latency_ms=latency_ms)
        receipt = await self._end(admission, usage)
        cost, currency = (receipt.rated.cost, receipt.currency) if receipt else (Decimal(0), "")
        return Served(admission, usage.model, hit.reason, cost, hit.served, currency)

    async def _first_answer(self, admission: Admission, request: ModelRequest) -> tuple[Offer, Completion]:
        assert admission.route is not None
        return await first_answer(
            admission.route,
            request,
            provider_of=self._provider_of(await self.offers(admission.caller.epoch)),
            sources=self.sources,
            app_id=admission.caller.app.app_id,
        )

    @asynccontextmanager
    async def stream(
        self, find: FindCaller, ask: Callable[[Caller], ModelRequest]
    ) -> AsyncIterator["OpenStream"]:
        """Open a stream; leaving the block meters what was delivered, whatever ended it."""
        with self.answers.flight() as flight:
            admission, request = await self.admit(find, ask, flight=flight)
            if flight.hit is not None:
                source = HitStream(flight.hit, with_usage=requests.asks_for_usage(request))
                try:
                    yield OpenStream(self.group, admission, flight.hit.offer, source)
                finally:
                    await self._settle_hit(admission, flight.hit)
                return
            async with self._stream_bought(admission, request) as opened:
                yield opened
                flight.keep_stream(opened.offer, opened.source, call_id=str(admission.id))

    @asynccontextmanager
    async def _stream_bought(
        self, admission: Admission, request: ModelRequest
    ) -> AsyncIterator["OpenStream"]:
        assert admission.route is not None
        offer: Offer | None = None
        started = perf_counter()
        opened: Stream | None = None
        try:
            book = await self.offers(admission.caller.epoch)
            async with first_stream(
                admission.route,
                request,
                provider_of=self._provider_of(book),
                sources=self.sources,
                app_id=admission.caller.app.app_id,
            ) as (offer, opened):
                yield OpenStream(self.group, admission, offer, opened)
        except ProviderError as error:
            tell_standings(error, admission)
            raise
        finally:
            if opened is None:
                await self._end(admission, None)
            else:
                latency_ms = int((perf_counter() - started) * 1000)
                await self._settle(admission, offer, opened.usage(), latency_ms=latency_ms)

    async def _settle(
        self,
        admission: Admission,
        offer: Offer | None,
        used: ProviderUsage,
        *,
        latency_ms: int,
        tags: dict[str, str] | None = None,
    ) -> Served:
        quantities = Quantities(
            input_tokens=used.input_tokens,
            output_tokens=used.output_tokens,
            cached_input_tokens=used.cached_input_tokens,
            cache_write_tokens=used.cache_write_tokens,
            reasoning_tokens=used.reasoning_tokens,
        )
        reason = admission.route.reason if admission.route else "the app's own endpoint"
        usage = replace(
            admission.usage,
            model=offer.model if offer else admission.usage.model,
            quantities=quantities,
            latency_ms=latency_ms,
            provider_cost=used.provider_cost,
            is_estimated=used.is_estimated,
            tags={**self._told(admission, quantities, offer, reason), **(tags or {})} or None,
        )
        receipt = await self._end(admission, usage)
        cost, currency = (receipt.rated.cost, receipt.currency) if receipt else (Decimal(0), "")
        return Served(admission, usage.model, reason, cost, quantities, currency)

    def _told(
        self, admission: Admission, quantities: Quantities, offer: Offer | None, reason: str
    ) -> dict[str, str]:
        """Explain the route in the event. With prices in memory: no question may stand before the end of a hold."""
        if self._offers is None or offer is None:
            return admission.usage.tags or {}
        return routing.told(admission.usage, quantities, reason=reason, prices=self._offers[1].prices)

    def _provider_of(self, book: OfferBook) -> Callable[[Offer], Provider]:
        def of(offer: Offer) -> Provider:
            endpoint = book.endpoints.get(offer.provider)
            if endpoint is None:
                # It was switched off after the route was chosen.
                raise ProviderUnavailable(offer.provider, "is not called any more", was_maybe_charged=False)
            return self._provider(endpoint)

        return of

    def _provider(self, endpoint: ProviderEndpoint) -> Provider:
        provider = self._providers.get(endpoint)
        if provider is None:
            provider = self._providers[endpoint] = make_provider(endpoint, pool=self.pool)
        return provider
