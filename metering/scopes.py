"""Whose usage a person may see.

Creators see how the apps of their teams are used, but not by whom: teams, cost centers, subscriptions and keys of
others are shown as one. Consumers see what their own teams used, owners of a cost center what is booked on it, finance
and operators of an organization what it pays for; finance, operators and approvers of the platform see all.
"""

from dataclasses import dataclass

from django.db.models import Q

from marketplace.accounts.access import PLATFORM_ROLES, Actor, Role


@dataclass(frozen=True)
class UsageScope:
    """Which usage is visible, and of which of it every dimension is."""

    sees_all: bool = False
    user_id: int | None = None
    team_ids: frozenset[int] = frozenset()
    owned_team_ids: frozenset[int] = frozenset()
    organization_ids: frozenset[int] = frozenset()

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

    def visible(self) -> Q:
        """Return the condition on attributions of all visible usage."""
        return Q() if self.sees_all else self.known() | Q(owner_team_id__in=self.owned_team_ids)

    def known(self) -> Q:
        """Return the condition on attributions of usage of which it is also visible who used and who paid it."""
        if self.sees_all:
            return Q()
        return (
            Q(team_id__in=self.team_ids)
            | Q(organization_id__in=self.organization_ids)
            | Q(cost_center__owner_id=self.user_id)
        )


EVERYTHING = UsageScope(sees_all=True)
