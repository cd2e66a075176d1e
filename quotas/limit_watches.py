"""Alerts that people set for themselves: at how many percent of a budget, or of the limits of a subscription."""

from datetime import datetime

from django.contrib.postgres.expressions import ArraySubquery
from django.db.models import OuterRef, QuerySet
from django.db.models.functions import JSONObject

from marketplace.accounts import access
from marketplace.accounts.access import Actor
from marketplace.accounts.models import User
from marketplace.catalog.models import Subscription
from marketplace.catalog.queries import visible_subscriptions
from marketplace.core.errors import InvalidInput
from quotas.budget_models import Budget, LimitWatch
from quotas.budgets import visible_budgets


def watch(
    *,
    percent: int,
    by: Actor,
    at: datetime,
    budget: Budget | None = None,
    subscription: Subscription | None = None,
) -> LimitWatch:
    """Let a person be told at so many percent of a budget, or of each limit of a subscription. Asked twice, it is one.

    Raises InvalidInput, and NotFound for what they may not see.
    """
    if not 1 <= percent <= 100:
        raise InvalidInput("percent", "must be a whole percentage from 1 to 100", limit=100)
    if budget is not None:
        access.get(visible_budgets(by), pk=budget.pk)
    else:
        access.get(visible_subscriptions(by), pk=subscription.pk if subscription else None)
    made, _ = LimitWatch.objects.get_or_create(
        person=by.user, budget=budget, subscription=subscription, percent=percent, defaults={"created_at": at}
    )
    return made


def unwatch(watch_id: object, *, by: Actor) -> LimitWatch:
    """Let a person not be told any more; returns what is gone. Raises NotFound for what is not theirs."""
    one = access.get(LimitWatch.objects.filter(person=by.user), pk=watch_id)
    LimitWatch.objects.filter(pk=one.pk).delete()
    return one


def with_watches(budgets: QuerySet[Budget], *, of: User) -> QuerySet[Budget]:
    """Add to budgets what a person wants to be told of, as ``my_watches``: key and percent of each."""
    own = LimitWatch.objects.filter(person=of, budget=OuterRef("pk")).order_by("percent")
    return budgets.annotate(my_watches=ArraySubquery(own.values(one=JSONObject(pk="pk", percent="percent"))))
