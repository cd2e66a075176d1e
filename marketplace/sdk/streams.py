"""Streams that are passed on item by item while the usage in them is read; it is recorded when they end."""

import io
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any, Protocol

from .responses import Reading, read_usage
from .usage import Usage


class StreamedCall(Protocol):
    """The call that a stream belongs to."""

    def add(self, reading: Reading) -> None:
        """Count a usage."""
        ...

    def finish(self) -> None:
        """Record it."""
        ...

    def fail(self, error: BaseException) -> None:
        """Record what was used before it failed."""
        ...


def is_stream(value: Any) -> bool:
    """Tell an iterator, such as a client's stream or a generator, from a response."""
    return hasattr(type(value), "__next__") and not isinstance(value, io.IOBase)


def is_async_stream(value: Any) -> bool:
    """Tell an asynchronous iterator from a response."""
    return hasattr(type(value), "__anext__")


class _Reader:
    """Puts together what the items of one stream say, and tells the call once."""

    __slots__ = ("_call", "_is_ended", "_is_whole_call", "_model", "_usage")

    def __init__(self, call: StreamedCall, *, is_whole_call: bool) -> None:
        self._call = call
        self._is_whole_call = is_whole_call
        self._model: str | None = None
        self._usage: Usage | None = None
        self._is_ended = False

    def see(self, item: Any) -> None:
        try:
            reading = read_usage(item)
        except Exception:
            # The items are the app's; one that cannot be read is passed on like any other.
            return
        if reading is not None:
            self._model = reading.model or self._model
            self._usage = reading.usage if self._usage is None else self._usage.merged(reading.usage)

    def end(self, error: BaseException | None = None) -> None:
        if self._is_ended:
            return
        self._is_ended = True
        if self._usage is not None:
            self._call.add(Reading(self._model, self._usage))
        if not self._is_whole_call:
            return
        if error is None:
            self._call.finish()
        else:
            self._call.fail(error)


class Watched:
    """A stream as it was, with its usage read on the way. Ends with its last item, an error, `close`, or when dropped."""

    def __init__(self, stream: Any, call: StreamedCall, *, is_whole_call: bool = True) -> None:
        self._stream = stream
        self._reader = _Reader(call, is_whole_call=is_whole_call)

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        return self._step(self._stream.__next__)

    def send(self, value: Any) -> Any:
        return self._step(self._stream.send, value)

    def throw(self, *error: Any) -> Any:
        return self._step(self._stream.throw, *error)

    def close(self) -> None:
        try:
            if hasattr(self._stream, "close"):
                self._stream.close()
        finally:
            self._reader.end()

    def __enter__(self) -> "Watched":
        if hasattr(self._stream, "__enter__"):
            self._stream.__enter__()
        return self

    def __exit__(self, kind: Any, error: Any, trace: Any) -> Any:
        try:
            return self._stream.__exit__(kind, error, trace) if hasattr(self._stream, "__exit__") else None
        finally:
            self._reader.end(error)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def __del__(self) -> None:
        if "_reader" in self.__dict__:
            self._reader.end()

    def _step(self, advance: Callable[..., Any], *arguments: Any) -> Any:
        try:
            item = advance(*arguments)
        except StopIteration:
            self._reader.end()
            raise
        except BaseException as error:
            self._reader.end(error)
            raise
        self._reader.see(item)
        return item


class AsyncWatched:
    """The same for asynchronous streams."""

    def __init__(self, stream: Any, call: StreamedCall, *, is_whole_call: bool = True) -> None:
        self._stream = stream
        self._reader = _Reader(call, is_whole_call=is_whole_call)

    def __aiter__(self) -> AsyncIterator[Any]:
        return self

    async def __anext__(self) -> Any:
        return await self._step(self._stream.__anext__())

    async def asend(self, value: Any) -> Any:
        return await self._step(self._stream.asend(value))

    async def athrow(self, *error: Any) -> Any:
        return await self._step(self._stream.athrow(*error))

    async def aclose(self) -> None:
        await self._close("aclose")

    async def close(self) -> None:
        await self._close("close" if hasattr(self._stream, "close") else "aclose")

    async def __aenter__(self) -> "AsyncWatched":
        if hasattr(self._stream, "__aenter__"):
            await self._stream.__aenter__()
        return self

    async def __aexit__(self, kind: Any, error: Any, trace: Any) -> Any:
        try:
            if hasattr(self._stream, "__aexit__"):
                return await self._stream.__aexit__(kind, error, trace)
            return None
        finally:
            self._reader.end(error)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def __del__(self) -> None:
        if "_reader" in self.__dict__:
            self._reader.end()

    async def _close(self, name: str) -> None:
        try:
            if hasattr(self._stream, name):
                await getattr(self._stream, name)()
        finally:
            self._reader.end()

    async def _step(self, advance: Awaitable[Any]) -> Any:
        try:
            item = await advance
        except StopAsyncIteration:
            self._reader.end()
            raise
        except BaseException as error:
            self._reader.end(error)
            raise
        self._reader.see(item)
        return item
