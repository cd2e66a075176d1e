"""Files that are written while they are sent, whatever server asks: nothing waits for the last row, or keeps them all."""

from collections.abc import AsyncIterator, Iterator
from itertools import islice

from asgiref.sync import sync_to_async
from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest, StreamingHttpResponse

PARTS_AT_ONCE = 500


def stream_file(
    request: HttpRequest, parts: Iterator[str], *, name: str, content_type: str
) -> StreamingHttpResponse:
    """Answer with a file to be saved under a name. The first parts are made at once, so that what is wrong with the
    question is raised here and not in the middle of a file."""
    joined = _joined(parts)
    first = _next(joined)
    rest = _in_thread(first, joined) if isinstance(request, ASGIRequest) else _after(first, joined)
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return StreamingHttpResponse(rest, content_type=content_type, headers=headers)


def _joined(parts: Iterator[str]) -> Iterator[str]:
    while some := "".join(islice(parts, PARTS_AT_ONCE)):
        yield some


def _after(first: str, rest: Iterator[str]) -> Iterator[str]:
    yield first
    yield from rest


async def _in_thread(first: str, rest: Iterator[str]) -> AsyncIterator[str]:
    """Make the parts in the thread of the request, which has its connection to the database."""
    yield first
    while part := await sync_to_async(_next)(rest):
        yield part


def _next(parts: Iterator[str]) -> str:
    return next(parts, "")
