"""A team's right to call an app: started, moved to another plan, canceled, and the keys it calls with."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db import IntegrityError, transaction

from marketplace.accounts import keys
from marketplace.accounts.models import ApiKey, CostCenter, Team, User
from marketplace.catalog import agreements, pauses, planned_steps, subscription_approvals, trials
from marketplace.catalog.approval_models import SubscriptionRequest
from marketplace.catalog.models import App, AppKey, Environment, Plan, Subscription, SubscriptionKey, Version
from marketplace.catalog.subscription_approvals import Wanted
from marketplace.catalog.version_models import Deprecation
from marketplace.core import audit
from marketplace.core.errors import Conflict, InvalidInput
from marketplace.core.transitions import move

# The sandbox has a credit instead of a plan.
BILLED = (Environment.PRODUCTION, Environment.STAGING)


class NotListed(Conflict):
    """The app takes no new subscriptions: it is not in the catalogue, or not any more."""

    code = "not_listed"

    def __init__(self, app: App) -> None:
        self.app = app
        super().__init__(f"{app.name} is not listed at the moment and takes no new subscriptions.")


class EndsSoon(Conflict):
    """The end of the app is announced; nobody new subscribes."""

    code = "ends_soon"

    def __init__(self, app: App, ends_at: datetime) -> None:
        self.app, self.ends_at = app, ends_at
        super().__init__(f"{app.name} ends on {ends_at:%-d %b %Y} and takes no new subscriptions.")


class ApprovalNeeded(Conflict):
    """A rule of the organization asks for approval of this subscription."""

    code = "approval_needed"

    def __init__(self, app: App) -> None:
        self.app = app
        super().__init__(
            f"Your organization wants subscriptions like this one approved. Ask for it at "
            f"/catalog/{app.slug}/subscribe/"
        )


class AlreadySubscribed(Conflict):
    """The team has this app on other terms; those are changed, not bought twice."""

    code = "already_subscribed"

    def __init__(self, subscription: Subscription) -> None:
        self.subscription = subscription
        super().__init__(
            f"{subscription.team.name} already has {subscription.app.name} on the plan "
            f"{subscription.plan} and {subscription.cost_center}. Change that subscription instead."
        )


class NotActive(Conflict):
    """The subscription is suspended or canceled."""

    code = "not_active"

    def __init__(self, subscription: Subscription) -> None:
        self.subscription = subscription
        what = "paused: resume it first" if subscription.state == "paused" else subscription.state
        super().__init__(f"This subscription is {what}.")


def start(
    app: App,
    *,
    plan: Plan,
    team: Team,
    cost_center: CostCenter,
    by: User,
    at: datetime,
    environment: str = Environment.PRODUCTION,
    calls: int | None = None,
    approval: SubscriptionRequest | None = None,
    shown: Mapping[str, Any] | None = None,
) -> Subscription:
    """Subscribe a team to an app on a plan, booked on a cost center of the team's organization.

    Calling again on the same terms returns the first subscription. What was agreed is kept, with the amounts that
    were ``shown``. ``calls`` are those expected a month, without a number those that the app's owner expects. Raises
    InvalidInput for a plan, cost center or environment that does not fit, NotListed, ApprovalNeeded when a rule of the
    organization asks for an ``approval``, and AlreadySubscribed when the team has the app on other terms.
    """
    _require_listed(app, team=team)
    _require_offered(plan, app=app)
    _require_own(cost_center, team=team)
    if environment not in BILLED:
        raise InvalidInput("environment", f"must be one of {', '.join(BILLED)}")
    wanted = Wanted.of(
        app, plan=plan, team=team, cost_center=cost_center, environment=environment, calls=calls
    )
    if approval is None and subscription_approvals.rule_for(wanted) is not None:
        raise ApprovalNeeded(app)
    terms = {"plan": plan, "cost_center": cost_center}
    subscription, is_new = _get_or_create(
        app, team=team, environment=environment, by=by, at=at, shown=shown, **terms
    )
    if not is_new and (subscription.plan_id, subscription.cost_center_id) != (plan.pk, cost_center.pk):
        raise AlreadySubscribed(subscription)
    return subscription


def sandbox_for(app: App, *, team: Team, by: User, at: datetime, credit: Decimal) -> Subscription:
    """Return the team's sandbox of an app, made with this monthly credit when there is none yet.

    Never billed. A sandbox that exists keeps its credit. Raises NotListed.
    """
    # The owner tries an app before anybody else can see it.
    if app.owner_team_id != team.pk:
        _require_listed(app, team=team)
    subscription, _ = _get_or_create(
        app,
        team=team,
        environment=Environment.SANDBOX,
        by=by,
        at=at,
        cost_center=team.cost_center,
        sandbox_credit=credit,
    )
    return subscription


def change_plan(
    subscription: Subscription,
    *,
    plan: Plan,
    by: User,
    at: datetime,
    calls: int | None = None,
    approval: SubscriptionRequest | None = None,
    shown: Mapping[str, Any] | None = None,
) -> None:
    """Move a subscription to another plan of the same app from now on; the same plan changes nothing.

    Its limits follow in the same transaction; what is used of the window stays used. Raises InvalidInput,
    NotActive, ApprovalNeeded for a plan that costs more and needs an ``approval``, or Conflict when somebody else changed the plan at the same moment.
    """
    if subscription.plan_id == plan.pk:
        return
    if subscription.environment not in BILLED:
        raise InvalidInput("plan", "A sandbox has no plan.")
    _require_offered(plan, app=subscription.app)
    if approval is None and subscription_approvals.rule_for_change(subscription, plan, calls=calls):
        raise ApprovalNeeded(subscription.app)
    with transaction.atomic():
        changed = Subscription.objects.filter(
            pk=subscription.pk, state=Subscription.State.ACTIVE, plan=subscription.plan_id
        ).update(plan=plan)
        if not changed:
            _explain_unchanged(subscription)
        audit.record(
            "catalog.subscription.plan_changed",
            subject=subscription,
            at=at,
            by=by,
            old={"plan": subscription.plan_id},
            new={"plan": plan.pk},
        )
        planned_steps.call_off_waiting(subscription, by=by, at=at)
        trials.end(subscription, at=at)
        subscription.plan = plan
        agreements.keep(subscription, agreements.Step.CHANGED, shown=shown or {}, by=by, at=at)


def require_change(subscription: Subscription, plan: Plan) -> None:
    """Raise NotActive, InvalidInput or ApprovalNeeded unless a subscription may move to a plan, now or later."""
    if subscription.state != Subscription.State.ACTIVE:
        raise NotActive(subscription)
    if subscription.environment not in BILLED:
        raise InvalidInput("plan", "A sandbox has no plan.")
    _require_offered(plan, app=subscription.app)
    if subscription_approvals.rule_for_change(subscription, plan):
        raise ApprovalNeeded(subscription.app)


def cancel(
    subscription: Subscription,
    *,
    by: User | None,
    at: datetime,
    reason: str = "",
    shown: Mapping[str, Any] | None = None,
) -> None:
    """End a subscription and all its keys at once; without a person, because its app ended.

    Raises IllegalTransition when it had ended before.
    """
    with transaction.atomic():
        move(
            subscription,
            Subscription.TRANSITIONS,
            to=Subscription.State.CANCELED,
            action="catalog.subscription.canceled",
            at=at,
            by=by,
            reason=reason,
            changes={"ends_at": at},
        )
        planned_steps.call_off_waiting(subscription, by=by, at=at)
        pauses.end_open(subscription, by=by, at=at)
        trials.end(subscription, at=at)
        if by is not None:
            agreements.keep(subscription, agreements.Step.CANCELED, shown=shown or {}, by=by, at=at)
        for link in subscription.key_links.select_related("key"):
            keys.revoke(link.key, at=at, by=by, reason="subscription canceled")


def issue_subscription_key(
    subscription: Subscription,
    *,
    by: User | None,
    at: datetime,
    name: str = "",
    expires_at: datetime | None = None,
) -> tuple[ApiKey, str]:
    """Make a key that calls on this subscription; its text cannot be had again. Raises NotActive."""
    if subscription.state != Subscription.State.ACTIVE:
        raise NotActive(subscription)
    with transaction.atomic():
        key, text = keys.issue(
            kind=ApiKey.Kind.SUB,
            organization=subscription.team.organization,
            at=at,
            by=by,
            name=name,
            expires_at=expires_at,
        )
        SubscriptionKey.objects.create(key=key, subscription=subscription)
    return key, text


def rotate_subscription_key(
    link: SubscriptionKey, *, overlap: timedelta, by: User, at: datetime
) -> tuple[ApiKey, str]:
    """Make a new key of the same name and let the old one work for ``overlap`` more.

    Raises NotActive, and Conflict when the old key has ended.
    """
    old = link.key
    if not old.is_valid(at):
        raise Conflict("This key has ended. Make a new one instead.")
    with transaction.atomic():
        key, text = issue_subscription_key(link.subscription, by=by, at=at, name=old.name)
        last_moment = at + overlap
        if old.expires_at is None or old.expires_at > last_moment:
            ApiKey.objects.filter(pk=old.pk).update(expires_at=last_moment)
            old.expires_at = last_moment
        audit.record(
            "accounts.key.rotated",
            subject=old,
            at=at,
            by=by,
            new={"key": str(key), "expires_at": str(old.expires_at)},
        )
    return key, text


def issue_app_key(
    app: App,
    *,
    environment: str,
    by: User | None,
    at: datetime,
    name: str = "",
    expires_at: datetime | None = None,
) -> tuple[ApiKey, str]:
    """Make a key with which an app reports its usage in one environment; its text cannot be had again."""
    if environment not in Environment.values:
        raise InvalidInput("environment", f"must be one of {', '.join(Environment.values)}")
    with transaction.atomic():
        key, text = keys.issue(
            kind=ApiKey.Kind.APP,
            organization=app.owner_team.organization,
            at=at,
            by=by,
            name=name,
            expires_at=expires_at,
        )
        AppKey.objects.create(key=key, app=app, environment=environment)
    return key, text


def _get_or_create(
    app: App,
    *,
    team: Team,
    environment: str,
    by: User,
    at: datetime,
    shown: Mapping[str, Any] | None = None,
    **terms: Any,
) -> tuple[Subscription, bool]:
    """Insert, or return what was there first: of two at once, the unique constraint lets one insert."""
    current = Subscription.objects.select_related("app", "team__organization", "plan", "cost_center").exclude(
        state=Subscription.State.CANCELED
    )
    identity = {"app": app, "team": team, "environment": environment}
    if found := current.filter(**identity).first():
        return found, False
    if environment == Environment.PRODUCTION:
        _require_staying(app)
    try:
        with transaction.atomic():
            subscription = Subscription.objects.create(**identity, **terms, starts_at=at, created_by=by)
            audit.record(
                "catalog.subscription.started",
                subject=subscription,
                at=at,
                by=by,
                new={"app": app.slug, "team": team.slug, "environment": environment},
            )
            agreements.keep(subscription, agreements.Step.STARTED, shown=shown or {}, by=by, at=at)
            trials.begin(subscription, at=at)
    except IntegrityError:
        return current.get(**identity), False
    return subscription, True


def _require_listed(app: App, *, team: Team) -> None:
    listing = getattr(app, "listing", None)
    is_offered_to = app.is_public or app.owner_team.organization_id == team.organization_id
    if listing is None or listing.version.state != Version.State.LISTED or not is_offered_to:
        raise NotListed(app)


def _require_staying(app: App) -> None:
    ending = Deprecation.objects.filter(app=app, state=Deprecation.State.ANNOUNCED).first()
    if ending is not None:
        raise EndsSoon(app, ending.ends_at)


def _require_offered(plan: Plan, *, app: App) -> None:
    if plan.app_id != app.pk or not plan.is_offered:
        raise InvalidInput("plan", "is not a plan that this app offers now.")


def _require_own(cost_center: CostCenter, *, team: Team) -> None:
    if cost_center.organization_id != team.organization_id:
        raise InvalidInput("cost_center", "belongs to another organization.")


def _explain_unchanged(subscription: Subscription) -> None:
    subscription.refresh_from_db(fields=["state", "plan"])
    if subscription.state != Subscription.State.ACTIVE:
        raise NotActive(subscription)
    raise Conflict("Somebody else changed the plan a moment ago. Look again.")
