"""Pausing a subscription: its calls are refused and its fees stop by the day, until it is resumed."""

from datetime import datetime

from django.db import transaction

from marketplace.accounts.models import User
from marketplace.catalog import agreements
from marketplace.catalog.lifecycle_models import SubscriptionPause
from marketplace.catalog.models import Subscription
from marketplace.core.errors import InvalidInput
from marketplace.core.transitions import Transitions, move

LONGEST_REASON = 500
# A suspended one becomes active by whoever suspended it, not by its consumer.
RESUMING: Transitions = {"paused": frozenset({"active"})}


def pause(subscription: Subscription, *, by: User, at: datetime, reason: str = "") -> SubscriptionPause:
    """Stop a subscription from the next call on; whole days (UTC) of the pause cost no fee.

    Keys, limits and what is used stay. Raises InvalidInput for a sandbox, IllegalTransition when it is not active.
    """
    if subscription.plan_id is None:
        raise InvalidInput("subscription", "is a sandbox, which costs nothing to keep.")
    if len(reason) > LONGEST_REASON:
        raise InvalidInput("reason", f"must be at most {LONGEST_REASON} characters", limit=LONGEST_REASON)
    with transaction.atomic():
        move(
            subscription,
            Subscription.TRANSITIONS,
            to=Subscription.State.PAUSED,
            action="catalog.subscription.paused",
            at=at,
            by=by,
            reason=reason,
        )
        agreements.keep(subscription, agreements.Step.PAUSED, shown={}, by=by, at=at)
        return SubscriptionPause.objects.create(
            subscription=subscription, starts_at=at, reason=reason, paused_by=by
        )


def resume(subscription: Subscription, *, by: User, at: datetime) -> None:
    """Let a paused subscription call again; today is charged. Raises IllegalTransition when it is not paused."""
    with transaction.atomic():
        move(
            subscription,
            RESUMING,
            to=Subscription.State.ACTIVE,
            action="catalog.subscription.resumed",
            at=at,
            by=by,
        )
        agreements.keep(subscription, agreements.Step.RESUMED, shown={}, by=by, at=at)
        end_open(subscription, by=by, at=at)


def end_open(subscription: Subscription, *, by: User | None, at: datetime) -> None:
    """Let the pause end that a subscription is in, if it is in one."""
    SubscriptionPause.objects.filter(subscription=subscription, ends_at=None).update(
        ends_at=at, resumed_by=by
    )


def open_pause(subscription: Subscription) -> SubscriptionPause | None:
    """Return the pause that a subscription is in."""
    return subscription.pauses.filter(ends_at=None).select_related("paused_by").first()
