"""Approval of subscriptions: the rules of an organization, requests under them, and who decides those."""

from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from functools import cached_property

from django.db import IntegrityError, transaction
from django.db.models import F, Q, QuerySet

from marketplace.accounts import access
from marketplace.accounts.access import Actor, Role
from marketplace.accounts.models import CostCenter, Membership, Organization, Team, User
from marketplace.catalog import listing_pages
from marketplace.catalog.approval_models import SubscriptionRequest, SubscriptionRule
from marketplace.catalog.models import App, Listing, Plan, Subscription, Version
from marketplace.catalog.plan_terms import terms_of
from marketplace.core import audit
from marketplace.core.errors import InvalidInput
from marketplace.core.money import to_text
from marketplace.core.notices import notify
from marketplace.core.transitions import move

DECIDERS = (Role.APPROVER, Role.FINANCE)
RELATED = (
    "app__owner_team__organization", "plan", "team__organization", "cost_center", "requested_by",
    "decided_by", "rule", "subscription",
)  # fmt: skip


@dataclass(frozen=True)
class Wanted:
    """A subscription that somebody wants, with the calls a month that are expected of it."""

    app: App
    plan: Plan
    team: Team
    cost_center: CostCenter
    environment: str
    calls: int

    @classmethod
    def of(
        cls, app: App, *, plan: Plan, team: Team, cost_center: CostCenter, environment: str, calls: int | None
    ) -> "Wanted":
        """Make one; without a number of calls it is the one that the app's owner expects."""
        version = _version_of(app)
        expected = calls or (version.expected_monthly_calls if version else 0)
        return cls(app, plan, team, cost_center, environment, expected)

    @cached_property
    def amount(self) -> Decimal:
        """What a month at so many calls costs, unrounded."""
        version = _version_of(self.app)
        cost = listing_pages.cost_per_call(version) if version else None
        return terms_of(self.plan).price_of_month(self.calls, cost_per_call=cost or Decimal(0))


def _version_of(app: App) -> Version | None:
    """Return the version that is in the catalogue; an app that was taken out of it has none."""
    listing: Listing | None = getattr(app, "listing", None)
    return listing.version if listing else None


def rule_for(wanted: Wanted) -> SubscriptionRule | None:
    """Return the rule by which a subscription needs approval; None when it needs none (one query).

    An amount in another currency than the rule's cannot be compared, and needs approval.
    """
    in_force = rules(wanted.team.organization).filter(Q(app=wanted.app) | Q(app=None))
    rule = in_force.order_by(F("app").asc(nulls_last=True)).first()
    if rule is None:
        return None
    is_below = rule.currency == wanted.plan.currency and wanted.amount < rule.from_amount
    return None if is_below else rule


def rule_for_change(
    subscription: Subscription, plan: Plan, *, calls: int | None = None
) -> SubscriptionRule | None:
    """Return the rule by which another plan needs approval; None when it needs none, or costs no more than now."""
    assert subscription.plan is not None
    after = wanted_change(subscription, plan, calls=calls)
    if after.amount <= replace(after, plan=subscription.plan).amount:
        return None
    return rule_for(after)


def wanted_change(subscription: Subscription, plan: Plan, *, calls: int | None = None) -> Wanted:
    """Return what a subscription would be on another plan."""
    return Wanted.of(
        subscription.app,
        plan=plan,
        team=subscription.team,
        cost_center=subscription.cost_center,
        environment=subscription.environment,
        calls=calls,
    )


def rules(organization: Organization) -> QuerySet[SubscriptionRule]:
    """Return the rules in force of an organization."""
    return SubscriptionRule.objects.filter(organization=organization, ended_at=None)


def set_rule(
    organization: Organization,
    *,
    app: App | None,
    from_amount: Decimal | None,
    currency: str,
    by: Actor,
    at: datetime,
) -> SubscriptionRule | None:
    """Say from which amount a month on subscriptions need approval; None ends the rule. Locks the organization.

    Raises NotAllowed for who is neither approver nor finance of it, InvalidInput for a negative amount.
    """
    access.require(may_decide_for(organization.pk, actor=by), message="This is for approvers and finance.")
    if from_amount is not None and from_amount < 0:
        raise InvalidInput("from_amount", "must not be negative")
    with transaction.atomic():
        Organization.objects.select_for_update().get(pk=organization.pk)
        rules(organization).filter(app=app).update(ended_at=at)
        rule = None
        if from_amount is not None:
            rule = SubscriptionRule.objects.create(
                organization=organization, app=app, from_amount=from_amount, currency=currency, set_by=by.user, set_at=at
            )  # fmt: skip
        new = {
            "app": app.slug if app else None,
            "from_amount": None if from_amount is None else to_text(from_amount),
        }
        audit.record("catalog.subscription_rule.set", subject=organization, at=at, by=by.user, new=new)
    return rule


def ask(wanted: Wanted, *, rule: SubscriptionRule, note: str, by: User, at: datetime) -> SubscriptionRequest:
    """Ask for a subscription; of two who ask at once, and of one who asks again, there is one open request."""
    identity = {"app": wanted.app, "team": wanted.team, "environment": wanted.environment}
    open_ones = SubscriptionRequest.objects.filter(**identity, state=SubscriptionRequest.State.OPEN)
    try:
        with transaction.atomic():
            request = SubscriptionRequest.objects.create(
                **identity,
                plan=wanted.plan,
                cost_center=wanted.cost_center,
                calls=wanted.calls,
                amount=wanted.amount,
                rule=rule,
                note=note,
                requested_by=by,
                requested_at=at,
            )
            audit.record("catalog.subscription_request.opened", subject=request, at=at, by=by)
            notify(
                deciders(request),
                text=f"{by} asks for {wanted.app} on {wanted.plan.name} for {wanted.team}.",
                at=at,
                key=f"subscription-request:{request.pk}",
                path=path_of(request),
            )
    except IntegrityError:
        return open_ones.get()
    return request


def close(
    request: SubscriptionRequest,
    *,
    to: str,
    by: User,
    at: datetime,
    reason: str = "",
    subscription: Subscription | None = None,
) -> None:
    """Decide or withdraw a request, and tell who asked. Raises IllegalTransition when it was closed before."""
    is_decided = to != SubscriptionRequest.State.WITHDRAWN
    decided = {"decided_by": by, "decided_at": at} if is_decided else {}
    with transaction.atomic():
        move(
            request,
            SubscriptionRequest.TRANSITIONS,
            to=to,
            action=f"catalog.subscription_request.{to}",
            at=at,
            by=by,
            reason=reason,
            changes={"reason": reason, "subscription": subscription} | decided,
        )
        if is_decided:
            because = f": {reason}" if reason else "."
            notify(
                [request.requested_by],
                text=f"Your request for {request.app} was {to}{because}",
                at=at,
                key=f"subscription-request-decided:{request.pk}",
                path=path_of(request),
            )


def visible_requests(actor: Actor) -> QuerySet[SubscriptionRequest]:
    """Requests of the actor's own teams, and those of organizations they decide for."""
    found = SubscriptionRequest.objects.select_related(*RELATED)
    if actor.is_platform(*DECIDERS):
        return found
    served = actor.organizations_as(*DECIDERS)
    return found.filter(Q(team__in=actor.team_ids) | Q(team__organization__in=served))


def count_waiting(actor: Actor) -> int:
    """Count the open requests that this person may decide on (one query)."""
    open_ones = SubscriptionRequest.objects.filter(state=SubscriptionRequest.State.OPEN)
    if not actor.is_platform(*DECIDERS):
        open_ones = open_ones.filter(team__organization__in=actor.organizations_as(*DECIDERS))
    return open_ones.exclude(requested_by=actor.user).count()


def may_decide(request: SubscriptionRequest, *, actor: Actor) -> bool:
    """Tell whether somebody may decide a request: not who asked."""
    is_other = actor.user.pk != request.requested_by_id
    return is_other and may_decide_for(request.team.organization_id, actor=actor)


def may_decide_for(organization_id: int, *, actor: Actor) -> bool:
    """Tell whether somebody decides requests and sets rules of an organization."""
    return actor.is_platform(*DECIDERS) or organization_id in actor.organizations_as(*DECIDERS)


def deciders(request: SubscriptionRequest) -> list[User]:
    """Return who may decide: approvers and finance of the organization, but who asked."""
    members = Membership.objects.filter(organization=request.team.organization, role__in=DECIDERS)
    people = User.objects.filter(pk__in=members.values("user"), is_active=True)
    return list(people.exclude(pk=request.requested_by_id))


def path_of(request: SubscriptionRequest) -> str:
    """Return where a request is looked at; the page is made above."""
    return f"/subscriptions/requests/{request.pk}/"
