"""Accounts of creators at the payment processor, and money that went there. As with payments, a row is written first."""

from typing import ClassVar

from django.db import models
from django.db.models import Q
from pgtrigger import Delete, Protect, UpdateOf

from marketplace.core.ids import uuid7
from marketplace.core.transitions import Transitions


class ConnectedAccount(models.Model):
    """Where a team that makes apps is paid: an account at the processor that belongs to the team's company."""

    class State(models.TextChoices):
        INCOMPLETE = "incomplete"
        IN_REVIEW = "in_review"
        READY = "ready"
        RESTRICTED = "restricted"

    # What the processor says of it now; it goes to and fro.
    TRANSITIONS: ClassVar[Transitions] = {
        state: frozenset({"incomplete", "in_review", "ready", "restricted"} - {state})
        for state in ("incomplete", "in_review", "ready", "restricted")
    }

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    team = models.OneToOneField("accounts.Team", models.PROTECT, related_name="connected_account")
    name = models.CharField(max_length=160)
    country = models.CharField(max_length=2)
    account_id = models.CharField(max_length=80, null=True, blank=True, unique=True)
    state = models.CharField(max_length=10, choices=State, default=State.INCOMPLETE)
    missing = models.JSONField(default=list, blank=True, help_text="What the processor still wants to know.")
    read_at = models.DateTimeField(null=True, blank=True)
    created_by = models.ForeignKey("accounts.User", models.PROTECT, related_name="+")
    created_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=~Q(state="ready") | Q(account_id__isnull=False),
                name="connected_account_ready_is_known",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.name}: {self.state}"


class Transfer(models.Model):
    """Money to a connected account. The key names what it is for, once."""

    class State(models.TextChoices):
        CREATED = "created"
        DONE = "done"
        FAILED = "failed"

    TRANSITIONS: ClassVar[Transitions] = {
        "created": frozenset({"done", "failed"}),
        "failed": frozenset(),
        "done": frozenset(),
    }

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    key = models.CharField(max_length=120, unique=True)
    account = models.ForeignKey("billing.ConnectedAccount", models.PROTECT, related_name="transfers")
    amount_minor = models.BigIntegerField()
    currency = models.CharField(max_length=3)
    memo = models.CharField(max_length=200)
    state = models.CharField(max_length=7, choices=State, default=State.CREATED)
    transfer_id = models.CharField(max_length=80, null=True, blank=True, unique=True)
    failure = models.CharField(max_length=300, blank=True)
    created_by = models.ForeignKey("accounts.User", models.PROTECT, null=True, blank=True, related_name="+")
    created_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(amount_minor__gt=0), name="transfer_has_amount"),
            models.CheckConstraint(
                condition=~Q(state="done") | Q(transfer_id__isnull=False), name="transfer_done_is_known"
            ),
        ]
        triggers = [
            Protect(
                name="asked_transfer_stays",
                operation=UpdateOf("key", "account_id", "amount_minor", "currency", "memo") | Delete,
            ),
        ]

    def __str__(self) -> str:
        return f"{self.memo}: {self.amount_minor} {self.currency}"


class TransferReversal(models.Model):
    """Money that came back from a connected account, in part or in full."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    key = models.CharField(max_length=120, unique=True)
    transfer = models.ForeignKey("billing.Transfer", models.PROTECT, related_name="reversals")
    amount_minor = models.BigIntegerField()
    reversal_id = models.CharField(max_length=80, null=True, blank=True, unique=True)
    failure = models.CharField(max_length=300, blank=True)
    created_by = models.ForeignKey("accounts.User", models.PROTECT, null=True, blank=True, related_name="+")
    created_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(amount_minor__gt=0), name="transfer_reversal_has_amount"),
        ]
        triggers = [
            Protect(
                name="asked_reversal_stays", operation=UpdateOf("key", "transfer_id", "amount_minor") | Delete
            ),
        ]

    def __str__(self) -> str:
        return f"{self.transfer}: {self.amount_minor} back"
