"""Who keeps which channels: operators those of their organization, makers and budget owners those of their team."""

from dataclasses import dataclass

from django.db.models import Q, QuerySet

from marketplace.accounts.access import Actor, Role
from marketplace.accounts.models import Membership, Organization, Team, User
from marketplace.core.models import NoticeChannel


@dataclass(frozen=True)
class Place:
    """Whose notices a channel gets: a team's, or (team None) all of an organization."""

    organization: Organization
    team: Team | None = None

    @property
    def key(self) -> str:
        """Return what stands for it in forms and the API."""
        slug = self.organization.slug
        return f"{slug}/{self.team.slug}" if self.team else slug

    def __str__(self) -> str:
        if self.team:
            return f"{self.team.name}, {self.organization.name}"
        return f"All of {self.organization.name}"


def channels(actor: Actor) -> QuerySet[NoticeChannel]:
    """Channels that the actor keeps; nobody else sees them."""
    found = NoticeChannel.objects.select_related("organization", "team", "created_by")
    if actor.is_platform(Role.OPERATOR):
        return found
    return found.filter(
        Q(organization__in=actor.organizations_as(Role.OPERATOR))
        | Q(team__in=actor.teams_as(Role.CREATOR))
        | Q(team__cost_center__owner=actor.user)
    )


def places(actor: Actor) -> list[Place]:
    """Return what the actor may set up channels for (two queries)."""
    organizations, teams = Organization.objects.order_by("name"), Team.objects.select_related("organization")
    if not actor.is_platform(Role.OPERATOR):
        served = actor.organizations_as(Role.OPERATOR)
        organizations = organizations.filter(pk__in=served)
        teams = teams.filter(
            Q(organization__in=served)
            | Q(pk__in=actor.teams_as(Role.CREATOR))
            | Q(cost_center__owner=actor.user)
        )
    return [
        *(Place(one) for one in organizations),
        *(Place(team.organization, team) for team in teams.order_by("organization__name", "name")),
    ]


def keepers_of(channel: NoticeChannel) -> QuerySet[User]:
    """Return whom to tell of a channel: of a team its makers and who owns its cost center, of an organization its operators."""
    wanted = Q(pk=channel.created_by_id) | Q(
        memberships__in=Membership.objects.filter(
            organization=channel.organization_id, role=Role.OPERATOR, team=None
        )
    )
    if channel.team_id is not None:
        makers = Membership.objects.filter(team=channel.team_id, role=Role.CREATOR)
        wanted = (
            Q(pk=channel.created_by_id)
            | Q(memberships__in=makers)
            | Q(owned_cost_centers__teams=channel.team_id)
        )
    return User.objects.filter(wanted, is_active=True).distinct().order_by("pk")
