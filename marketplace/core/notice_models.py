"""Notices to people, and how they reach them: choices, channels, and the outbox of what is to be sent."""

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q

from marketplace.core.ids import uuid7
from marketplace.core.notice_kinds import DIGESTS, Cadence, Kind


class Notice(models.Model):
    """Something a person should know, shown in the product.

    ``mail`` is how it reaches them by mail, as they had chosen when it was written; ``delivery`` is the one mail it is in.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    recipient = models.ForeignKey("accounts.User", models.CASCADE, related_name="notices")
    kind = models.CharField(max_length=10, choices=Kind, default=Kind.OTHER)
    text = models.CharField(max_length=300)
    path = models.CharField(max_length=300, blank=True)
    idempotency_key = models.CharField(max_length=200)
    mail = models.CharField(max_length=8, choices=Cadence, default=Cadence.OFF)
    delivery = models.ForeignKey(
        "core.NoticeDelivery", models.RESTRICT, null=True, blank=True, related_name="notices"
    )
    created_at = models.DateTimeField()
    read_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["recipient", "idempotency_key"], name="notice_sent_once"),
            models.CheckConstraint(condition=Q(kind__in=Kind.values), name="notice_kind_is_known"),
        ]
        indexes = [
            models.Index(fields=["recipient", "-created_at"], name="notice_by_recipient"),
            models.Index(
                fields=["recipient", "mail", "created_at"],
                name="notice_for_digest",
                condition=Q(delivery=None, mail__in=DIGESTS),
            ),
        ]

    def __str__(self) -> str:
        return self.text


class MailChoice(models.Model):
    """How often a person wants one kind of notice by mail. Without a row the default of the kind holds."""

    person = models.ForeignKey("accounts.User", models.CASCADE, related_name="mail_choices")
    kind = models.CharField(max_length=10, choices=Kind)
    cadence = models.CharField(max_length=8, choices=Cadence)
    changed_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["person", "kind"], name="mail_choice_one_of_a_kind"),
            models.CheckConstraint(
                condition=Q(kind__in=Kind.values, cadence__in=Cadence.values), name="mail_choice_is_known"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.cadence}"


class DigestTime(models.Model):
    """When a person gets digests, in their own time zone. Without a row: at eight in UTC, weekly ones on Mondays."""

    person = models.OneToOneField(
        "accounts.User", models.CASCADE, primary_key=True, related_name="digest_time"
    )
    time_zone = models.CharField(max_length=64, default="UTC")
    hour = models.PositiveSmallIntegerField(default=8)
    weekday = models.PositiveSmallIntegerField(default=0, help_text="0 is Monday.")

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(hour__lte=23, weekday__lte=6), name="digest_time_is_one"),
        ]

    def __str__(self) -> str:
        return f"{self.hour}:00 {self.time_zone}"


class NoticeChannel(models.Model):
    """Where notices about a team, or about all of an organization (team empty), are sent besides people's mail.

    The address of a chat's webhook lets anybody write there, so it is sealed like the secret; ``host`` is what pages show.
    """

    class Form(models.TextChoices):
        WEBHOOK = "webhook", "Signed webhook"
        SLACK = "slack", "Slack, or what takes its messages"
        TEAMS = "teams", "Microsoft Teams"

    class State(models.TextChoices):
        ACTIVE = "active"
        PAUSED = "paused"
        OFF = "off", "switched off"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    organization = models.ForeignKey("accounts.Organization", models.PROTECT, related_name="notice_channels")
    team = models.ForeignKey(
        "accounts.Team", models.PROTECT, null=True, blank=True, related_name="notice_channels"
    )
    name = models.CharField(max_length=80)
    form = models.CharField(max_length=8, choices=Form)
    host = models.CharField(max_length=255)
    url_sealed = models.TextField(editable=False)
    kinds = ArrayField(models.CharField(max_length=10, choices=Kind))
    secret_sealed = models.TextField(blank=True, editable=False)
    old_secret_sealed = models.TextField(blank=True, editable=False)
    old_secret_until = models.DateTimeField(null=True, blank=True)
    state = models.CharField(max_length=8, choices=State, default=State.ACTIVE)
    off_reason = models.CharField(max_length=200, blank=True)
    failing_since = models.DateTimeField(null=True, blank=True)
    created_by = models.ForeignKey("accounts.User", models.SET_NULL, null=True, blank=True, related_name="+")
    created_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["organization", "team", "name"],
                name="notice_channel_name_unique",
                nulls_distinct=False,
            ),
            models.CheckConstraint(
                condition=(Q(form="webhook") & ~Q(secret_sealed=""))
                | (~Q(form="webhook") & Q(secret_sealed="")),
                name="notice_channel_webhook_is_signed",
            ),
            models.CheckConstraint(
                condition=Q(kinds__contained_by=Kind.values), name="notice_channel_kinds_known"
            ),
        ]

    def __str__(self) -> str:
        return self.name


class NoticeDelivery(models.Model):
    """One thing to be sent: a mail to a person, or a message to a channel. The row is the queue.

    Written in the transaction of what it tells of. Its id goes along with every attempt, so who receives it twice can tell.
    """

    class State(models.TextChoices):
        QUEUED = "queued"
        SENDING = "sending"
        DELIVERED = "delivered"
        FAILED = "failed"
        CANCELED = "canceled"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    person = models.ForeignKey("accounts.User", models.CASCADE, null=True, blank=True, related_name="+")
    channel = models.ForeignKey(
        "core.NoticeChannel", models.CASCADE, null=True, blank=True, related_name="deliveries"
    )
    address = models.EmailField(
        blank=True, default="", db_default="", help_text="Of somebody who is no person here."
    )
    idempotency_key = models.CharField(max_length=200)
    cadence = models.CharField(max_length=8, choices=Cadence, default=Cadence.INSTANT)
    kind = models.CharField(max_length=10, blank=True, help_text="Empty in a digest.")
    text = models.CharField(max_length=300, blank=True)
    path = models.CharField(max_length=300, blank=True)
    about = models.CharField(max_length=120, blank=True, help_text="The team or organization.")
    facts = models.JSONField(
        default=dict,
        blank=True,
        help_text="What programs read of it, such as the id of a job that has ended.",
    )
    body = models.TextField(blank=True, default="", db_default="", help_text="Of a mail to an address.")
    attached = models.JSONField(
        default=list, blank=True, help_text="Files that are made when it is sent: pairs of source and key."
    )
    is_test = models.BooleanField(default=False)
    state = models.CharField(max_length=10, choices=State, default=State.QUEUED)
    attempts = models.PositiveSmallIntegerField(default=0)
    run_at = models.DateTimeField(help_text="Not before this time.")
    locked_until = models.DateTimeField(null=True, blank=True, help_text="One being sent is retaken after.")
    trouble = models.CharField(max_length=300, blank=True)
    created_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name_plural = "notice deliveries"
        constraints = [
            models.CheckConstraint(
                condition=Q(person__isnull=False, channel=None, address="")
                | Q(person=None, channel__isnull=False, address="")
                | Q(person=None, channel=None) & ~Q(address=""),
                name="notice_delivery_one_destination",
            ),
            models.UniqueConstraint(
                fields=["person", "idempotency_key"], name="notice_delivery_once_a_person"
            ),
            models.UniqueConstraint(
                fields=["channel", "idempotency_key"], name="notice_delivery_once_a_channel"
            ),
            models.UniqueConstraint(
                fields=["address", "idempotency_key"],
                condition=~Q(address=""),
                name="notice_delivery_once_an_address",
            ),
        ]
        indexes = [
            models.Index(
                fields=["run_at"],
                name="notice_delivery_waiting",
                condition=Q(state__in=["queued", "sending"]),
            ),
            models.Index(fields=["channel", "-created_at"], name="notice_delivery_by_channel"),
        ]

    def __str__(self) -> str:
        return self.text or f"mail, {self.get_cadence_display().lower()}"


class DeliveryAttempt(models.Model):
    """That something was sent once: when, how long it took, and what was answered (cut)."""

    delivery = models.ForeignKey("core.NoticeDelivery", models.CASCADE, related_name="log")
    at = models.DateTimeField()
    is_delivered = models.BooleanField()
    http_status = models.PositiveSmallIntegerField(null=True, blank=True)
    duration_ms = models.PositiveIntegerField()
    trouble = models.CharField(max_length=300, blank=True)
    excerpt = models.CharField(max_length=500, blank=True)

    def __str__(self) -> str:
        return self.trouble or "delivered"


class KeptMail(models.Model):
    """A mail of the demo world, which sends none: what would have been sent, for its recipient to look at."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    address = models.EmailField()
    subject = models.CharField(max_length=300)
    text = models.TextField()
    html = models.TextField(blank=True)
    headers = models.JSONField(default=dict)
    sent_at = models.DateTimeField()

    class Meta:
        indexes = [models.Index(fields=["address", "-sent_at"], name="kept_mail_by_address")]

    def __str__(self) -> str:
        return self.subject
