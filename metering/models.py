"""Usage facts. Events and closed periods are only ever added. Other tables of metering stand in modules of their own."""

from django.db import models
from django.db.models import F, Q
from pgtrigger import Delete, Protect, Update

from metering import inbox_models as inbox_models  # registers its tables
from metering.correction_models import Correction, Rerating, ReratingPart
from metering.kept_models import ReportSchedule, SavedView
from metering.price_models import BatchRate, InstanceRate, LanguageModel, RateCard, RateProposal

__all__ = [
    "ArchivedPeriod",
    "ArchivedPeriodQuerySet",
    "Attribution",
    "BatchRate",
    "ClosedPeriod",
    "Correction",
    "DailyRollup",
    "EventConflict",
    "EventKey",
    "InstanceRate",
    "LanguageModel",
    "LatencyHistogram",
    "RateCard",
    "RateProposal",
    "ReportSchedule",
    "Rerating",
    "ReratingPart",
    "SavedView",
    "UsageEvent",
    "UsageRollup",
]


class Attribution(models.Model):
    """Every dimension of usage, once for each combination; events and roll-ups point here.

    It keeps events slim, and an app that moves to another team keeps its history: new usage gets a new row.
    """

    app = models.ForeignKey("catalog.App", models.PROTECT, related_name="+")
    owner_team = models.ForeignKey("accounts.Team", models.PROTECT, related_name="+")
    organization = models.ForeignKey(
        "accounts.Organization",
        models.PROTECT,
        related_name="+",
        help_text="Who pays: of the subscription, else the owner.",
    )
    team = models.ForeignKey("accounts.Team", models.PROTECT, related_name="+", help_text="Who used it.")
    cost_center = models.ForeignKey("accounts.CostCenter", models.PROTECT, related_name="+")
    subscription = models.ForeignKey("catalog.Subscription", models.PROTECT, null=True, related_name="+")
    plan = models.ForeignKey("catalog.Plan", models.PROTECT, null=True, related_name="+")
    key = models.ForeignKey("accounts.ApiKey", models.PROTECT, null=True, related_name="+")
    environment = models.CharField(max_length=10)
    model = models.ForeignKey("metering.LanguageModel", models.PROTECT, null=True, related_name="+")
    model_asked = models.CharField(max_length=80, blank=True)
    instance_type = models.CharField(max_length=40, blank=True)
    feature = models.CharField(max_length=40, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=[
                    "app",
                    "owner_team",
                    "organization",
                    "team",
                    "cost_center",
                    "subscription",
                    "plan",
                    "key",
                    "environment",
                    "model",
                    "model_asked",
                    "instance_type",
                    "feature",
                ],
                name="attribution_unique",
                nulls_distinct=False,
            ),
        ]

    def __str__(self) -> str:
        return f"attribution {self.pk}"


class EventKey(models.Model):
    """That an app has sent an event of this id, and what it said: what makes every event count once.

    Events are partitioned by time and an id is one whatever the time, so the ids stand in a table of their own.
    """

    pk = models.CompositePrimaryKey("app_id", "event_id")
    app = models.ForeignKey(
        "catalog.App", models.DO_NOTHING, db_constraint=False, db_index=False, related_name="+"
    )
    event_id = models.CharField(max_length=128)
    content_hash = models.BinaryField(max_length=16)
    occurred_at = models.DateTimeField(help_text="Leads to the partition of the event.")

    class Meta:
        triggers = [Protect(name="never_changed", operation=Update)]

    def __str__(self) -> str:
        return f"{self.app_id}/{self.event_id}"


class UsageEvent(models.Model):
    """One piece of usage, counted once: identified by app and event id, whatever its time. Only ever inserted.

    The table is partitioned by the month of ``occurred_at`` (``metering.partitions``). A correction is a row of its
    own that names the event it corrects; its quantities may be negative. Foreign keys carry no constraint in the
    database: the row is written in bulk on the hot path, and ``verify`` proves that every reference holds.
    """

    pk = models.CompositePrimaryKey("app_id", "occurred_at", "event_id")
    app = models.ForeignKey(
        "catalog.App", models.DO_NOTHING, db_constraint=False, db_index=False, related_name="+"
    )
    event_id = models.CharField(max_length=128)
    occurred_at = models.DateTimeField()
    received_at = models.DateTimeField()
    period = models.DateField(help_text="First day of the month that bills it.")
    attribution = models.ForeignKey(
        "metering.Attribution", models.DO_NOTHING, db_constraint=False, db_index=False, related_name="+"
    )
    requests = models.BigIntegerField(default=1)
    input_tokens = models.BigIntegerField(default=0)
    cached_input_tokens = models.BigIntegerField(default=0)
    cache_write_tokens = models.BigIntegerField(default=0)
    output_tokens = models.BigIntegerField(default=0)
    reasoning_tokens = models.BigIntegerField(default=0)
    duration_ms = models.BigIntegerField(default=0)
    latency_ms = models.BigIntegerField(null=True)
    cost = models.DecimalField(max_digits=38, decimal_places=18, help_text="Rated platform cost, unrounded.")
    currency = models.CharField(max_length=3)
    rate_card = models.ForeignKey(
        "metering.RateCard",
        models.DO_NOTHING,
        null=True,
        db_constraint=False,
        db_index=False,
        related_name="+",
    )
    instance_rate = models.ForeignKey(
        "metering.InstanceRate",
        models.DO_NOTHING,
        null=True,
        db_constraint=False,
        db_index=False,
        related_name="+",
    )
    provider_cost = models.DecimalField(
        max_digits=38, decimal_places=18, null=True, help_text="What the provider says it charged."
    )
    is_estimated = models.BooleanField(default=False, help_text="Counted by us: the provider did not say.")
    tags = models.JSONField(null=True)
    corrects = models.CharField(
        max_length=128, null=True, help_text="Id of the event that this row corrects; null for usage itself."
    )

    class Meta:
        indexes = [
            # Only rows that correct something are in it: an event on the hot path does not touch it.
            models.Index(
                fields=["app", "corrects"],
                name="usage_event_corrections",
                condition=Q(corrects__isnull=False),
            ),
            # Likewise only those that say what they saved (``metering.saved_usage``).
            models.Index(
                fields=["app", "occurred_at"],
                name="usage_event_saved",
                condition=Q(tags__has_key="halfpenny.saved_by"),
            ),
        ]
        constraints = [
            models.CheckConstraint(
                condition=Q(corrects__isnull=False)
                | Q(
                    requests__gte=0,
                    input_tokens__gte=0,
                    cached_input_tokens__gte=0,
                    cache_write_tokens__gte=0,
                    output_tokens__gte=0,
                    reasoning_tokens__gte=0,
                    duration_ms__gte=0,
                    cost__gte=0,
                ),
                name="usage_event_not_negative",
            ),
        ]
        triggers = [Protect(name="append_only", operation=Update | Delete)]

    def __str__(self) -> str:
        return f"{self.app_id}/{self.event_id}"


class EventConflict(models.Model):
    """A second event with a known id and other content: the first stays, this one is shown to the app's owner."""

    app = models.ForeignKey("catalog.App", models.CASCADE, related_name="event_conflicts")
    event_id = models.CharField(max_length=128)
    received_at = models.DateTimeField()
    body = models.JSONField()

    class Meta:
        indexes = [
            models.Index(fields=["app", "-received_at"], name="conflict_by_app_time"),
            models.Index(fields=["app", "event_id"], name="conflict_by_event"),
            models.Index(fields=["received_at"], name="conflict_by_time"),
        ]

    def __str__(self) -> str:
        return f"{self.app_id}/{self.event_id}"


class Sums(models.Model):
    """What is summed of events, whatever they are summed by."""

    events = models.BigIntegerField(default=0)
    requests = models.BigIntegerField(default=0)
    input_tokens = models.BigIntegerField(default=0)
    cached_input_tokens = models.BigIntegerField(default=0)
    cache_write_tokens = models.BigIntegerField(default=0)
    output_tokens = models.BigIntegerField(default=0)
    reasoning_tokens = models.BigIntegerField(default=0)
    duration_ms = models.BigIntegerField(default=0)
    latency_ms = models.BigIntegerField(default=0, help_text="Sum over the events that told a latency.")
    latency_events = models.BigIntegerField(default=0)
    cost = models.DecimalField(max_digits=38, decimal_places=18, default=0)
    provider_cost = models.DecimalField(
        max_digits=38, decimal_places=18, default=0, help_text="Sum over the events whose provider told one."
    )
    provider_cost_events = models.BigIntegerField(default=0)
    compared_cost = models.DecimalField(
        max_digits=38, decimal_places=18, default=0, help_text="Our cost of those same events."
    )
    currency = models.CharField(max_length=3)

    class Meta:
        abstract = True


class UsageRollup(Sums):
    """The sum of the events of one hour, attribution and billing period; written with them in one transaction."""

    pk = models.CompositePrimaryKey("hour", "attribution_id", "period")
    hour = models.DateTimeField()
    attribution = models.ForeignKey("metering.Attribution", models.PROTECT, db_index=False, related_name="+")
    period = models.DateField()

    class Meta:
        indexes = [
            models.Index(fields=["attribution", "hour"], name="rollup_by_attribution_hour"),
            models.Index(fields=["period"], name="rollup_by_period"),
        ]

    def __str__(self) -> str:
        return f"{self.hour:%Y-%m-%d %H} {self.attribution_id}"


class DailyRollup(Sums):
    """The sum of the roll-ups of one day in UTC, attribution, billing period and currency; written with them."""

    pk = models.CompositePrimaryKey("day", "attribution_id", "period", "currency")
    day = models.DateField()
    attribution = models.ForeignKey("metering.Attribution", models.PROTECT, db_index=False, related_name="+")
    period = models.DateField()

    class Meta:
        indexes = [
            models.Index(fields=["attribution", "day"], name="daily_rollup_by_attribution"),
            models.Index(fields=["period"], name="daily_rollup_by_period"),
        ]

    def __str__(self) -> str:
        return f"{self.day} {self.attribution_id}"


class LatencyHistogram(models.Model):
    """How many events of a day and attribution took how long: percentiles of any group are read off the sum.

    Bucket b counts latencies from 2^(b/4) to 2^((b+1)/4) milliseconds, so a percentile is known within 19 %.
    """

    pk = models.CompositePrimaryKey("day", "attribution_id", "bucket")
    day = models.DateField()
    attribution = models.ForeignKey("metering.Attribution", models.PROTECT, db_index=False, related_name="+")
    bucket = models.SmallIntegerField()
    events = models.BigIntegerField(default=0)

    def __str__(self) -> str:
        return f"{self.day} {self.attribution_id} {self.bucket}"


class ClosedPeriod(models.Model):
    """A month that takes no more usage: what still comes for it is billed in the next open month."""

    period = models.DateField(primary_key=True, help_text="First day of the month.")
    closed_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.period:%Y-%m}"


class ArchivedPeriodQuerySet(models.QuerySet["ArchivedPeriod"]):
    """Months that were archived once."""

    def archived(self) -> "ArchivedPeriodQuerySet":
        """Those whose events are only in the archive now."""
        return self.filter(restored_at=None)


class ArchivedPeriod(models.Model):
    """A month whose events were written to files and taken out of the table; its roll-ups stay.

    The manifest tells of the files and what they sum up to (``metering.manifests``). A restored month keeps its row, so
    that no routine archives again what somebody restored to look at.
    """

    period = models.DateField(
        primary_key=True, help_text="First day of the month in which the events occurred."
    )
    archived_at = models.DateTimeField()
    restored_at = models.DateTimeField(null=True, help_text="Since when the events are in the table again.")
    folder = models.TextField(help_text="Where the files were written.")
    manifest = models.JSONField()
    manifest_sha256 = models.CharField(max_length=64)

    objects = ArchivedPeriodQuerySet.as_manager()

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(restored_at=None) | Q(restored_at__gte=F("archived_at")),
                name="archived_period_restored_later",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.period:%Y-%m}"
