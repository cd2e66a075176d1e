"""The first days of a subscription without a fee: begun once for an organization and app, ended by time or another plan."""

from datetime import UTC, datetime, time, timedelta

from django.db import IntegrityError, transaction

from marketplace.accounts.models import User
from marketplace.catalog.lifecycle_models import Trial
from marketplace.catalog.models import Environment, Plan, Subscription
from marketplace.core import audit
from marketplace.core.errors import Conflict, InvalidInput


class TrialOver(Conflict):
    """Nothing is to be decided of a trial that is over."""

    code = "trial_over"

    def __init__(self, trial: Trial) -> None:
        self.trial = trial
        super().__init__(f"This trial ended on {trial.ends_at:%-d %b %Y}.")


def end_of(plan: Plan, *, organization_id: int, environment: str, at: datetime) -> datetime | None:
    """Say until when a subscription that starts now would cost no fee; None without a trial.

    The day of the start is the first of its days. What an organization tried before, in whatever plan, it pays for.
    """
    if not plan.trial_days or environment != Environment.PRODUCTION:
        return None
    if Trial.objects.filter(organization=organization_id, app=plan.app_id).exists():
        return None
    first = datetime.combine(at.astimezone(UTC).date(), time(), tzinfo=UTC)
    return first + timedelta(days=plan.trial_days)


def begin(subscription: Subscription, *, at: datetime) -> Trial | None:
    """Begin the trial of a subscription that starts now, in the caller's transaction; None when it has none."""
    plan = subscription.plan
    if plan is None:
        return None
    team = subscription.team
    ends_at = end_of(plan, organization_id=team.organization_id, environment=subscription.environment, at=at)
    if ends_at is None:
        return None
    try:
        with transaction.atomic():
            return Trial.objects.create(
                subscription=subscription,
                organization_id=team.organization_id,
                app_id=plan.app_id,
                starts_at=at,
                ends_at=ends_at,
            )
    except IntegrityError:  # another team of the organization was faster
        return None


def running(subscription: Subscription, *, at: datetime) -> Trial | None:
    """Return the trial that a subscription is in."""
    return Trial.objects.filter(subscription=subscription, ends_at__gt=at, over_at=None).first()


def end(subscription: Subscription, *, at: datetime) -> None:
    """Let the trial of a subscription end now, if it is in one: another plan was taken, or it ends altogether."""
    found = Trial.objects.filter(subscription=subscription, over_at=None)
    found.filter(ends_at__gt=at).update(ends_at=at, over_at=at)
    found.update(over_at=at)


def decide(trial: Trial, *, then: str, by: User, at: datetime) -> None:
    """Say what comes when a trial ends. Raises InvalidInput, TrialOver."""
    if then not in Trial.Then.values:
        raise InvalidInput("then", f"must be one of {', '.join(Trial.Then.values)}")
    with transaction.atomic():
        old = trial.then
        if not Trial.objects.filter(pk=trial.pk, over_at=None, ends_at__gt=at).update(then=then):
            raise TrialOver(trial)
        trial.then = then
        audit.record(
            "catalog.trial.decided",
            subject=trial.subscription,
            at=at,
            by=by,
            old={"then": old},
            new={"then": then},
        )
