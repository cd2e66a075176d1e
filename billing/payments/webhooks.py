"""What the processor tells us: kept as it came, once for each event, before anything is done about it."""

import json
from datetime import UTC, datetime
from typing import Any

from django.db import transaction
from django.db.models import F

from billing.models import ProcessorEvent
from billing.payments import background
from billing.payments.processor import BadSignature, Processor
from marketplace.accounts import access
from marketplace.accounts.access import Actor, Role
from marketplace.core import audit


def receive(body: bytes, *, signature: str, processor: Processor, at: datetime) -> ProcessorEvent:
    """Keep an event with the job that reads it; one that is known is counted, and nothing else. Raises BadSignature."""
    try:
        text = body.decode()
    except UnicodeDecodeError as error:
        raise BadSignature from error
    processor.event(text, signature)
    # As it came: what the SDK makes of it is the SDK's affair. Fractions stay text, though Stripe sends none.
    with transaction.atomic():
        event = keep(json.loads(text, parse_float=str), at=at)
        background.queue_event(event, at=at)
    return event


def keep(told: dict[str, Any], *, at: datetime) -> ProcessorEvent:
    """Keep an event whose origin is known; one that is there already is counted."""
    event, is_new = ProcessorEvent.objects.get_or_create(
        event_id=str(told["id"])[:120],
        defaults={
            "type": str(told["type"])[:80],
            "object_id": str(told["data"]["object"].get("id") or "")[:120],
            "happened_at": datetime.fromtimestamp(int(told["created"]), UTC),
            "received_at": at,
            "payload": told,
        },
    )
    if not is_new:
        ProcessorEvent.objects.filter(pk=event.pk).update(deliveries=F("deliveries") + 1)
    return event


def replay(event: ProcessorEvent, *, by: Actor, at: datetime) -> None:
    """Read an event once more; harmless, for what it is about is asked anew. Raises NotAllowed."""
    access.require_platform(by, Role.FINANCE)
    with transaction.atomic():
        ProcessorEvent.objects.filter(pk=event.pk).update(replays=F("replays") + 1)
        event.refresh_from_db()
        background.queue_event(event, at=at)
        audit.record(
            "billing.processor_event.replayed",
            subject=event,
            at=at,
            by=by.user,
            new={"replays": event.replays},
        )
