"""What became of lines whose worker died: their holds and events tell, for they have the same ids.

A line whose answer was kept is settled with it; of one without an answer nothing is charged, and it is called again.
Nothing is sent here.
"""

from datetime import datetime

from marketplace.gateway import kept_calls
from marketplace.gateway.batch_models import Batch, BatchLine
from marketplace.gateway.batches import lines
from marketplace.gateway.batches.lines import Cost, Failure
from metering.rating import Quantities

LOST = Failure(
    "worker_lost", "Nobody ended this call in time; what is known of it was booked, and it is not made again."
)


def recover(batch: Batch, *, at: datetime) -> None:
    """End or free every line that an earlier worker left."""
    for line in lines.left_running(batch):
        state = kept_calls.end_left(lines.call_id(line), line.used, at=at)
        if kept_calls.is_free(state):
            lines.put_back(line, was_held=True)
        elif line.used is None:
            lines.fail(line, LOST, at=at, came_to=came_to(batch, line))
        else:
            lines.end(line, came_to(batch, line), at=at)


def came_to(batch: Batch, line: BatchLine) -> Cost:
    """Read what a line came to from its event; nothing when there is none."""
    app_id = batch.subscription.app_id
    event = kept_calls.event_of(lines.call_id(line), app_id=app_id, since=batch.created_at)
    if event is None:
        return Cost()
    model = kept_calls.model_of(event)
    counted = Quantities(**{each: getattr(event, each) for each in kept_calls.COUNTED})
    listed = kept_calls.list_cost(model, counted, at=event.occurred_at)
    return Cost(
        cost=event.cost,
        list_cost=event.cost if listed is None else listed,
        currency=event.currency,
        model=model,
        input_tokens=event.input_tokens,
        output_tokens=event.output_tokens,
    )
