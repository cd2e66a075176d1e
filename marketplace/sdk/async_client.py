"""The client for asyncio: the same calls, each in a thread of its own, so that the loop never waits for a network."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from types import TracebackType
from typing import Any, Literal, TypeVar, overload

from .chat_streams import ChatStream
from .client import AUTO, Client, Messages
from .results import ChatAnswer, ChatChunk, Embeddings, LimitStanding, Route, RunAnswer, RunState, UsageReport
from .usage import Usage

T = TypeVar("T")


class AsyncClient:
    """``Client`` for asyncio; takes what that takes. ``connections`` is how many calls are under way at most.

    A canceled call is not waited for any more; it ends in its thread, and its idempotency key still has its answer.

    >>> async def ask(question: str) -> str:
    ...     async with AsyncClient("https://marketplace.example", "hp_sub_…") as client:
    ...         return (await client.chat(question)).text
    """

    def __init__(
        self, url: str | None = None, api_key: str | None = None, *, connections: int = 32, **options: Any
    ) -> None:
        self.client = Client(url, api_key, connections=connections, **options)
        self._threads = ThreadPoolExecutor(connections, thread_name_prefix="halfpenny")

    async def run(self, app: str, input: Mapping[str, Any], **options: Any) -> RunAnswer:
        """Run an app; see ``Client.run``."""
        return await self._call(partial(self.client.run, app, input, **options))

    async def submit(self, app: str, input: Mapping[str, Any], **options: Any) -> str:
        """Begin a long run; see ``Client.submit``."""
        return await self._call(partial(self.client.submit, app, input, **options))

    async def job(self, job_id: str) -> RunState:
        """Say where a run is; see ``Client.job``."""
        return await self._call(partial(self.client.job, job_id))

    async def wait(self, job_id: str, *, timeout_s: float = 600.0) -> RunAnswer:
        """Wait for a run; see ``Client.wait``."""
        return await self._call(partial(self.client.wait, job_id, timeout_s=timeout_s))

    @overload
    async def chat(
        self, messages: Messages, *, model: str = AUTO, stream: Literal[False] = False, **options: Any
    ) -> ChatAnswer: ...
    @overload
    async def chat(
        self, messages: Messages, *, model: str = AUTO, stream: Literal[True], **options: Any
    ) -> "AsyncChatStream": ...

    async def chat(
        self, messages: Messages, *, model: str = AUTO, stream: bool = False, **options: Any
    ) -> "ChatAnswer | AsyncChatStream":
        """Have a model answer; see ``Client.chat``."""
        if not stream:
            return await self._call(partial(self.client.chat, messages, model=model, **options))

        def begin() -> ChatStream:
            return self.client.chat(messages, model=model, stream=True, **options)

        opened = await self._call(begin)
        return AsyncChatStream(opened, self._call)

    async def embed(self, texts: str | Sequence[str], **options: Any) -> Embeddings:
        """Return a vector for each text; see ``Client.embed``."""
        return await self._call(partial(self.client.embed, texts, **options))

    async def models(self) -> list[str]:
        """Return the names that may be asked for; see ``Client.models``."""
        return await self._call(self.client.models)

    async def usage(self, **options: Any) -> UsageReport:
        """Return usage by time and dimension; see ``Client.usage``."""
        return await self._call(partial(self.client.usage, **options))

    async def limits(self, owner_kind: str = "", owner_id: str = "") -> list[LimitStanding]:
        """Return limits and where they stand; see ``Client.limits``."""
        return await self._call(partial(self.client.limits, owner_kind, owner_id))

    async def close(self) -> None:
        """Close idle connections; calls under way end first."""
        await asyncio.to_thread(self._threads.shutdown)
        self.client.close()

    async def __aenter__(self) -> "AsyncClient":
        return self

    async def __aexit__(
        self, kind: type | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def _call(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)


class AsyncChatStream:
    """``ChatStream`` for ``async for`` and ``async with``."""

    def __init__(self, stream: ChatStream, call: Callable[[Callable[[], Any]], Any]) -> None:
        self._stream, self._call = stream, call
        self._pieces: Iterator[ChatChunk] = iter(stream)

    @property
    def route(self) -> Route:
        return self._stream.route

    @property
    def usage(self) -> Usage | None:
        return self._stream.usage

    async def __aiter__(self) -> AsyncIterator[ChatChunk]:
        # StopIteration cannot pass through a future, so the end is a value.
        while (chunk := await self._call(partial(next, self._pieces, None))) is not None:
            yield chunk

    async def text(self) -> AsyncIterator[str]:
        """Give the texts of the pieces that have one."""
        async for chunk in self:
            if chunk.text:
                yield chunk.text

    async def close(self) -> None:
        """Let go of the connection; a thread that waits for a piece wakes up."""
        self._stream.abort()
        await self._call(self._stream.close)

    async def __aenter__(self) -> "AsyncChatStream":
        return self

    async def __aexit__(
        self, kind: type | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()
