"""Who is subscribed to an app, and who is told of what comes to them."""

from datetime import datetime

from django.db.models import QuerySet
from django.urls import reverse

from marketplace.accounts.access import Role
from marketplace.accounts.models import User
from marketplace.catalog import subscriptions
from marketplace.catalog.models import App, Subscription
from marketplace.core.notices import notify

LIVE = (Subscription.State.ACTIVE, Subscription.State.PAUSED, Subscription.State.SUSPENDED)


def of_app(app: App) -> QuerySet[Subscription]:
    """Return the subscriptions in production that have not ended."""
    return Subscription.objects.filter(app=app, environment="production", state__in=LIVE)


def of_others(app: App) -> QuerySet[Subscription]:
    """Return those of other teams than the one that owns the app."""
    return of_app(app).exclude(team=app.owner_team_id)


def people_of(subscription: Subscription) -> QuerySet[User]:
    """Return consumers of the subscribed team, and whoever subscribed."""
    consumers = User.objects.filter(
        memberships__team=subscription.team_id, memberships__role=Role.CONSUMER, is_active=True
    )
    return (consumers | User.objects.filter(pk=subscription.created_by_id, is_active=True)).distinct()


def tell(app: App, text: str, *, at: datetime, key: str, view: str = "catalog:subscription") -> int:
    """Tell the people of every subscription, each with the way to theirs; returns how many subscriptions there are."""
    found = list(of_app(app).order_by("pk"))
    for one in found:
        notify(people_of(one), text=text, at=at, key=f"{key}:{one.pk}", path=reverse(view, args=[one.pk]))
    return len(found)


def cancel_all(app: App, *, at: datetime, reason: str) -> None:
    """End every subscription of an app, sandboxes too, with its keys."""
    left = Subscription.objects.filter(app=app, state__in=LIVE)
    for subscription in left.select_for_update(of=("self",)).order_by("pk"):
        subscriptions.cancel(subscription, by=None, at=at, reason=reason)
