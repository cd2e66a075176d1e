"""Routines that need several apps which do not know each other."""

from celery import shared_task
from django.utils import timezone

from marketplace.config import idle_pools
from marketplace.core.periods import month_of


@shared_task(name="config.enter_idle_pools", expires=3000)
def enter_idle_pools() -> None:
    """Enter what pools cost in the month before while nothing was asked of them; safe to run twice."""
    now = timezone.now()
    idle_pools.enter(month_of(now).previous(), at=now)
