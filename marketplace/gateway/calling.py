"""Call the sources of a route, one after the other, until one answers.

The next one is tried only when the failed one cannot have charged, and one that rests is passed over. What was held
covers the dearest of the route, so no step of the chain needs another hold.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from time import perf_counter

from marketplace.gateway.providers import Provider
from marketplace.gateway.providers.base import Completion, ProviderError, Stream
from marketplace.gateway.requests import ModelRequest
from marketplace.gateway.router import Offer, Route
from marketplace.gateway.sources import Sources, Trial

ProviderOf = Callable[[Offer], Provider]


async def first_answer(
    route: Route, request: ModelRequest, *, provider_of: ProviderOf, sources: Sources, app_id: int
) -> tuple[Offer, Completion]:
    """Return the first whole answer and whose it is. Raises ProviderError."""
    last: ProviderError | None = None
    for offer in route.offers:
        trial = sources.begin(offer, app_id=app_id)
        if trial is None:
            continue
        started = perf_counter()
        try:
            body = request.for_provider(offer.upstream_name)
            completion = await provider_of(offer).complete(body, path=request.path)
        except ProviderError as error:
            last = _failed(trial, error, started)
        except BaseException:
            trial.left()
            raise
        else:
            trial.answered(completion.latency_ms)
            return offer, completion
    raise last or sources.resting(route.offers)


@asynccontextmanager
async def first_stream(
    route: Route, request: ModelRequest, *, provider_of: ProviderOf, sources: Sources, app_id: int
) -> AsyncIterator[tuple[Offer, Stream]]:
    """Open the first stream that is accepted; once it is, no other source is tried. Raises ProviderError."""
    async with AsyncExitStack() as stack:
        offer, stream, trial, started = await _open(
            stack, route, request, provider_of=provider_of, sources=sources, app_id=app_id
        )
        try:
            yield offer, stream
        except ProviderError as error:
            trial.failed(error, ms=_ms_since(started))
            raise
        except BaseException:
            trial.left()
            raise
        if stream.first_byte_ms is None:
            trial.left()
        else:
            trial.answered(stream.first_byte_ms)


async def _open(
    stack: AsyncExitStack,
    route: Route,
    request: ModelRequest,
    *,
    provider_of: ProviderOf,
    sources: Sources,
    app_id: int,
) -> tuple[Offer, Stream, Trial, float]:
    last: ProviderError | None = None
    for offer in route.offers:
        trial = sources.begin(offer, app_id=app_id)
        if trial is None:
            continue
        started = perf_counter()
        try:
            opening = provider_of(offer).stream(request.for_provider(offer.upstream_name))
            return offer, await stack.enter_async_context(opening), trial, started
        except ProviderError as error:
            last = _failed(trial, error, started)
        except BaseException:
            trial.left()
            raise
    raise last or sources.resting(route.offers)


def _failed(trial: Trial, error: ProviderError, started: float) -> ProviderError:
    """Note a failure; raise it when another source must not, or need not, be tried."""
    trial.failed(error, ms=_ms_since(started))
    if error.was_maybe_charged or not error.is_retryable:
        raise error
    return error


def _ms_since(started: float) -> int:
    return round((perf_counter() - started) * 1000)
