"""Calls sent with an Idempotency-Key: the second one gets the first one's answer and costs nothing."""

import base64
import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from django.utils import timezone

from marketplace.core.errors import Conflict, InvalidInput
from marketplace.gateway.directory import Caller
from marketplace.gateway.models import IdempotentCall

MAX_KEY_LENGTH = 200
LONGEST_CALL = timedelta(hours=1)
"""A first call that has not ended after this died with its process; its key may be used again."""


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
    """An answer that can be given again; ``is_replay`` when it was given before."""

    status: int
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)
    is_replay: bool = False


def check_key(key: str) -> None:
    """Raise InvalidInput for a key that is too long to be kept."""
    if len(key) > MAX_KEY_LENGTH:
        raise InvalidInput("Idempotency-Key", f"At most {MAX_KEY_LENGTH} characters.", limit=MAX_KEY_LENGTH)


Read = Callable[[Callable[[], Any]], Awaitable[Any]]


async def once(
    read: Read, caller: Caller, *, key: str, path: str, body: bytes, call: Callable[[], Awaitable[Kept]]
) -> Kept:
    """Make a call once for a key. Raises KeyReused, StillRunning. A call that failed may be tried again."""
    check_key(key)
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
        _take_over(row)
        return row.pk, None
    headers = dict(row.headers) | {"x-halfpenny-idempotent-replay": "true"}
    return row.pk, Kept(row.status, base64.b64decode(row.answer or b""), headers, is_replay=True)


def _take_over(row: IdempotentCall) -> None:
    """Take the key of a call whose process died; of several who try, the conditional UPDATE lets one."""
    now = timezone.now()
    is_dead = row.created_at <= now - LONGEST_CALL
    same = IdempotentCall.objects.filter(pk=row.pk, status=None, created_at=row.created_at)
    if not (is_dead and same.update(created_at=now)):
        raise StillRunning


def _keep(pk: Any, answer: Kept) -> None:
    IdempotentCall.objects.filter(pk=pk).update(
        status=answer.status, headers=answer.headers, answer=base64.b64encode(answer.body)
    )
