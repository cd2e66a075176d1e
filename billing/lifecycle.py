"""What comes to subscriptions by their date: planned steps, ends of trials, caps that follow their plan."""

from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import QuerySet
from django.urls import reverse

from billing import spend_caps
from billing.subscription_money import fee_of_month
from marketplace.catalog import subscribers, subscription_steps, subscriptions
from marketplace.catalog.lifecycle_models import PlannedStep, Trial
from marketplace.catalog.models import Subscription
from marketplace.core.money import format_money
from marketplace.core.notices import Kind as NoticeKind
from marketplace.core.notices import notify

TOLD_BEFORE = timedelta(days=3)


def tend(*, at: datetime) -> None:
    """Do what is due of subscriptions; safe to run twice and on many workers at once."""
    tell_of_trials(at=at)
    end_trials(at=at)
    subscription_steps.take_due_steps(at=at)
    tell_of_steps(at=at)
    spend_caps.follow_all(at=at)


def tell_of_trials(*, at: datetime) -> int:
    """Tell people three days before a trial ends what comes then, once; returns of how many trials."""
    ending = Trial.objects.filter(over_at=None, ends_at__gt=at, ends_at__lte=at + TOLD_BEFORE)
    found = list(_trials(ending))
    for trial in found:
        _tell(trial.subscription, what_comes(trial), key=f"trial-ends:{trial.pk}:{trial.then}", at=at)
    return len(found)


def what_comes(trial: Trial) -> str:
    """Say in a sentence what comes when a trial ends."""
    subscription = trial.subscription
    day = f"{trial.ends_at:%-d %B %Y}"
    if trial.then == Trial.Then.CANCEL:
        return f"The trial of {subscription.app} ends on {day}, and the subscription with it, as you chose."
    assert subscription.plan is not None
    fee = format_money(fee_of_month(subscription.plan, at=trial.ends_at), subscription.plan.currency)
    then = f"From then on {subscription.plan.name} costs {fee} a month; you can end it before."
    return f"The trial of {subscription.app} ends on {day}. {then}"


def end_trials(*, at: datetime) -> int:
    """Do what was chosen when trials end: go on, or end the subscription, as of that day; returns how many."""
    over = Trial.objects.filter(over_at=None, ends_at__lte=at)
    return sum(_ended(trial, at=at) for trial in _trials(over).order_by("ends_at", "pk"))


def _ended(trial: Trial, *, at: datetime) -> bool:
    with transaction.atomic():
        subscription = Subscription.objects.select_for_update(of=("self",)).get(pk=trial.pk)
        if not Trial.objects.filter(pk=trial.pk, over_at=None).update(over_at=at):
            return False
        if trial.then == Trial.Then.CANCEL and subscription.state != Subscription.State.CANCELED:
            subscriptions.cancel(trial.subscription, by=None, at=trial.ends_at, reason="The trial ended.")
        return True


def _trials(trials: QuerySet[Trial]) -> QuerySet[Trial]:
    return trials.select_related("subscription__app", "subscription__plan", "subscription__team")


def tell_of_steps(*, at: datetime) -> int:
    """Tell people of planned steps that were taken lately, once each; returns of how many."""
    taken = PlannedStep.objects.filter(state=PlannedStep.State.DONE, ended_at__gt=at - timedelta(days=1))
    found = list(taken.select_related("subscription__app", "subscription__team", "plan"))
    for planned in found:
        subscription = planned.subscription
        done = f"is on {planned.plan.name} now" if planned.plan else "has ended"
        text = f"The subscription to {subscription.app} {done}, as was planned."
        _tell(subscription, text, key=f"step-taken:{planned.pk}", at=at)
    return len(found)


def _tell(subscription: Subscription, text: str, *, key: str, at: datetime) -> None:
    notify(
        subscribers.people_of(subscription),
        text=text,
        at=at,
        key=key,
        path=reverse("catalog:subscription", args=[subscription.pk]),
        kind=NoticeKind.BILLING,
        team=subscription.team,
    )
