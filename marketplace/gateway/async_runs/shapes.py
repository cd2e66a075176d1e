"""A run in the background as /jobs/{id} tells it."""

from typing import Any

from marketplace.core.money import to_text
from marketplace.gateway.async_models import AsyncRun
from marketplace.gateway.async_runs.working import call_id
from marketplace.gateway.limits import stamp


def job(run: AsyncRun) -> dict[str, Any]:
    """Write down a run; ``result`` is what a run that was waited for answers."""
    return {
        "id": str(run.pk),
        "state": run.state,
        "progress": {"done": 0 if run.is_open else 1, "total": 1},
        "result": result(run) if run.state == AsyncRun.State.DONE else None,
        "error": run.error_message or None,
        "error_code": run.error_code or None,
        "cost": to_text(run.cost),
        "currency": run.currency or None,
        "created_at": stamp(run.created_at),
        "begun_at": stamp(run.begun_at) if run.begun_at else None,
        "ended_at": stamp(run.ended_at) if run.ended_at else None,
        "expires_at": stamp(run.expires_at),
    }


def result(run: AsyncRun) -> dict[str, Any]:
    problems = {"problems": list(run.problems)} if run.problems else {}
    return {
        "output": run.output,
        **problems,
        "usage": {
            "input_tokens": run.input_tokens,
            "output_tokens": run.output_tokens,
            "total_tokens": run.input_tokens + run.output_tokens,
        },
        "cost": to_text(run.cost),
        "model": run.model,
        "request_id": str(call_id(run)),
    }
