"""Whose usage a person may see.

Creators see how the apps of their teams are used, but not by whom: teams, cost centers, subscriptions and keys of
others are shown as one. Consumers see what their own teams used, owners of a cost center what is booked on it, finance
and operators of an organization what it pays for; finance, operators and approvers of the platform see all. The key of
an app sees what its makers see of it.
"""

from dataclasses import dataclass

from django.db.models import Q

from marketplace.accounts.access import PLATFORM_ROLES, Actor, Role
from marketplace.catalog.models import App, Environment
from metering.models import Attribution


@dataclass(frozen=True)
class UsageScope:
    """Which usage is visible, and of which of it every dimension is."""

    sees_all: bool = False
    user_id: int | None = None
    team_ids: frozenset[int] = frozenset()
    owned_team_ids: frozenset[int] = frozenset()
    organization_ids: frozenset[int] = frozenset()
    app_ids: frozenset[int] = frozenset()
    sees_production: bool = True

    @classmethod
    def of(cls, actor: Actor) -> "UsageScope":
        """Say what a person may see (no query)."""
        return cls(
            sees_all=actor.is_platform(*PLATFORM_ROLES),
            user_id=actor.user.pk,
            team_ids=actor.team_ids,
            owned_team_ids=actor.teams_as(Role.CREATOR),
            organization_ids=actor.organizations_as(Role.FINANCE, Role.OPERATOR),
        )

    @classmethod
    def of_app(cls, app_id: int, *, environment: str) -> "UsageScope":
        """Say what the key of an app may see: as it may report, one that is not of production sees nothing of that."""
        return cls(app_ids=frozenset({app_id}), sees_production=environment == Environment.PRODUCTION)

    def visible(self) -> Q:
        """Return the condition on attributions of all visible usage."""
        if self.sees_all:
            return Q()
        of_apps = Q(app_id__in=self.app_ids)
        if not self.sees_production:
            of_apps &= ~Q(environment=Environment.PRODUCTION)
        return self.known() | Q(owner_team_id__in=self.owned_team_ids) | of_apps

    def known(self) -> Q:
        """Return the condition on attributions of usage of which it is also visible who used and who paid it."""
        if self.sees_all:
            return Q()
        return (
            Q(team_id__in=self.team_ids)
            | Q(organization_id__in=self.organization_ids)
            | Q(cost_center__owner_id=self.user_id)
        )

    def knows(self, attribution: Attribution) -> bool:
        """Tell whether it is visible who used and who paid this; its cost center must be loaded."""
        return (
            self.sees_all
            or attribution.team_id in self.team_ids
            or attribution.organization_id in self.organization_ids
            or attribution.cost_center.owner_id == self.user_id
        )

    def answers_for(self, app: App) -> bool:
        """Tell whether an app is looked at by its makers, its own key or the platform."""
        return self.sees_all or app.owner_team_id in self.owned_team_ids or app.pk in self.app_ids


EVERYTHING = UsageScope(sees_all=True)
