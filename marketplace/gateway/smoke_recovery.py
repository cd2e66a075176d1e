"""What became of calls of a smoke test whose worker died: their holds and events tell, for they have the same ids."""

from datetime import datetime

from marketplace.catalog import smoke_calls
from marketplace.catalog.judging import SmokeCall
from marketplace.catalog.models import SmokeRun
from marketplace.catalog.smoke_models import SmokeTestCall
from metering.models import UsageEvent
from quotas.models import Hold

NEVER_SENT = "Its worker ended before it was sent; another one is made."
NOT_CHARGED = "Its worker ended before it was answered; nothing was charged, and another one is made."
IN_THE_MIDDLE = (
    "Its worker ended in the middle of it; what it used is booked to the sandbox, and another one is made."
)


def recover(run: SmokeRun, *, at: datetime) -> None:
    """End every call that an earlier worker left open: what was settled counts, the rest is lost and made anew.

    Nothing is sent, held or charged here. A hold that is still open is booked by the sweep, as that of any call is.
    """
    left = smoke_calls.left_open(run)
    holds = dict(Hold.objects.filter(pk__in=[call.pk for call in left]).values_list("pk", "state"))
    for call in left:
        state = holds.get(call.pk)
        event = _event(run, call) if state == Hold.State.SETTLED else None
        if event is not None:
            smoke_calls.end(call, _as_paid(call, event), at=at)
        else:
            smoke_calls.lose(call, _why(state), at=at)


def _event(run: SmokeRun, call: SmokeTestCall) -> UsageEvent | None:
    """Find the event of a call; it happened when its hold was asked for, after the row of the call was written."""
    return UsageEvent.objects.filter(
        app=run.version.app_id, event_id=str(call.pk), occurred_at__gte=call.begun_at
    ).first()


def _as_paid(call: SmokeTestCall, event: UsageEvent) -> SmokeCall:
    """Count a call that was answered and paid for, though nobody kept its answer."""
    return SmokeCall(
        cost=event.cost,
        input_tokens=event.input_tokens,
        cached_input_tokens=event.cached_input_tokens,
        cache_write_tokens=event.cache_write_tokens,
        output_tokens=event.output_tokens,
        reasoning_tokens=event.reasoning_tokens,
        latency_ms=event.latency_ms or 0,
        output=None,
        example=call.example,
    )


def _why(state: str | None) -> str:
    if state is None:
        return NEVER_SENT
    return NOT_CHARGED if state == Hold.State.RELEASED else IN_THE_MIDDLE
