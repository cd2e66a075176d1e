"""Telling the catalogue how apps served: calls and failures by day from ended holds, and their incidents."""

from datetime import UTC, datetime, timedelta
from typing import Any

from django.db.models import Count, Q, QuerySet
from django.db.models.functions import TruncDate, TruncHour

from marketplace.catalog import service_levels
from marketplace.catalog.models import App, Environment, Subscription
from marketplace.catalog.service_levels import DayOfService, HourOfService, IncidentFact
from quotas.incident_models import Incident
from quotas.models import Hold

# Ended holds are kept three days: of these days all are there.
DAYS_COUNTED = 2


def count_days(*, at: datetime) -> int:
    """Count the calls of today and yesterday anew and tell them; returns how many days of apps were told.

    A hold that was released brought no answer. Tries in the sandbox do not count.
    """
    midnight = at.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    sandboxes = Subscription.objects.filter(environment=Environment.SANDBOX).values("pk")
    ended = Hold.objects.filter(ended_at__gte=midnight - timedelta(days=DAYS_COUNTED - 1), ended_at__lte=at)
    counted = ended.exclude(subscription_id__in=sandboxes)
    found = [DayOfService(*row) for row in _by(TruncDate("ended_at", tzinfo=UTC), counted)]
    apps = set(App.objects.filter(pk__in={one.app_id for one in found}).values_list("pk", flat=True))
    days = [one for one in found if one.app_id in apps]
    service_levels.note_days(days)
    hours = [HourOfService(*row) for row in _by(TruncHour("ended_at", tzinfo=UTC), counted)]
    service_levels.note_hours([one for one in hours if one.app_id in apps])
    return len(days)


def _by(time: TruncDate | TruncHour, ended: QuerySet[Hold]) -> Any:
    return (
        ended.values_list("app_id", time)
        .annotate(calls=Count("pk"), failed=Count("pk", filter=Q(state=Hold.State.RELEASED)))
        .order_by()
    )


def tell_incidents(*, at: datetime) -> int:
    """Tell what callers felt in 90 days, and what is not over; returns how many were new or changed.

    Unusual use that nobody was stopped for is a matter of its makers.
    """
    since = at - timedelta(days=service_levels.DAYS)
    felt = Q(kind=Incident.Kind.ERRORS) | Q(stopped_at__isnull=False)
    found = Incident.objects.filter(felt, Q(closed_at=None) | Q(opened_at__gte=since))
    names = ("id", "app_id", *service_levels.TOLD)
    return service_levels.note_incidents([IncidentFact(*row) for row in found.values_list(*names)])
