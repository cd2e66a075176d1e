"""Whom a limit concerns: who is told of it, at which percentages, and where they look."""

from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from django.db.models import Q
from django.urls import reverse

from marketplace.accounts import access
from marketplace.accounts.access import Role
from marketplace.accounts.models import Membership, User
from marketplace.catalog.models import Subscription
from marketplace.catalog.queries import visible_subscriptions
from quotas.budget_models import Budget, LimitWatch
from quotas.budgets import RELATED, finance_of, owner_of_budget, visible_budgets, who_answers
from quotas.models import Limit

SUBSCRIPTION_THRESHOLDS = (80, 95)
Thing = tuple[str, Any]


@dataclass
class Audience:
    """Whom a limit concerns: at which thresholds everybody is told, who else wants to be at which percent, and where to look."""

    thresholds: Collection[int]
    people: list[User]
    what: str
    path: str
    budget_id: UUID | None = None
    subscription_id: UUID | None = None
    watchers: dict[int, list[User]] = field(default_factory=lambda: defaultdict(list))

    @property
    def everybody(self) -> set[User]:
        """Its people and all who set an alert."""
        return {*self.people, *(person for each in self.watchers.values() for person in each)}

    @property
    def percents(self) -> set[int]:
        return {*self.thresholds, *self.watchers}

    def to_tell(self, percents: Iterable[int]) -> set[User]:
        """Return everybody who is to be told at one of these."""
        told = {person for percent in percents for person in self.watchers.get(percent, ())}
        return told | set(self.people) if set(percents) & set(self.thresholds) else told

    def may_see(self, person: User) -> bool:
        """Tell whether somebody may still see what they wanted to be told of; its people always may."""
        if person in self.people:
            return True
        actor = access.actor_for(person)
        if self.subscription_id is not None:
            return visible_subscriptions(actor).filter(pk=self.subscription_id).exists()
        return visible_budgets(actor).filter(pk__in=[self.budget_id]).exists()


def thing_of(limit: Limit) -> Thing:
    """Return whose limit it is: kind and primary key."""
    return limit.owner_kind, limit.owner_id


def audiences(things: Collection[Thing]) -> dict[Thing, Audience]:
    """Find whom to tell of budgets and subscriptions (at most seven queries, and one for each organization)."""
    subscription_ids = {key for kind, key in things if kind == "subscription"}
    found: dict[Thing, Audience] = {}
    if len(things) > len(subscription_ids):
        found |= _of_budget_people(things)
    if subscription_ids:
        found |= _of_subscription_people(subscription_ids)
    return found


def _of_budget_people(things: Collection[Thing]) -> dict[Thing, Audience]:
    of_kind = {kind: [key for one, key in things if one == kind] for kind in ("cost_center", "team")}
    budgets = Budget.objects.filter(
        Q(cost_center__in=of_kind["cost_center"]) | Q(team__in=of_kind["team"])
    ).select_related(*RELATED)
    finance: dict[int, list[User]] = {}
    found = {}
    for budget in budgets.prefetch_related("watches__person"):
        organization_id = owner_of_budget(budget).organization_id
        if organization_id not in finance:
            finance[organization_id] = finance_of(organization_id)
        audience = Audience(
            thresholds=budget.thresholds,
            people=[who_answers(budget), *finance[organization_id]],
            what=f"The {budget}",
            path=reverse("quotas:budget", args=[budget.pk]),
            budget_id=budget.pk,
        )
        for one in budget.watches.all():
            audience.watchers[one.percent].append(one.person)
        found[budget.owner_key] = audience
    return found


def _of_subscription_people(ids: Collection[Any]) -> dict[Thing, Audience]:
    subscriptions = list(Subscription.objects.filter(pk__in=ids).select_related("app", "team", "created_by"))
    consumers: dict[int, list[User]] = defaultdict(list)
    members = Membership.objects.filter(
        team__in={one.team_id for one in subscriptions}, role=Role.CONSUMER, user__is_active=True
    )
    for membership in members.select_related("user"):
        consumers[membership.team_id or 0].append(membership.user)
    found: dict[Thing, Audience] = {}
    for one in subscriptions:
        found["subscription", one.pk] = Audience(
            thresholds=SUBSCRIPTION_THRESHOLDS,
            people=consumers[one.team_id] or [one.created_by],
            what=f"{one.app.name} for {one.team.name}",
            path=reverse("quotas:limits", args=["subscription", one.pk]),
            subscription_id=one.pk,
        )
    for watching in LimitWatch.objects.filter(subscription__in=ids).select_related("person"):
        found["subscription", watching.subscription_id].watchers[watching.percent].append(watching.person)
    return found
