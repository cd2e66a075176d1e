"""How apps served, told to the catalogue by the layers that count calls and judge them."""

from django.db import models
from django.db.models import F, Q


class ServiceDay(models.Model):
    """Calls of an app on one day in UTC outside the sandbox: admitted ones that ended, and those without an answer."""

    app = models.ForeignKey("catalog.App", models.CASCADE, related_name="service_days")
    day = models.DateField()
    calls = models.BigIntegerField()
    failed = models.BigIntegerField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["app", "day"], name="service_day_once"),
            models.CheckConstraint(
                condition=Q(failed__gte=0, failed__lte=F("calls")), name="service_day_fails_of_calls"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.app_id} on {self.day}"


class ServiceHour(models.Model):
    """Calls of an app in one hour outside the sandbox, counted as days are: what a promise is measured by."""

    app = models.ForeignKey("catalog.App", models.CASCADE, related_name="service_hours")
    hour = models.DateTimeField()
    calls = models.BigIntegerField()
    failed = models.BigIntegerField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["app", "hour"], name="service_hour_once"),
            models.CheckConstraint(
                condition=Q(failed__gte=0, failed__lte=F("calls")), name="service_hour_fails_of_calls"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.app_id} at {self.hour}"


class ServiceIncident(models.Model):
    """That an app was slowed, paused or failed unusually often: what everybody may know of an incident."""

    id = models.UUIDField(primary_key=True)
    app = models.ForeignKey("catalog.App", models.CASCADE, related_name="service_incidents")
    kind = models.CharField(max_length=8)
    state = models.CharField(max_length=12)
    opened_at = models.DateTimeField()
    stopped_at = models.DateTimeField(null=True)
    closed_at = models.DateTimeField(null=True)

    class Meta:
        indexes = [models.Index(fields=["app", "-opened_at"], name="service_incident_of_app")]

    def __str__(self) -> str:
        return f"{self.kind} of {self.app_id}"
