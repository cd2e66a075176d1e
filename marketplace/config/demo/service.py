"""How well apps answered: a few calls of most days failed, and more of two apps; as the routine would have counted."""

from django.db.models import Sum

from marketplace.catalog import service_levels
from marketplace.catalog.models import App, Environment
from marketplace.catalog.service_levels import DayOfService
from marketplace.config.demo.timeline import Timeline
from metering.models import DailyRollup
from quotas import service

# Of so many calls one failed; fx-convert answers at a server of its maker that has bad days.
USUAL, POOR = 1_100, {"fx-convert": 90, "inbox-digest": 260}


def tell(apps: dict[str, App], timeline: Timeline) -> None:
    """Write the days of usage as calls that were answered or not, then tell of incidents."""
    slugs = {app.pk: slug for slug, app in apps.items()}
    rows = (
        DailyRollup.objects.filter(day__gte=timeline.starts_at.date(), attribution__app__in=slugs)
        .exclude(attribution__environment=Environment.SANDBOX)
        .values_list("attribution__app", "day")
        .annotate(calls=Sum("requests"))
        .order_by()
    )
    service_levels.note_days(
        [
            DayOfService(app_id, day, int(calls), _failed(slugs[app_id], int(calls)))
            for app_id, day, calls in rows
            if calls > 0
        ]
    )
    service.tell_incidents(at=timeline.at)


def _failed(slug: str, calls: int) -> int:
    return calls // POOR.get(slug, USUAL)
