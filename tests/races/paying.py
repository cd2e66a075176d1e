"""A process that carries out a payment and is killed beside the call to the processor."""

import importlib
from datetime import UTC, datetime
from typing import Any


def carry_out(*, steps: Any, attempt_id: str, is_after: bool) -> None:
    """Carry out an attempt; the process ends itself before the call, or when it had its effect."""
    transport = importlib.import_module("billing.payments.fake.transport")
    world = importlib.import_module("billing.payments.fake.world")
    processors = importlib.import_module("billing.payments.processor")
    attempts = importlib.import_module("billing.payments.attempts")
    models = importlib.import_module("billing.models")
    at = datetime(2026, 11, 2, 8, tzinfo=UTC)
    fault = transport.Fault("kill", "payment_intents", is_after=is_after)
    fake = transport.FakeTransport(clock=lambda: at, faults=[fault])
    processor = processors.of_fake(fake, webhook_secret=world.FAKE_SECRET)
    attempts.carry_out(models.PaymentAttempt.objects.get(pk=attempt_id), processor=processor, at=at)
