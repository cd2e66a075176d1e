"""What pages and API tell of runs in the background."""

from datetime import datetime

from django.db.models import QuerySet

from marketplace.accounts.access import Actor, Role, require_platform
from marketplace.catalog import queries
from marketplace.gateway.async_models import AsyncRun

RELATED = ("subscription__app", "subscription__team__organization", "person")


def visible(actor: Actor, *, at: datetime) -> QuerySet[AsyncRun]:
    """Return the runs of the subscriptions of a person's own teams, the newest first.

    Inputs and outputs are for who consumes: those who only see what a team spends do not read them here.
    """
    own = queries.visible_subscriptions(actor).filter(team__in=actor.teams_as(Role.CONSUMER))
    found = AsyncRun.objects.filter(subscription__in=own.values("pk"), expires_at__gt=at)
    return found.select_related(*RELATED).order_by("-created_at", "-pk")


def everything(actor: Actor) -> QuerySet[AsyncRun]:
    """Return all runs, the newest first, for operators; pages show of them what they cost, not what they say."""
    require_platform(actor, Role.OPERATOR)
    return AsyncRun.objects.select_related(*RELATED).order_by("-created_at", "-pk")
