"""/v1/files and /v1/batches, as OpenAI's client speaks them."""

import re
from collections.abc import Awaitable, Callable
from functools import partial
from typing import IO, Any, TypeVar
from urllib.parse import parse_qs
from uuid import UUID

from django.conf import settings
from django.db.models import Q, QuerySet

from marketplace.accounts import access
from marketplace.core.errors import InvalidInput
from marketplace.gateway import books, idempotency, requests
from marketplace.gateway.batch_models import Batch, StoredFile
from marketplace.gateway.batches import files, making, shapes, uploads
from marketplace.gateway.batches.files import Bounds
from marketplace.gateway.batches.making import Wanted
from marketplace.gateway.directory import Caller
from marketplace.gateway.http import Request, Send, respond_json
from marketplace.gateway.pipeline import Gateway

R = TypeVar("R", StoredFile, Batch)
Handler = Callable[..., Awaitable[None]]
MAX_BODY_BYTES = 64 * 1024
MOST_LISTED = 100
WANTED = ("input_file_id", "endpoint", "completion_window", "metadata", "output_expires_after")


def bounds() -> Bounds:
    """Return how much this installation stores."""
    return Bounds(
        file_bytes=settings.FILE_MAX_BYTES,
        lines=settings.BATCH_MAX_LINES,
        all_bytes=settings.FILES_MAX_BYTES,
        keep_days=settings.FILE_RETENTION_DAYS,
    )


async def _caller(gateway: Gateway, request: Request) -> Caller:
    caller = await gateway.find(request.key, kind="sub")
    assert isinstance(caller, Caller)
    return caller


def _own(model: type[R], caller: Caller) -> QuerySet[R]:
    return model._default_manager.filter(subscription=caller.who.subscription_id)


async def upload(gateway: Gateway, request: Request, send: Send) -> None:
    """POST /v1/files"""
    caller = await _caller(gateway, request)
    caller.require_active()
    body = await uploads.receive(request, most_bytes=settings.FILE_MAX_BYTES)
    with body:
        stored = await gateway.read(partial(_store, body, request.header(b"content-type"), caller))
    await respond_json(send, 200, shapes.file(stored))


def _store(body: IO[bytes], content_type: str, caller: Caller) -> StoredFile:
    size = body.seek(0, 2)
    body.seek(0)
    assert caller.who.subscription_id is not None
    with uploads.read(body, content_type=content_type, size=size) as sent:
        return files.store(
            sent.pieces(),
            subscription_id=caller.who.subscription_id,
            purpose=sent.purpose,
            name=sent.name,
            bounds=bounds(),
            at=books.now(),
            keep_s=sent.keep_s,
        )


async def list_files(gateway: Gateway, request: Request, send: Send) -> None:
    """GET /v1/files"""
    caller = await _caller(gateway, request)
    purpose = _query(request).get("purpose")
    found = _own(StoredFile, caller).filter(expires_at__gt=books.now())
    if purpose:
        found = found.filter(purpose=purpose)
    rows, has_more = await gateway.read(partial(_page, found, request, shapes.FILE_PREFIX))
    await respond_json(send, 200, shapes.page([shapes.file(one) for one in rows], has_more=has_more))


async def show_file(gateway: Gateway, request: Request, send: Send, *, file_id: str) -> None:
    """GET /v1/files/{id}"""
    await respond_json(send, 200, shapes.file(await _file(gateway, request, file_id)))


async def delete_file(gateway: Gateway, request: Request, send: Send, *, file_id: str) -> None:
    """DELETE /v1/files/{id}"""
    file = await _file(gateway, request, file_id)
    await gateway.read(partial(files.delete, file))
    await respond_json(send, 200, {"id": shapes.file_id(file.pk), "object": "file", "deleted": True})


async def content(gateway: Gateway, request: Request, send: Send, *, file_id: str) -> None:
    """GET /v1/files/{id}/content, chunk by chunk."""
    file = await _file(gateway, request, file_id)
    headers = [
        (b"content-type", b"application/jsonl"),
        (b"content-length", str(file.size_bytes).encode()),
    ]
    count = files.chunk_count(file)
    first = await gateway.read(partial(files.chunk, file.pk, 0)) if count else b""
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    for number in range(count):
        piece = await gateway.read(partial(files.chunk, file.pk, number)) if number else first
        await send({"type": "http.response.body", "body": piece, "more_body": number + 1 < count})
    if not count:
        await send({"type": "http.response.body", "body": b""})


async def _file(gateway: Gateway, request: Request, file_id: str) -> StoredFile:
    caller = await _caller(gateway, request)
    pk = shapes.read_id(file_id, shapes.FILE_PREFIX, kind="file")
    found = files.of_subscription(_id_of(caller), at=books.now())
    return await gateway.read(partial(access.get, found, pk=pk))


def _id_of(caller: Caller) -> UUID:
    assert caller.who.subscription_id is not None
    return caller.who.subscription_id


async def make_batch(gateway: Gateway, request: Request, send: Send) -> None:
    """POST /v1/batches"""
    caller = await _caller(gateway, request)
    caller.require_active()
    fields = requests.decode(await request.body(limit=MAX_BODY_BYTES))
    key = request.header(b"idempotency-key")
    idempotency.check_key(key)
    make = partial(
        making.make,
        _wanted(fields, feature=request.header(b"x-halfpenny-feature")[:40]),
        subscription_id=_id_of(caller),
        key_id=caller.who.key_id,
        idempotency_key=key,
        at=books.now(),
    )
    await respond_json(send, 200, shapes.batch(await gateway.read(make)))


def _wanted(fields: dict[str, Any], *, feature: str) -> Wanted:
    for name in fields:
        if name not in WANTED:
            raise InvalidInput(name, "is not a field of a batch", code="unknown_field")
    for name in WANTED[:3]:
        if not isinstance(fields.get(name), str):
            raise InvalidInput(name, "A text is required.")
    metadata = fields.get("metadata")
    if metadata is not None and not isinstance(metadata, dict):
        raise InvalidInput("metadata", "must be an object of texts")
    return Wanted(
        input_file_id=shapes.read_id(fields["input_file_id"], shapes.FILE_PREFIX, kind="file"),
        endpoint=fields["endpoint"],
        completion_window=fields["completion_window"],
        metadata=metadata,
        feature=feature,
    )


async def list_batches(gateway: Gateway, request: Request, send: Send) -> None:
    """GET /v1/batches"""
    caller = await _caller(gateway, request)
    rows, has_more = await gateway.read(partial(_page, _own(Batch, caller), request, shapes.BATCH_PREFIX))
    await respond_json(send, 200, shapes.page([shapes.batch(one) for one in rows], has_more=has_more))


async def show_batch(gateway: Gateway, request: Request, send: Send, *, batch_id: str) -> None:
    """GET /v1/batches/{id}"""
    await respond_json(send, 200, shapes.batch(await _batch(gateway, request, batch_id)))


async def cancel_batch(gateway: Gateway, request: Request, send: Send, *, batch_id: str) -> None:
    """POST /v1/batches/{id}/cancel"""
    batch = await _batch(gateway, request, batch_id)
    await gateway.read(partial(making.cancel, batch, at=books.now()))
    await respond_json(send, 200, shapes.batch(batch))


async def _batch(gateway: Gateway, request: Request, batch_id: str) -> Batch:
    caller = await _caller(gateway, request)
    pk = shapes.read_id(batch_id, shapes.BATCH_PREFIX, kind="batch")
    return await gateway.read(partial(access.get, _own(Batch, caller), pk=pk))


def _query(request: Request) -> dict[str, str]:
    return {name: values[-1] for name, values in parse_qs(request.query.decode("latin-1")).items()}


def _page(found: QuerySet[R], request: Request, prefix: str) -> tuple[list[R], bool]:
    """Read one page, the newest first, after the id that the caller names. Raises InvalidInput."""
    asked = _query(request)
    limit, is_oldest_first = _limit(asked.get("limit", "20")), asked.get("order") == "asc"
    order = ("created_at", "pk") if is_oldest_first else ("-created_at", "-pk")
    if after := asked.get("after"):
        last = access.get(found, pk=shapes.read_id(after, prefix, kind="page"))
        beyond = "gt" if is_oldest_first else "lt"
        found = found.filter(
            Q(**{f"created_at__{beyond}": last.created_at})
            | Q(created_at=last.created_at, **{f"pk__{beyond}": last.pk})
        )
    rows = list(found.order_by(*order)[: limit + 1])
    return rows[:limit], len(rows) > limit


def _limit(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text[:6]) <= 10_000:
        raise InvalidInput("limit", f"must be a whole number from 1; {MOST_LISTED} are listed at most")
    return min(int(text), MOST_LISTED)


EXACT: dict[tuple[str, str], Handler] = {
    ("POST", "/v1/files"): upload,
    ("GET", "/v1/files"): list_files,
    ("POST", "/v1/batches"): make_batch,
    ("GET", "/v1/batches"): list_batches,
}
NAMED: tuple[tuple[str, re.Pattern[str], Handler], ...] = (
    ("GET", re.compile(r"/v1/files/(?P<file_id>[^/]{1,80})/content"), content),
    ("GET", re.compile(r"/v1/files/(?P<file_id>[^/]{1,80})"), show_file),
    ("DELETE", re.compile(r"/v1/files/(?P<file_id>[^/]{1,80})"), delete_file),
    ("GET", re.compile(r"/v1/batches/(?P<batch_id>[^/]{1,80})"), show_batch),
    ("POST", re.compile(r"/v1/batches/(?P<batch_id>[^/]{1,80})/cancel"), cancel_batch),
)


def handler_of(method: str, path: str) -> Handler | None:
    """Return what answers a path with an id in it; None when nothing here does."""
    for known, pattern, handler in NAMED:
        match = pattern.fullmatch(path) if known == method else None
        if match:
            return partial(handler, **match.groupdict())
    return None


def methods_of(path: str) -> list[str]:
    """Return the methods that a path with an id takes."""
    return sorted({method for method, pattern, _ in NAMED if pattern.fullmatch(path)})
