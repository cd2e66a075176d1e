"""The little of HTTP that the hot paths need, directly on ASGI: a framework costs several times the work itself."""

import asyncio
import gzip
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping, Sequence
from io import BytesIO
from typing import Any

import msgspec

from marketplace.core.errors import InvalidInput
from marketplace.core.json import encode

# What is larger is unpacked and decoded in a thread: the others go on meanwhile.
INLINE_BYTES = 32_768

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


MOST_DRAINED_BYTES = 64 * 1024 * 1024


class BodyTooLarge(InvalidInput):
    """The body has more bytes than this path takes."""

    code = "too_large"

    def __init__(self, limit: int) -> None:
        super().__init__("", f"The body may have {limit} bytes.", limit=limit)


class UnsupportedType(InvalidInput):
    """The body is in a format this path does not take."""

    code = "unsupported_media_type"
    status = 415

    def __init__(self, content_type: str, *, taken: Sequence[str]) -> None:
        formats = f"{', '.join(taken[:-1])} or {taken[-1]}"
        super().__init__("Content-Type", f"{content_type!r} is not taken; send {formats}.")


class BadEncoding(InvalidInput):
    """The body is not what its Content-Encoding says."""

    code = "invalid_encoding"

    def __init__(self, message: str) -> None:
        super().__init__("", message)


class ClientGone(Exception):
    """The caller closed the connection before the body was complete."""


class Request:
    """A request as the server hands it over."""

    __slots__ = ("_headers", "_is_read", "method", "path", "query", "receive", "scope")

    def __init__(self, scope: Scope, receive: Receive) -> None:
        self.scope = scope
        self.receive = receive
        self._is_read = False
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        self.query: bytes = scope.get("query_string", b"")
        self._headers: dict[bytes, bytes] | None = None

    def header(self, name: bytes) -> str:
        """Return a header by its lower-case name, or an empty text."""
        if self._headers is None:
            self._headers = dict(self.scope["headers"])
        return self._headers.get(name, b"").decode("latin-1")

    def headers_under(self, prefix: str) -> dict[str, str]:
        """Return the headers whose lower-case names begin with a prefix."""
        raw = prefix.encode()
        pairs = (pair for pair in self.scope["headers"] if pair[0].startswith(raw))
        return {name.decode("latin-1"): value.decode("latin-1") for name, value in pairs}

    @property
    def key(self) -> str:
        """Return the presented key: Authorization: Bearer …, or where that is missing, Anthropic's x-api-key."""
        scheme, _, key = self.header(b"authorization").partition(" ")
        return key.strip() if scheme.lower() == "bearer" else self.header(b"x-api-key").strip()

    @property
    def content_type(self) -> str:
        return self.header(b"content-type").partition(";")[0].strip().lower()

    async def body(self, *, limit: int) -> bytes:
        """Read the body, unpacked. Raises BodyTooLarge, BadEncoding, ClientGone."""
        length = self.header(b"content-length")
        if length.isdigit() and int(length) > limit:
            raise BodyTooLarge(limit)
        chunks = []
        size = 0
        while True:
            chunk = await self._next_chunk()
            size += len(chunk)
            if size > limit:
                raise BodyTooLarge(limit)
            chunks.append(chunk)
            if self._is_read:
                break
        body = chunks[0] if len(chunks) == 1 else b"".join(chunks)
        encoding = self.header(b"content-encoding").lower()
        if encoding in ("", "identity"):
            return body
        if encoding != "gzip":
            raise BadEncoding(f"The content encoding {encoding!r} is not taken; use gzip or none.")
        if len(body) <= INLINE_BYTES:
            return gunzip(body, limit=limit)
        return await asyncio.to_thread(gunzip, body, limit=limit)

    async def chunks(self, *, limit: int) -> AsyncIterator[bytes]:
        """Give the body piece by piece, as it is sent. Raises BodyTooLarge, BadEncoding, ClientGone."""
        if self.header(b"content-encoding").lower() not in ("", "identity"):
            raise BadEncoding("A file is sent without a content encoding.")
        left = limit
        while not self._is_read:
            chunk = await self._next_chunk()
            left -= len(chunk)
            if left < 0:
                raise BodyTooLarge(limit)
            yield chunk

    async def drain(self) -> None:
        """Read what is left of the body and forget it. Raises ClientGone.

        A caller that is still sending when the answer comes and the connection closes loses the answer. One that
        waits to be asked for its body (``Expect``) hears the answer first.
        """
        if self.header(b"expect"):
            return
        left = MOST_DRAINED_BYTES
        while not self._is_read and left > 0:
            left -= len(await self._next_chunk())

    async def _next_chunk(self) -> bytes:
        message = await self.receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        self._is_read = not message.get("more_body")
        chunk: bytes = message.get("body", b"")
        return chunk

    async def disconnected(self) -> None:
        """Return when the caller has gone."""
        while (await self.receive())["type"] != "http.disconnect":
            continue


def gunzip(body: bytes, *, limit: int) -> bytes:
    """Unpack gzip, one member or several in a row, up to a limit, so that a small body cannot fill the memory."""
    try:
        plain = gzip.GzipFile(fileobj=BytesIO(body)).read(limit + 1)
    except EOFError as error:
        raise BadEncoding("The gzip body is cut off.") from error
    except (OSError, zlib.error) as error:
        raise BadEncoding("The body is not gzip.") from error
    if len(plain) > limit:
        raise BodyTooLarge(limit)
    return plain


async def respond(
    send: Send,
    status: int,
    body: bytes,
    *,
    headers: dict[str, str] | None = None,
    content_type: bytes = b"application/json",
) -> None:
    """Send a whole answer."""
    raw = [(b"content-type", content_type), (b"content-length", str(len(body)).encode())]
    raw += [(name.encode(), value.encode("latin-1", "replace")) for name, value in (headers or {}).items()]
    await send({"type": "http.response.start", "status": status, "headers": raw})
    await send({"type": "http.response.body", "body": body})


async def respond_json(
    send: Send,
    status: int,
    value: Any,
    *,
    headers: dict[str, str] | None = None,
    content_type: bytes = b"application/json",
) -> None:
    """Send a value as JSON; Decimal, UUID and datetime become strings."""
    body = value if isinstance(value, bytes) else encode(value).encode()
    await respond(send, status, body, headers=headers, content_type=content_type)


def raw_json(value: Any) -> bytes:
    """Encode a value that is already JSON-ready."""
    return msgspec.json.encode(value)
