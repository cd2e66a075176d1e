"""What is forgotten of pools: events and replicas that ended, after ninety days; hours after four hundred."""

from datetime import datetime, timedelta

from marketplace.gateway.pool_models import PoolEvent, PoolHour, PoolReplica

KEPT = timedelta(days=90)
HOURS_KEPT = timedelta(days=400)


def purge(*, at: datetime) -> None:
    """Delete what is older than it is kept for."""
    PoolEvent.objects.filter(at__lt=at - KEPT).delete()
    PoolReplica.objects.filter(ended_at__lt=at - KEPT).delete()
    PoolHour.objects.filter(hour__lt=at - HOURS_KEPT).delete()
