"""Time of a pool, hour by hour: how long replicas were kept, and for how long they were too few."""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from django.db.models import F
from django.db.models.functions import Greatest

from marketplace.gateway.pool_models import Pool, PoolHour, PoolReplica

MS = timedelta(milliseconds=1)
HOUR = timedelta(hours=1)
# What nobody looked at for longer is not counted: the machine may have been off.
LONGEST_GAP = timedelta(minutes=10)


def account(
    pool: Pool, serving: Sequence[PoolReplica], *, milli_calls: int, is_short: bool, at: datetime
) -> None:
    """Count the time since the last look as what is there now; for whoever holds the pool's lease."""
    since = pool.accounted_at
    Pool.objects.filter(pk=pool.pk).update(accounted_at=at)
    pool.accounted_at = at
    if since is None or not since < at:
        return
    spot = sum(one.is_spot for one in serving)
    for hour, part in _parts(max(since, at - LONGEST_GAP), at):
        length_ms = part // MS
        row, _ = PoolHour.objects.get_or_create(pool=pool, hour=hour)
        PoolHour.objects.filter(pk=row.pk).update(
            on_demand_ms=F("on_demand_ms") + (len(serving) - spot) * length_ms,
            spot_ms=F("spot_ms") + spot * length_ms,
            looked_ms=F("looked_ms") + length_ms,
            short_ms=F("short_ms") + is_short * length_ms,
            peak_milli_calls=Greatest(F("peak_milli_calls"), milli_calls),
        )


def _parts(since: datetime, until: datetime) -> Iterator[tuple[datetime, timedelta]]:
    """Divide a stretch at full hours: each hour, and how much of the stretch lies in it."""
    start = since
    while start < until:
        hour = start.replace(minute=0, second=0, microsecond=0)
        end = min(until, hour + HOUR)
        yield hour, end - start
        start = end
