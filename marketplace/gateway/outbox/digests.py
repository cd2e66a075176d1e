"""Put notices together into digests: each into exactly one, when the time of day that its person chose has come."""

from collections.abc import Sequence
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from django.db import transaction
from django.db.models import Min

from marketplace.core.models import DigestTime, Notice, NoticeDelivery
from marketplace.core.notice_kinds import DIGESTS, Cadence


def collect(*, at: datetime) -> int:
    """Make the digests that are due and leave them to the outbox; returns how many."""
    waiting = (
        Notice.objects.filter(delivery=None, mail__in=DIGESTS)
        .values("recipient", "mail")
        .annotate(oldest_at=Min("created_at"))
        .order_by("recipient", "mail")
    )
    found = [(one["recipient"], one["mail"], one["oldest_at"]) for one in waiting]
    times = DigestTime.objects.in_bulk([person for person, _, _ in found])
    return sum(
        _make(person, cadence, until=until, at=at)
        for person, cadence, oldest_at in found
        if (until := latest_time(times.get(person) or DigestTime(), cadence, at=at)) > oldest_at
    )


def latest_time(when: DigestTime, cadence: str, *, at: datetime) -> datetime:
    """Return the last time, not after ``at``, at which somebody gets their digest.

    The clock of the person's zone counts, so it stays the same hour when summer time begins or ends.
    """
    zone = ZoneInfo(when.time_zone)
    today = at.astimezone(zone).date()
    days = [today - timedelta(days=back) for back in range(9)]
    return next(moment for moment in _moments(days, when, cadence, zone) if moment <= at)


def _moments(days: Sequence[date], when: DigestTime, cadence: str, zone: ZoneInfo) -> list[datetime]:
    wanted = [day for day in days if cadence == Cadence.DAILY or day.weekday() == when.weekday]
    return [datetime.combine(day, time(when.hour), zone) for day in wanted]


def _make(person_id: int, cadence: str, *, until: datetime, at: datetime) -> bool:
    """Make one digest of what was told before ``until``; False when there is one already.

    The constraint decides which of two routines makes it. Who lost the race finds the notices taken; one that was written late
    waits for the next digest.
    """
    key = f"digest:{cadence}:{until:%Y%m%dT%H%M%z}"
    with transaction.atomic():
        delivery, is_new = NoticeDelivery.objects.get_or_create(
            person_id=person_id,
            idempotency_key=key,
            defaults={"cadence": cadence, "run_at": at, "created_at": at},
        )
        if is_new:
            ours = Notice.objects.filter(
                recipient=person_id, mail=cadence, delivery=None, created_at__lt=until
            )
            ours.update(delivery=delivery)
    return is_new
