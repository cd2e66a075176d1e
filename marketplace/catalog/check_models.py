"""Checks of a version beyond its calls: what was found, what is waived, what is known of packages, code that came along."""

from datetime import timedelta
from typing import ClassVar

from django.db import models
from django.db.models import F, Q
from pgtrigger import Delete, Protect, Update, UpdateOf

from marketplace.core.ids import uuid7
from marketplace.core.transitions import Transitions

LONGEST_WAIVER = timedelta(days=180)


class CodeArchive(models.Model):
    """A zip of code that a maker handed in with an app. Never changed; the same bytes are kept once."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    app = models.ForeignKey("catalog.App", models.CASCADE, related_name="archives")
    file_name = models.CharField(max_length=120)
    sha256 = models.CharField(max_length=64)
    size_bytes = models.PositiveIntegerField()
    content = models.BinaryField()
    uploaded_by = models.ForeignKey("accounts.User", models.PROTECT, related_name="+")
    uploaded_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["app", "sha256"], name="code_archive_once"),
            models.CheckConstraint(
                condition=Q(size_bytes__gt=0, size_bytes__lte=5 * 1024 * 1024), name="code_archive_bounded"
            ),
        ]
        triggers = [Protect(name="code_archive_stays", operation=Update)]

    def __str__(self) -> str:
        return self.file_name


class CheckRun(models.Model):
    """One named check of a version. The newest of a name counts."""

    class Name(models.TextChoices):
        HYGIENE = "hygiene", "Texts and names"
        SECRETS = "secrets", "Secrets"
        TEMPLATE = "template", "Prompt safety"
        CODE = "code", "Code"
        DEPENDENCIES = "dependencies", "Dependencies"
        ENDPOINT = "endpoint", "Endpoint"
        BEHAVIOR = "behavior", "Expected answers"
        SUSTAINABILITY = "sustainability", "Sustainability"

    class State(models.TextChoices):
        QUEUED = "queued"
        RUNNING = "running"
        PASSED = "passed"
        WARNED = "warned"
        FAILED = "failed"
        COULD_NOT_CHECK = "could_not_check"

    TRANSITIONS: ClassVar[Transitions] = {
        "queued": frozenset({"running", "could_not_check"}),
        "running": frozenset({"passed", "warned", "failed", "could_not_check"}),
        "passed": frozenset(),
        "warned": frozenset(),
        "failed": frozenset(),
        "could_not_check": frozenset(),
    }
    ACTIVE: ClassVar[frozenset[str]] = frozenset({"queued", "running"})

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    version = models.ForeignKey("catalog.Version", models.CASCADE, related_name="check_runs")
    name = models.CharField(max_length=20, choices=Name)
    state = models.CharField(max_length=16, choices=State, default=State.QUEUED)
    tool = models.CharField(max_length=200, blank=True, help_text="What looked, with versions.")
    rules_hash = models.CharField(max_length=64, blank=True, help_text="Tells apart states of its rules.")
    reason = models.TextField(blank=True, help_text="Why it could not be made.")
    facts = models.JSONField(default=dict, help_text="What is shown beside its findings.")
    is_rescan = models.BooleanField(default=False, help_text="Of a live app, because rules changed.")
    requested_by = models.ForeignKey("accounts.User", models.PROTECT, null=True, blank=True, related_name="+")
    created_at = models.DateTimeField()
    started_at = models.DateTimeField(null=True, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)
    seen_by = models.ForeignKey("accounts.User", models.PROTECT, null=True, blank=True, related_name="+")
    seen_at = models.DateTimeField(null=True, blank=True)
    seen_note = models.TextField(
        blank=True, help_text="What an approver decided about a live app's findings."
    )

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["version", "name"],
                condition=Q(state__in=["queued", "running"]),
                name="check_run_one_active",
            ),
            models.CheckConstraint(
                condition=~Q(state="could_not_check") | ~Q(reason=""), name="check_run_says_why_not"
            ),
            models.CheckConstraint(
                condition=Q(seen_at__isnull=True) | Q(seen_by__isnull=False) & ~Q(seen_note=""),
                name="check_run_seen_by_somebody",
            ),
        ]
        indexes = [
            models.Index(fields=["version", "name", "-created_at"], name="check_run_newest"),
            models.Index(
                fields=["-ended_at"],
                name="check_run_unseen",
                condition=Q(is_rescan=True, seen_at=None),
            ),
        ]

    def __str__(self) -> str:
        return f"Check of {self.version}: {self.get_name_display()}"

    def is_active(self) -> bool:
        return self.state in self.ACTIVE


class CheckFinding(models.Model):
    """One thing a check found. Never changed; the fingerprint is the same in the next version."""

    run = models.ForeignKey("catalog.CheckRun", models.CASCADE, related_name="findings")
    rule = models.CharField(max_length=60)
    severity = models.CharField(max_length=10)
    place = models.CharField(max_length=200, help_text="A field, or a file with its line.")
    message = models.CharField(max_length=500)
    fingerprint = models.CharField(max_length=64)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["run", "fingerprint"], name="check_finding_once"),
            models.CheckConstraint(
                condition=Q(severity__in=["info", "low", "medium", "high", "critical"]),
                name="check_finding_severity",
            ),
        ]
        indexes = [models.Index(fields=["fingerprint"], name="check_finding_by_print")]
        triggers = [Protect(name="check_finding_stays", operation=Update)]

    def __str__(self) -> str:
        return f"{self.rule} in {self.place}"


class CheckWaiver(models.Model):
    """One finding of an app that a second person accepted, until a date. Counts for every version that has it."""

    class State(models.TextChoices):
        PROPOSED = "proposed"
        APPROVED = "approved"
        REJECTED = "rejected"
        WITHDRAWN = "withdrawn"
        EXPIRED = "expired"

    TRANSITIONS: ClassVar[Transitions] = {
        "proposed": frozenset({"approved", "rejected", "withdrawn", "expired"}),
        "approved": frozenset({"withdrawn", "expired"}),
        "rejected": frozenset(),
        "withdrawn": frozenset(),
        "expired": frozenset(),
    }

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    app = models.ForeignKey("catalog.App", models.CASCADE, related_name="check_waivers")
    finding = models.ForeignKey("catalog.CheckFinding", models.PROTECT, related_name="+")
    fingerprint = models.CharField(max_length=64)
    state = models.CharField(max_length=10, choices=State, default=State.PROPOSED)
    reason = models.TextField()
    ends_at = models.DateTimeField()
    requested_by = models.ForeignKey("accounts.User", models.PROTECT, related_name="+")
    requested_at = models.DateTimeField()
    decided_by = models.ForeignKey("accounts.User", models.PROTECT, null=True, blank=True, related_name="+")
    decided_at = models.DateTimeField(null=True, blank=True)
    decision_reason = models.TextField(blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["app", "fingerprint"],
                condition=Q(state__in=["proposed", "approved"]),
                name="check_waiver_one_in_force",
            ),
            models.CheckConstraint(
                condition=Q(decided_by__isnull=True) | ~Q(decided_by=F("requested_by")),
                name="check_waiver_four_eyes",
                violation_error_message="Nobody decides what they asked for.",
            ),
            models.CheckConstraint(
                condition=~Q(state__in=["approved", "rejected"])
                | Q(decided_by__isnull=False, decided_at__isnull=False),
                name="check_waiver_decided_has_decider",
            ),
            models.CheckConstraint(condition=~Q(reason=""), name="check_waiver_has_reason"),
            models.CheckConstraint(
                condition=Q(ends_at__gt=F("requested_at"))
                & Q(ends_at__lte=F("requested_at") + LONGEST_WAIVER),
                name="check_waiver_ends",
            ),
        ]
        triggers = [
            Protect(
                name="check_waiver_stays",
                operation=UpdateOf(
                    "app_id",
                    "finding_id",
                    "fingerprint",
                    "reason",
                    "ends_at",
                    "requested_by_id",
                    "requested_at",
                ),
            ),
            Protect(name="check_waiver_kept", operation=Delete),
        ]

    def __str__(self) -> str:
        return f"Waiver of {self.finding} of {self.app}"


class AdvisorySnapshot(models.Model):
    """What was known of flaws in packages at a time, as an operator imported it. The newest counts."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    source = models.CharField(max_length=120)
    as_of = models.DateTimeField(help_text="What was published until then is in it.")
    sha256 = models.CharField(max_length=64, unique=True)
    advisories_count = models.PositiveIntegerField()
    imported_by = models.ForeignKey("accounts.User", models.PROTECT, null=True, blank=True, related_name="+")
    imported_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(as_of__lte=F("imported_at")), name="advisories_not_of_tomorrow"
            ),
            models.CheckConstraint(condition=Q(advisories_count__gt=0), name="advisories_not_empty"),
        ]
        indexes = [models.Index(fields=["-as_of", "-imported_at"], name="advisories_newest")]

    def __str__(self) -> str:
        return f"Advisories of {self.as_of:%Y-%m-%d}"


class Advisory(models.Model):
    """One published flaw of one package."""

    snapshot = models.ForeignKey("catalog.AdvisorySnapshot", models.CASCADE, related_name="advisories")
    key = models.CharField(max_length=80, help_text="Such as PYSEC-2026-12 or GHSA-….")
    package = models.CharField(max_length=120, help_text="Canonical name.")
    severity = models.CharField(max_length=10)
    summary = models.CharField(max_length=300, blank=True)
    versions = models.JSONField(default=list, help_text="Affected versions, one by one.")
    ranges = models.JSONField(
        default=list, help_text="Half-open stretches: introduced, fixed or last_affected."
    )

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["snapshot", "key", "package"], name="advisory_once"),
        ]
        indexes = [models.Index(fields=["snapshot", "package"], name="advisory_by_package")]

    def __str__(self) -> str:
        return f"{self.key} of {self.package}"
