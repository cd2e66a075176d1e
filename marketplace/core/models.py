"""What every app shares: the audit trail, the queue of jobs, notices, and the epochs of cached snapshots."""

from collections.abc import Mapping
from typing import ClassVar

from django.conf import settings
from django.db import models
from pgtrigger import Delete, Protect, Update

from marketplace.core.ids import uuid7
from marketplace.core.notice_models import (
    DeliveryAttempt,
    DigestTime,
    KeptMail,
    MailChoice,
    Notice,
    NoticeChannel,
    NoticeDelivery,
)

__all__ = [
    "AuditEntry",
    "DeliveryAttempt",
    "DigestTime",
    "Epoch",
    "Job",
    "KeptMail",
    "MailChoice",
    "Notice",
    "NoticeChannel",
    "NoticeDelivery",
    "NumberSequence",
]


class AuditEntry(models.Model):
    """One decision or change of state: who did what to which thing, from which value to which, and why."""

    at = models.DateTimeField()
    action = models.CharField(max_length=80)
    actor = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, blank=True, related_name="audit_entries"
    )
    acting_for = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, blank=True, related_name="+"
    )
    subject_type = models.CharField(max_length=40)
    subject_id = models.CharField(max_length=64)
    old = models.JSONField(default=dict)
    new = models.JSONField(default=dict)
    reason = models.TextField(blank=True)

    class Meta:
        verbose_name_plural = "audit entries"
        indexes = [
            models.Index(fields=["subject_type", "subject_id", "at"], name="audit_by_subject"),
            models.Index(fields=["-at"], name="audit_by_time"),
        ]
        triggers = [Protect(name="append_only", operation=Update | Delete)]

    def __str__(self) -> str:
        return f"{self.action} {self.subject_type} {self.subject_id}"


class Job(models.Model):
    """Work to be done in the background. The row is the queue; the Celery message is only a nudge."""

    class State(models.TextChoices):
        QUEUED = "queued"
        RUNNING = "running"
        DONE = "done"
        FAILED = "failed"
        CANCELED = "canceled"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    name = models.CharField(max_length=80, help_text="Registered name of the work, e.g. gateway.run_smoke.")
    arguments = models.JSONField(default=dict)
    idempotency_key = models.CharField(max_length=200, unique=True)
    state = models.CharField(max_length=10, choices=State, default=State.QUEUED)
    attempts = models.PositiveSmallIntegerField(default=0)
    max_attempts = models.PositiveSmallIntegerField(default=5)
    run_at = models.DateTimeField(help_text="Not before this time.")
    locked_until = models.DateTimeField(null=True, blank=True, help_text="A running job is retaken after.")
    done_steps = models.PositiveIntegerField(default=0)
    total_steps = models.PositiveIntegerField(default=0)
    result = models.JSONField(null=True, blank=True)
    last_error = models.TextField(blank=True)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True)
    created_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        indexes = [
            models.Index(
                fields=["run_at"], name="job_waiting", condition=models.Q(state__in=["queued", "running"])
            ),
            models.Index(fields=["-created_at"], name="job_by_time"),
        ]

    def __str__(self) -> str:
        return f"{self.name} {self.id}"


class Epoch(models.Model):
    """A counter that database triggers raise whenever cached data of one kind changes.

    Every process keeps snapshots (keys, subscriptions, limits, rate cards). The transaction that admits a call
    reads these rows, so a snapshot older than the data is noticed before anything is decided on it.
    """

    name = models.CharField(max_length=20, primary_key=True)
    value = models.BigIntegerField(default=1)

    class Meta:
        verbose_name_plural = "epochs"

    def __str__(self) -> str:
        return f"{self.name} {self.value}"


class NumberSequence(models.Model):
    """The last number given in a series that must have no gaps, e.g. the invoices of a legal entity and year.

    The row is locked until the transaction that took a number ends, so a rolled back number is given again.
    """

    series = models.CharField(max_length=120, primary_key=True)
    last_number = models.PositiveBigIntegerField(default=0)

    def __str__(self) -> str:
        return f"{self.series} {self.last_number}"


class Proposal(models.Model):
    """Columns of something that is proposed and decided. Its model adds ``state`` and the table of transitions."""

    TRANSITIONS: ClassVar[Mapping[str, frozenset[str]]]

    reason = models.TextField()
    proposed_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="+")
    proposed_at = models.DateTimeField()
    decided_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, blank=True, related_name="+"
    )
    decided_at = models.DateTimeField(null=True, blank=True)
    decision_note = models.TextField(blank=True)

    class Meta:
        abstract = True
