"""Batches as tests make and work on them: a file of calls, and turns of a worker one after the other."""

import json
from collections.abc import Iterable
from datetime import datetime
from typing import Any
from uuid import UUID

from django.conf import settings
from django.utils import timezone

from marketplace.gateway.batch_models import Batch, StoredFile
from marketplace.gateway.batches import files, making, working
from marketplace.gateway.batches.files import Bounds
from marketplace.gateway.batches.making import Wanted
from marketplace.gateway.batches.working import Means

CHAT = "/v1/chat/completions"
BOUNDS = Bounds(file_bytes=1_000_000, lines=1_000, all_bytes=3_000_000, keep_days=30)
MOST_TURNS = 50


def chat_line(custom_id: str, text: str = "Summarize: all went well.", **fields: Any) -> dict[str, Any]:
    body = {"model": "auto", "messages": [{"role": "user", "content": text}], "max_tokens": 20}
    return {"custom_id": custom_id, "method": "POST", "url": CHAT, "body": body | fields}


def jsonl(lines: Iterable[object]) -> bytes:
    return b"".join(json.dumps(line).encode() + b"\n" for line in lines)


def store(
    subscription_id: UUID, content: bytes, *, at: datetime | None = None, bounds: Bounds = BOUNDS
) -> StoredFile:
    return files.store(
        files.pieces_of(content),
        subscription_id=subscription_id,
        purpose="batch",
        name="calls.jsonl",
        bounds=bounds,
        at=at or timezone.now(),
    )


def make_batch(
    subscription_id: UUID, lines: Iterable[object], *, window: str = "24h", **fields: Any
) -> Batch:
    file = store(subscription_id, jsonl(lines))
    wanted = Wanted(file.pk, fields.pop("endpoint", CHAT), window)
    at = fields.pop("at", timezone.now())
    key_id = fields.pop("key_id", None)
    return making.make(wanted, subscription_id=subscription_id, key_id=key_id, at=at, **fields)


def means(*, lines_at_once: int = 4) -> Means:
    return Means(settings.BATCHES_AT_ONCE, lines_at_once, BOUNDS)


def work(batch: Batch, *, lines_at_once: int = 4) -> Batch:
    """Take turns with a batch until it has ended or waits for something."""
    for _ in range(MOST_TURNS):
        if not working.work_once(means=means(lines_at_once=lines_at_once)):
            break
    batch.refresh_from_db()
    return batch


def read(file: StoredFile | None) -> list[dict[str, Any]]:
    """Return the lines of a file."""
    if file is None:
        return []
    return [json.loads(line) for line in b"".join(files.chunks(file)).splitlines()]
