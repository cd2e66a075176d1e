"""``meter()``: one object that is a decorator and a context manager, for sync and async code."""

import contextvars
import functools
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any, TypeVar, cast

from .calls import Call, Find, Sink
from .streams import AsyncWatched, Watched, is_async_stream, is_stream

F = TypeVar("F", bound=Callable[..., Any])

_calls: contextvars.ContextVar[tuple[Call, ...]] = contextvars.ContextVar("halfpenny_calls", default=())


def current_call() -> Call | None:
    """Return the innermost metered call that this code runs in; None outside of any, and in bodies of generators."""
    calls = _calls.get()
    return calls[-1] if calls else None


class Metered:
    """Meters functions as a decorator, and blocks as a context manager; may be used any number of times at once."""

    def __init__(self, find_sink: Callable[[], Sink], about: dict[str, Any], *, find: Find | None) -> None:
        self._find_sink = find_sink
        self._about = about
        self._find = find
        self._latest: Call | None = None

    def __call__(self, function: F) -> F:
        """Meter a function, coroutine function, generator or async generator; it stays what it is."""
        if inspect.isasyncgenfunction(function):
            return self._async_generator(function)
        if inspect.isgeneratorfunction(function):
            return self._generator(function)
        if inspect.iscoroutinefunction(function):
            return self._coroutine(function)
        return self._function(function)

    def __enter__(self) -> Call:
        call = self._begin()
        self._latest = call
        _calls.set((*_calls.get(), call))
        return call

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        calls = _calls.get()
        # Not simply the last one: blocks in generators end in any order, and sometimes in another context.
        call = next((each for each in reversed(calls) if each.opener is self), self._latest)
        _calls.set(tuple(each for each in calls if each is not call))
        if call is None:
            return
        if error is None:
            call.finish()
        else:
            call.fail(error)

    async def __aenter__(self) -> Call:
        return self.__enter__()

    async def __aexit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        self.__exit__(kind, error, trace)

    def _begin(self) -> Call:
        return Call(self._find_sink(), self._about, find=self._find, opener=self)

    def _function(self, function: F) -> F:
        @functools.wraps(function)
        def call_metered(*args: Any, **kwargs: Any) -> Any:
            call = self._begin()
            outer = _calls.get()
            _calls.set((*outer, call))
            try:
                result = function(*args, **kwargs)
            except BaseException as error:
                call.fail(error)
                raise
            finally:
                _calls.set(outer)
            if hasattr(type(result), "__await__"):
                return self._awaited(call, result)
            return self._passed_on(call, result)

        return cast(F, call_metered)

    def _coroutine(self, function: F) -> F:
        @functools.wraps(function)
        async def call_metered(*args: Any, **kwargs: Any) -> Any:
            return await self._awaited(self._begin(), function(*args, **kwargs))

        return cast(F, call_metered)

    async def _awaited(self, call: Call, result: Awaitable[Any]) -> Any:
        outer = _calls.get()
        _calls.set((*outer, call))
        try:
            value = await result
        except BaseException as error:
            call.fail(error)
            raise
        finally:
            _calls.set(outer)
        return self._passed_on(call, value)

    def _passed_on(self, call: Call, result: Any) -> Any:
        """Finish a call with its result, or leave that to the end of the stream that it returned."""
        if is_stream(result):
            return Watched(result, call)
        if is_async_stream(result):
            return AsyncWatched(result, call)
        call.observe(result)
        call.finish()
        return result

    def _generator(self, function: F) -> F:
        @functools.wraps(function)
        def generate_metered(*args: Any, **kwargs: Any) -> Iterator[Any]:
            # Sent values, thrown errors and closing reach the inner generator through ``yield from``.
            return (yield from Watched(function(*args, **kwargs), self._begin()))

        return cast(F, generate_metered)

    def _async_generator(self, function: F) -> F:
        @functools.wraps(function)
        async def generate_metered(*args: Any, **kwargs: Any) -> AsyncIterator[Any]:
            watched = AsyncWatched(function(*args, **kwargs), self._begin())
            # There is no ``yield from`` for these; what comes in is handed on by hand.
            step = watched.asend(None)
            while True:
                try:
                    item = await step
                except StopAsyncIteration:
                    return
                try:
                    sent = yield item
                except GeneratorExit:
                    await watched.aclose()
                    raise
                except BaseException as error:
                    step = watched.athrow(error)
                else:
                    step = watched.asend(sent)

        return cast(F, generate_metered)
