"""Files that callers upload, batches of calls made from them, and the hours in which calls are cheap to make."""

from decimal import Decimal
from typing import ClassVar

from django.db import models
from django.db.models import F, Q
from pgtrigger import Protect, Update

from marketplace.core.ids import uuid7
from marketplace.core.transitions import Transitions

CHUNK_BYTES = 256 * 1024


class StoredFile(models.Model):
    """A file of a subscription, kept in the database in chunks, so that every process on every machine sees it."""

    class Purpose(models.TextChoices):
        BATCH = "batch"
        BATCH_OUTPUT = "batch_output"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    subscription = models.ForeignKey("catalog.Subscription", models.PROTECT, related_name="+")
    purpose = models.CharField(max_length=20, choices=Purpose)
    name = models.CharField(max_length=200)
    size_bytes = models.PositiveBigIntegerField()
    line_count = models.PositiveIntegerField()
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField()

    class Meta:
        indexes = [
            models.Index(fields=["subscription", "-created_at"], name="stored_file_of_subscription"),
            models.Index(fields=["expires_at"], name="stored_file_by_end"),
        ]
        constraints = [
            models.CheckConstraint(condition=Q(expires_at__gt=F("created_at")), name="stored_file_expires"),
        ]

    def __str__(self) -> str:
        return self.name


class FileChunk(models.Model):
    """A piece of a stored file; all but the last have ``CHUNK_BYTES``. Never changed."""

    pk = models.CompositePrimaryKey("file_id", "number")
    file = models.ForeignKey("gateway.StoredFile", models.CASCADE, related_name="chunks")
    number = models.PositiveIntegerField()
    content = models.BinaryField(max_length=CHUNK_BYTES)

    class Meta:
        triggers = [Protect(name="chunk_never_changes", operation=Update)]

    def __str__(self) -> str:
        return f"{self.file_id}/{self.number}"


class Batch(models.Model):
    """Calls that need not be answered at once: the lines of a file, each a call of its own. The row is the queue.

    ``turn`` counts how often a worker has taken it; who works under an older one has lost it and writes nothing more.
    """

    class State(models.TextChoices):
        VALIDATING = "validating"
        FAILED = "failed"
        IN_PROGRESS = "in_progress", "In progress"
        FINALIZING = "finalizing"
        COMPLETED = "completed"
        EXPIRED = "expired"
        CANCELLING = "cancelling", "Canceling"
        CANCELLED = "cancelled", "Canceled"

    TRANSITIONS: ClassVar[Transitions] = {
        "validating": frozenset({"failed", "in_progress", "cancelling"}),
        "in_progress": frozenset({"finalizing", "cancelling"}),
        "finalizing": frozenset({"completed", "expired"}),
        "cancelling": frozenset({"cancelled"}),
        "failed": frozenset(),
        "completed": frozenset(),
        "expired": frozenset(),
        "cancelled": frozenset(),
    }
    OPEN = ("validating", "in_progress", "finalizing", "cancelling")

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    subscription = models.ForeignKey("catalog.Subscription", models.PROTECT, related_name="batches")
    key = models.ForeignKey("accounts.ApiKey", models.PROTECT, null=True, blank=True, related_name="+")
    input_file = models.ForeignKey("gateway.StoredFile", models.SET_NULL, null=True, related_name="+")
    output_file = models.ForeignKey(
        "gateway.StoredFile", models.SET_NULL, null=True, blank=True, related_name="+"
    )
    error_file = models.ForeignKey(
        "gateway.StoredFile", models.SET_NULL, null=True, blank=True, related_name="+"
    )
    endpoint = models.CharField(max_length=40)
    completion_window = models.CharField(max_length=8)
    metadata = models.JSONField(null=True, blank=True)
    feature = models.CharField(max_length=40, blank=True)
    idempotency_key = models.CharField(max_length=64, null=True, blank=True, help_text="A digest of it.")
    state = models.CharField(max_length=12, choices=State, default=State.VALIDATING)
    problems = models.JSONField(default=list, help_text="What is wrong with its file: code, line, message.")
    stop_code = models.CharField(max_length=40, blank=True)
    stop_reason = models.TextField(blank=True, help_text="Why the lines that are left are not called.")

    run_at = models.DateTimeField(
        help_text="Not before this time: a cheap hour, or when a limit has room again."
    )
    wait_reason = models.CharField(max_length=200, blank=True)
    is_hurried = models.BooleanField(default=False, help_text="An operator said that it need not wait.")
    locked_until = models.DateTimeField(null=True, blank=True, help_text="Another worker may take it after.")
    turn = models.PositiveIntegerField(default=0)
    worked_ms = models.PositiveBigIntegerField(default=0, help_text="How long its lines were worked on.")

    total_lines = models.PositiveIntegerField(default=0)
    done_lines = models.PositiveIntegerField(default=0)
    failed_lines = models.PositiveIntegerField(default=0)
    input_tokens = models.PositiveBigIntegerField(default=0)
    output_tokens = models.PositiveBigIntegerField(default=0)
    cost = models.DecimalField(max_digits=38, decimal_places=18, default=Decimal(0))
    list_cost = models.DecimalField(
        max_digits=38, decimal_places=18, default=Decimal(0), help_text="What the same calls cost one by one."
    )
    currency = models.CharField(max_length=3, blank=True)

    created_at = models.DateTimeField()
    due_at = models.DateTimeField()
    in_progress_at = models.DateTimeField(null=True, blank=True)
    finalizing_at = models.DateTimeField(null=True, blank=True)
    cancelling_at = models.DateTimeField(null=True, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name_plural = "batches"
        indexes = [
            models.Index(
                fields=["run_at"],
                name="batch_waiting",
                condition=Q(state__in=["validating", "in_progress", "finalizing", "cancelling"]),
            ),
            models.Index(fields=["subscription", "-created_at"], name="batch_of_subscription"),
            models.Index(fields=["-created_at"], name="batch_by_time"),
            models.Index(fields=["ended_at"], name="batch_by_end"),
        ]
        constraints = [
            models.CheckConstraint(condition=Q(due_at__gt=F("created_at")), name="batch_due_after_it_came"),
            models.CheckConstraint(
                condition=Q(state__in=["failed", "completed", "expired", "cancelled"], ended_at__isnull=False)
                | Q(
                    state__in=["validating", "in_progress", "finalizing", "cancelling"], ended_at__isnull=True
                ),
                name="batch_ended_has_time",
            ),
            models.CheckConstraint(
                condition=Q(done_lines__lte=F("total_lines") - F("failed_lines")),
                name="batch_counts_its_lines",
            ),
            models.UniqueConstraint(fields=["subscription", "idempotency_key"], name="batch_once_for_a_key"),
        ]

    def __str__(self) -> str:
        return f"batch {self.id}"

    @property
    def is_open(self) -> bool:
        return self.state in self.OPEN

    @property
    def saved(self) -> Decimal:
        """What the same calls would have cost more one by one."""
        return self.list_cost - self.cost

    @property
    def open_lines(self) -> int:
        """How many lines are not ended."""
        return self.total_lines - self.done_lines - self.failed_lines


class BatchLine(models.Model):
    """One line of a batch: one call, under an id that follows from batch, line and attempt.

    What a provider answered is kept before the call is settled, with what it used: a worker that takes over settles
    that and sends nothing again.
    """

    class State(models.TextChoices):
        WAITING = "waiting"
        RUNNING = "running"
        DONE = "done"
        FAILED = "failed"
        SKIPPED = "skipped", "Not called"

    pk = models.CompositePrimaryKey("batch_id", "number")
    batch = models.ForeignKey("gateway.Batch", models.CASCADE, related_name="lines")
    number = models.PositiveIntegerField(help_text="Of the line in the file, from 1.")
    custom_id = models.CharField(max_length=200)
    body = models.BinaryField(help_text="The request; emptied when the batch has ended.")
    state = models.CharField(max_length=8, choices=State, default=State.WAITING)
    attempt = models.PositiveSmallIntegerField(default=0)
    used = models.JSONField(null=True, blank=True, help_text="What the provider says, until it is settled.")
    status = models.PositiveSmallIntegerField(null=True, blank=True)
    answer = models.BinaryField(null=True, blank=True, help_text="Emptied when the files are written.")
    error_code = models.CharField(max_length=60, blank=True)
    error_message = models.TextField(blank=True)
    model = models.CharField(max_length=80, blank=True)
    input_tokens = models.PositiveBigIntegerField(default=0)
    output_tokens = models.PositiveBigIntegerField(default=0)
    cost = models.DecimalField(max_digits=38, decimal_places=18, default=Decimal(0))
    list_cost = models.DecimalField(max_digits=38, decimal_places=18, default=Decimal(0))
    currency = models.CharField(max_length=3, blank=True)
    begun_at = models.DateTimeField(null=True, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["batch", "custom_id"], name="batch_line_custom_id_once"),
            models.CheckConstraint(
                condition=Q(state__in=["waiting", "running"], ended_at__isnull=True)
                | Q(state="done", ended_at__isnull=False, status__isnull=False)
                | Q(state__in=["failed", "skipped"], ended_at__isnull=False) & ~Q(error_code=""),
                name="batch_line_ended_says_how",
            ),
            models.CheckConstraint(
                condition=Q(cost=0) | Q(state__in=["done", "failed"]), name="batch_line_cost_when_ended"
            ),
        ]
        indexes = [
            models.Index(
                fields=["batch", "number"],
                name="batch_line_open",
                condition=Q(state__in=["waiting", "running"]),
            ),
            models.Index(fields=["ended_at"], name="batch_line_by_end", condition=Q(state="done")),
        ]

    def __str__(self) -> str:
        return self.custom_id


class CheapHours(models.Model):
    """Hours of a weekday in UTC in which calls are cheap to make: batches that can wait are made then."""

    WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")

    weekday = models.PositiveSmallIntegerField(choices=list(enumerate(WEEKDAYS)))
    from_hour = models.PositiveSmallIntegerField()
    to_hour = models.PositiveSmallIntegerField(help_text="Excluded; 24 is midnight.")

    class Meta:
        verbose_name_plural = "cheap hours"
        constraints = [
            models.CheckConstraint(
                condition=Q(weekday__lte=6, to_hour__lte=24, from_hour__lt=F("to_hour")),
                name="cheap_hours_are_hours",
            ),
            models.UniqueConstraint(fields=["weekday", "from_hour"], name="cheap_hours_begin_once"),
        ]

    def __str__(self) -> str:
        return f"{self.WEEKDAYS[self.weekday]} {self.from_hour}:00 to {self.to_hour}:00"
