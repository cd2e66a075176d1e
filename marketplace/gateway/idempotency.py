"""Calls sent with an Idempotency-Key: the second one gets the first one's answer and costs nothing."""

import base64
import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from django.utils import timezone

from marketplace.core.errors import Conflict, InvalidInput
from marketplace.gateway.directory import Caller
from marketplace.gateway.models import IdempotentCall

MAX_KEY_LENGTH = 200


class KeyReused(Conflict):
    """The key was used for another request."""

    code = "idempotency_key_reused"

    def __init__(self) -> None:
        super().__init__("This Idempotency-Key was used with another body.")


class StillRunning(Conflict):
    """The first call with this key has not ended."""

    code = "idempotent_call_running"

    def __init__(self) -> None:
        super().__init__("The first call with this Idempotency-Key has not ended yet.")


@dataclass(frozen=True, slots=True)
class Kept:
    """An answer that can be given again."""

    status: int
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)


Read = Callable[[Callable[[], Any]], Awaitable[Any]]


async def once(
    read: Read, caller: Caller, *, key: str, path: str, body: bytes, call: Callable[[], Awaitable[Kept]]
) -> Kept:
    """Make a call once for a key. Raises KeyReused, StillRunning. A call that failed may be tried again."""
    if len(key) > MAX_KEY_LENGTH:
        raise InvalidInput("Idempotency-Key", f"At most {MAX_KEY_LENGTH} characters.", limit=MAX_KEY_LENGTH)
    digest = hashlib.sha256(path.encode() + b"\n" + body).digest()
    first, kept = await read(lambda: _begin(caller, key, digest))
    if kept is not None:
        return kept
    try:
        answer = await call()
    except BaseException:
        await read(lambda: IdempotentCall.objects.filter(pk=first).delete())
        raise
    await read(lambda: _keep(first, answer))
    return answer


def _begin(caller: Caller, key: str, digest: bytes) -> tuple[Any, Kept | None]:
    assert caller.who.subscription_id is not None
    row, is_first = IdempotentCall.objects.get_or_create(
        subscription_id=caller.who.subscription_id,
        key=key,
        defaults={"body_hash": digest, "created_at": timezone.now()},
    )
    if is_first:
        return row.pk, None
    if bytes(row.body_hash) != digest:
        raise KeyReused
    if row.status is None:
        raise StillRunning
    headers = dict(row.headers) | {"x-halfpenny-idempotent-replay": "true"}
    return row.pk, Kept(row.status, base64.b64decode(row.answer or b""), headers)


def _keep(pk: Any, answer: Kept) -> None:
    IdempotentCall.objects.filter(pk=pk).update(
        status=answer.status, headers=answer.headers, answer=base64.b64encode(answer.body)
    )
