"""What a channel's page reads: what was sent there, and every attempt."""

from datetime import datetime, timedelta

from django.db.models import Count, Prefetch, Q, QuerySet

from marketplace.core.models import DeliveryAttempt, NoticeChannel, NoticeDelivery

RECENT = timedelta(days=7)


def deliveries_of(channel: NoticeChannel) -> QuerySet[NoticeDelivery]:
    """What was to be sent to a channel, newest first, each with its attempts."""
    attempts = Prefetch("log", DeliveryAttempt.objects.order_by("-at", "-pk"))
    found = NoticeDelivery.objects.filter(channel=channel).prefetch_related(attempts)
    return found.order_by("-created_at", "-pk")


def with_counts(found: QuerySet[NoticeChannel], *, at: datetime) -> QuerySet[NoticeChannel]:
    """Add how many were ``delivered``, ``failed`` and ``waiting`` in the last seven days."""
    recent = Q(deliveries__created_at__gte=at - RECENT)
    states = NoticeDelivery.State
    return found.annotate(
        delivered=Count("deliveries", recent & Q(deliveries__state=states.DELIVERED), distinct=True),
        failed=Count("deliveries", recent & Q(deliveries__state=states.FAILED), distinct=True),
        waiting=Count("deliveries", Q(deliveries__state__in=[states.QUEUED, states.SENDING]), distinct=True),
    )
