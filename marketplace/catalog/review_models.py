"""A review, and what it is made of beside its decision: questions, notes, files, ready-made reasons, kept filters, holidays."""

from datetime import datetime
from typing import ClassVar

from django.db import models
from django.db.models import F, Q
from pgtrigger import Protect, Update

from marketplace.catalog.attachments import KINDS, MAX_FILE_BYTES
from marketplace.core.ids import uuid7
from marketplace.core.transitions import Transitions


class Review(models.Model):
    """The decision on a submitted version, by somebody who did not submit it."""

    class State(models.TextChoices):
        OPEN = "open"
        APPROVED = "approved"
        CHANGES_REQUESTED = "changes_requested"
        REJECTED = "rejected"
        WITHDRAWN = "withdrawn"

    TRANSITIONS: ClassVar[Transitions] = {
        "open": frozenset({"approved", "changes_requested", "rejected", "withdrawn"}),
        "approved": frozenset(),
        # Not handed in again by the date.
        "changes_requested": frozenset({"rejected"}),
        "rejected": frozenset(),
        "withdrawn": frozenset(),
    }

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    version = models.ForeignKey("catalog.Version", models.CASCADE, related_name="reviews")
    smoke_run = models.ForeignKey("catalog.SmokeRun", models.PROTECT, related_name="+")
    state = models.CharField(max_length=20, choices=State, default=State.OPEN)
    submitted_by = models.ForeignKey("accounts.User", models.PROTECT, related_name="+")
    opened_at = models.DateTimeField()
    due_at = models.DateTimeField()
    decided_by = models.ForeignKey("accounts.User", models.PROTECT, null=True, blank=True, related_name="+")
    decided_at = models.DateTimeField(null=True, blank=True)
    not_by = models.ForeignKey(
        "accounts.User",
        models.PROTECT,
        null=True,
        blank=True,
        related_name="+",
        help_text="Rejected it before an appeal brought it back.",
    )
    reason = models.TextField(blank=True)
    projection = models.JSONField(default=dict, help_text="The cost projection that was on the page.")
    risk_score = models.PositiveSmallIntegerField(
        default=0, help_text="From 0 to 100, see catalog.review_risk."
    )
    risk_reasons = models.JSONField(default=list, help_text="Points and words, the gravest first.")
    risk_facts = models.JSONField(default=dict, help_text="What auto-approval goes by, as it was then.")
    paused_at = models.DateTimeField(null=True, blank=True, help_text="The makers owe an answer since.")
    policy_url = models.URLField(blank=True, help_text="The policy that the decision stands on.")
    fix_by = models.DateTimeField(
        null=True, blank=True, help_text="Not handed in again by then, it is rejected."
    )
    is_automatic = models.BooleanField(default=False, help_text="Approved by the policy, by no person.")

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["version"], condition=Q(state="open"), name="review_one_open"),
            models.CheckConstraint(
                condition=Q(decided_by__isnull=True) | ~Q(decided_by=F("submitted_by")),
                name="review_four_eyes",
                violation_error_message="Nobody decides their own submission.",
            ),
            models.CheckConstraint(
                condition=Q(state__in=["open", "withdrawn"])
                | Q(decided_by__isnull=False, decided_at__isnull=False, is_automatic=False)
                | Q(decided_by__isnull=True, decided_at__isnull=False, is_automatic=True, state="approved"),
                name="review_decided_has_decider",
            ),
            models.CheckConstraint(
                condition=Q(paused_at__isnull=True) | Q(state="open"), name="review_paused_is_open"
            ),
            models.CheckConstraint(
                condition=Q(decided_by__isnull=True) | ~Q(decided_by=F("not_by")),
                name="review_after_appeal_by_another",
                violation_error_message="Who rejected a version does not decide on it after an appeal.",
            ),
            models.CheckConstraint(condition=Q(risk_score__lte=100), name="review_risk_bounded"),
        ]

    def __str__(self) -> str:
        return f"Review of {self.version}"


class Holiday(models.Model):
    """A day on which an organization's approvers do not work; due dates skip it."""

    organization = models.ForeignKey("accounts.Organization", models.CASCADE, related_name="holidays")
    day = models.DateField()
    name = models.CharField(max_length=80)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["organization", "day"], name="holiday_once")]

    def __str__(self) -> str:
        return f"{self.name}, {self.day}"


class CannedReason(models.Model):
    """A reason that is often given, with the policy it stands on. Kept by operators; one that is retired is not offered."""

    title = models.CharField(max_length=80, unique=True)
    text = models.TextField()
    policy_url = models.URLField(blank=True)
    retired_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [models.CheckConstraint(condition=~Q(text=""), name="canned_reason_has_text")]

    def __str__(self) -> str:
        return self.title


class ReviewQuestion(models.Model):
    """Something that an approver wants to know of a version's makers. Until the answer, the clock of the review stands."""

    review = models.ForeignKey("catalog.Review", models.CASCADE, related_name="questions")
    question = models.TextField()
    asked_by = models.ForeignKey("accounts.User", models.PROTECT, related_name="+")
    asked_at = models.DateTimeField()
    answer = models.TextField(blank=True)
    answered_by = models.ForeignKey("accounts.User", models.PROTECT, null=True, blank=True, related_name="+")
    answered_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["review"], condition=Q(answered_at__isnull=True), name="review_question_one_open"
            ),
            models.CheckConstraint(
                condition=Q(answered_at__isnull=True, answered_by__isnull=True, answer="")
                | Q(answered_at__isnull=False, answered_by__isnull=False) & ~Q(answer=""),
                name="review_question_answered_whole",
            ),
        ]

    def __str__(self) -> str:
        return f"Question in {self.review}"


class ReviewNote(models.Model):
    """What somebody wrote beside a review. A private one is for approvers; a public one for the makers, too. Never changed."""

    review = models.ForeignKey("catalog.Review", models.CASCADE, related_name="notes")
    is_private = models.BooleanField()
    text = models.TextField(blank=True)
    written_by = models.ForeignKey("accounts.User", models.PROTECT, related_name="+")
    written_at = models.DateTimeField()

    class Meta:
        triggers = [Protect(name="review_note_stays", operation=Update)]

    def __str__(self) -> str:
        return f"Note on {self.review}"


class ReviewAttachment(models.Model):
    """A file that came with a note: small, of a kind that was recognized by its bytes. Never changed."""

    note = models.ForeignKey("catalog.ReviewNote", models.CASCADE, related_name="attachments")
    file_name = models.CharField(max_length=120)
    content_type = models.CharField(max_length=40)
    size_bytes = models.PositiveIntegerField()
    sha256 = models.CharField(max_length=64)
    content = models.BinaryField()

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(size_bytes__gt=0, size_bytes__lte=MAX_FILE_BYTES),
                name="review_attachment_bounded",
            ),
            models.CheckConstraint(
                condition=Q(content_type__in=KINDS),
                name="review_attachment_known_type",
            ),
        ]
        triggers = [Protect(name="review_attachment_stays", operation=Update)]

    def __str__(self) -> str:
        return self.file_name


class SavedReviewFilter(models.Model):
    """A filter of the queue that a person keeps under a name."""

    person = models.ForeignKey("accounts.User", models.CASCADE, related_name="saved_review_filters")
    name = models.CharField(max_length=60)
    query = models.CharField(max_length=500, blank=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["person", "name"], name="saved_review_filter_unique")]

    def __str__(self) -> str:
        return self.name


class ReviewClaim(models.Model):
    """Who has taken, or was given, a review. It ends by itself, so that what somebody forgot is free again."""

    review = models.OneToOneField("catalog.Review", models.CASCADE, related_name="claim")
    person = models.ForeignKey("accounts.User", models.CASCADE, related_name="+")
    given_by = models.ForeignKey("accounts.User", models.CASCADE, related_name="+")
    claimed_at = models.DateTimeField()
    ends_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(ends_at__gt=F("claimed_at")), name="review_claim_ends_later")
        ]

    def __str__(self) -> str:
        return f"{self.person} has {self.review}"

    def holds(self, at: datetime) -> bool:
        """Tell whether it has not ended."""
        return at < self.ends_at


class ReviewGlance(models.Model):
    """When somebody last had a review on their screen."""

    review = models.ForeignKey("catalog.Review", models.CASCADE, related_name="glances")
    person = models.ForeignKey("accounts.User", models.CASCADE, related_name="+")
    seen_at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["person", "review"], name="review_glance_unique")]
        indexes = [models.Index(fields=["seen_at"], name="review_glance_by_time")]

    def __str__(self) -> str:
        return f"{self.person} looks at {self.review}"
