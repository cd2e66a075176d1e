"""Files and batches as OpenAI's API tells of them; what is ours alone stands under ``halfpenny``."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from marketplace.core.errors import NotFound
from marketplace.core.money import to_text
from marketplace.gateway.batch_models import Batch, StoredFile
from marketplace.gateway.limits import stamp

FILE_PREFIX, BATCH_PREFIX = "file-", "batch_"


def file_id(pk: UUID) -> str:
    return f"{FILE_PREFIX}{pk.hex}"


def batch_id(pk: UUID) -> str:
    return f"{BATCH_PREFIX}{pk.hex}"


def read_id(text: str, prefix: str, *, kind: str) -> UUID:
    """Read an id; raises NotFound for what can be none."""
    try:
        return UUID(text.removeprefix(prefix))
    except ValueError as error:
        raise NotFound(kind, text[:80]) from error


def file(one: StoredFile) -> dict[str, Any]:
    return {
        "id": file_id(one.pk),
        "object": "file",
        "bytes": one.size_bytes,
        "created_at": _seconds(one.created_at),
        "expires_at": _seconds(one.expires_at),
        "filename": one.name,
        "purpose": one.purpose,
        "status": "processed",
    }


def batch(one: Batch) -> dict[str, Any]:
    is_of = {state: one.state == state for state in Batch.State.values}
    return {
        "id": batch_id(one.pk),
        "object": "batch",
        "endpoint": one.endpoint,
        "errors": _errors(one),
        "input_file_id": file_id(one.input_file_id) if one.input_file_id else "",
        "completion_window": one.completion_window,
        "status": one.state,
        "output_file_id": file_id(one.output_file_id) if one.output_file_id else None,
        "error_file_id": file_id(one.error_file_id) if one.error_file_id else None,
        "created_at": _seconds(one.created_at),
        "in_progress_at": _seconds(one.in_progress_at),
        "expires_at": _seconds(one.due_at),
        "finalizing_at": _seconds(one.finalizing_at),
        "completed_at": _seconds(one.ended_at if is_of["completed"] else None),
        "failed_at": _seconds(one.ended_at if is_of["failed"] else None),
        "expired_at": _seconds(one.ended_at if is_of["expired"] else None),
        "cancelling_at": _seconds(one.cancelling_at),
        "cancelled_at": _seconds(one.ended_at if is_of["cancelled"] else None),
        "request_counts": {
            "total": one.total_lines,
            "completed": one.done_lines,
            "failed": one.failed_lines,
        },
        "usage": {
            "input_tokens": one.input_tokens,
            "input_tokens_details": {"cached_tokens": 0},
            "output_tokens": one.output_tokens,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": one.input_tokens + one.output_tokens,
        },
        "metadata": one.metadata,
        "halfpenny": _own(one),
    }


def _own(one: Batch) -> dict[str, Any]:
    waits = one.is_open and bool(one.wait_reason)
    return {
        "cost": to_text(one.cost),
        "list_cost": to_text(one.list_cost),
        "currency": one.currency or None,
        "waits_until": stamp(one.run_at) if waits else None,
        "waits_because": one.wait_reason if waits else None,
        "stopped_because": one.stop_reason or None,
    }


def _errors(one: Batch) -> dict[str, Any] | None:
    found = list(one.problems)
    if one.stop_code:
        found.append({"code": one.stop_code, "line": None, "message": one.stop_reason, "param": None})
    return {"object": "list", "data": found} if found else None


def page(rows: Sequence[dict[str, Any]], *, has_more: bool) -> dict[str, Any]:
    return {
        "object": "list",
        "data": list(rows),
        "first_id": rows[0]["id"] if rows else None,
        "last_id": rows[-1]["id"] if rows else None,
        "has_more": has_more,
    }


def _seconds(at: datetime | None) -> int | None:
    return None if at is None else int(at.timestamp())
