"""How the fake tells us things, and lets time pass: its events are signed and received as Stripe's are."""

import json
import time
from datetime import datetime, timedelta
from typing import Any

import stripe
from django.db import transaction

from billing.payments import background, webhooks
from billing.payments.fake import intents, refunds
from billing.payments.fake.transport import FakeTransport
from billing.payments.fake.world import FAKE_SECRET, shown
from billing.payments.processor import of_fake
from billing.payments.processor_models import FakeObject
from marketplace.core import jobs

BANKS_TAKE = timedelta(minutes=1)


def announcing() -> FakeTransport:
    """Return the fake whose events come to our webhook by jobs, and whose banks answer by jobs."""
    return FakeTransport(announce=_announce)


def _announce(event_id: str, at: datetime) -> None:
    background.announce_fake(event_id, at)
    told = FakeObject.objects.get(object_id=event_id).body
    if told["type"] in ("payment_intent.processing", "refund.created"):
        object_id = told["data"]["object"]["id"]
        jobs.enqueue(
            background.ADVANCE_FAKE,
            idempotency_key=f"fake-advance:{object_id}",
            at=at,
            run_at=at + BANKS_TAKE,
            object_id=object_id,
        )


def advance(object_id: str) -> None:
    """Let the bank's answer to a debit or a refund come in."""
    with transaction.atomic():
        world = announcing().world()
        if object_id.startswith("pi_"):
            intents.advance(world, object_id)
        else:
            refunds.come_back(world, object_id)


def deliver(event_id: str, *, at: datetime) -> str:
    """Sign an event and hand it to the webhook; returns its type."""
    event = FakeObject.objects.get(object_id=event_id).body
    body, signature = signed(event)
    processor = of_fake(FakeTransport(), webhook_secret=FAKE_SECRET)
    webhooks.receive(body, signature=signature, processor=processor, at=at)
    return str(event["type"])


def signed(event: dict[str, Any], *, at: int | None = None, secret: str = FAKE_SECRET) -> tuple[bytes, str]:
    """Return the body and signature of a message, as Stripe would send them."""
    body = json.dumps(shown(event))
    header = stripe.WebhookSignature.generate_signature_header(body, secret, timestamp=at or int(time.time()))
    return body.encode(), header
