"""What the payment processor told us, its own books, and what its stand-in of the demo remembers."""

from typing import ClassVar

from django.db import models
from django.db.models import F, Q
from pgtrigger import Delete, Protect, UpdateOf

from marketplace.core.transitions import Transitions


class ProcessorEvent(models.Model):
    """What the processor told us, as it came, each once; whatever its type."""

    class State(models.TextChoices):
        RECEIVED = "received"
        DONE = "done"
        IGNORED = "ignored"
        FAILED = "failed"

    # All of them again: an event may be replayed.
    TRANSITIONS: ClassVar[Transitions] = {
        state: frozenset({"done", "ignored", "failed"}) for state in ("received", "done", "ignored", "failed")
    }

    event_id = models.CharField(max_length=120, primary_key=True)
    type = models.CharField(max_length=80)
    object_id = models.CharField(max_length=120, blank=True)
    happened_at = models.DateTimeField()
    received_at = models.DateTimeField()
    deliveries = models.PositiveIntegerField(default=1)
    payload = models.JSONField()
    state = models.CharField(max_length=8, choices=State, default=State.RECEIVED)
    note = models.CharField(max_length=300, blank=True)
    replays = models.PositiveIntegerField(default=0)
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        indexes = [models.Index(fields=["-received_at"], name="processor_event_by_time")]
        triggers = [
            Protect(name="told_event_stays", operation=UpdateOf("type", "payload", "happened_at") | Delete)
        ]

    def __str__(self) -> str:
        return f"{self.type} {self.event_id}"


class BalanceTransaction(models.Model):
    """A line of the processor's own account of our money, and the entries of our books that say the same."""

    transaction_id = models.CharField(max_length=80, primary_key=True)
    kind = models.CharField(max_length=40)
    source_id = models.CharField(max_length=80, blank=True)
    amount_minor = models.BigIntegerField()
    fee_minor = models.BigIntegerField()
    net_minor = models.BigIntegerField()
    currency = models.CharField(max_length=3)
    description = models.CharField(max_length=300, blank=True)
    happened_at = models.DateTimeField()
    available_at = models.DateTimeField()
    entries = models.ManyToManyField("billing.JournalEntry", related_name="balance_transactions")
    difference = models.CharField(
        max_length=200, blank=True, help_text="Why it does not agree with the books."
    )

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(net_minor=F("amount_minor") - F("fee_minor")),
                name="balance_transaction_adds_up",
            ),
        ]
        indexes = [models.Index(fields=["source_id"], name="balance_transaction_by_source")]
        triggers = [
            Protect(
                name="told_transaction_stays",
                operation=UpdateOf("amount_minor", "fee_minor", "net_minor", "currency") | Delete,
            )
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.transaction_id}"


class FakeObject(models.Model):
    """A thing in the world of the fake processor, which stands in for Stripe in the demo and in tests."""

    number = models.BigAutoField(primary_key=True)
    object_id = models.CharField(max_length=120, unique=True)
    kind = models.CharField(max_length=40)
    created = models.BigIntegerField(help_text="Unix time, as Stripe has it.")
    parent = models.CharField(
        max_length=120, blank=True, help_text="Customer, charge, transfer: what lists go by."
    )
    body = models.JSONField()

    class Meta:
        indexes = [models.Index(fields=["kind", "parent"], name="fake_object_by_kind")]

    def __str__(self) -> str:
        return self.object_id


class FakeCall(models.Model):
    """What the fake answered under an idempotency key."""

    key = models.CharField(max_length=255, primary_key=True)
    fingerprint = models.CharField(max_length=64)
    status = models.PositiveSmallIntegerField(null=True)
    body = models.JSONField(default=dict)

    def __str__(self) -> str:
        return self.key
