"""The only way to an object: what a person may see and do, decided in one place.

Everything a view, an API or a command hands to the domain comes through ``get``: a queryset narrowed to what the actor
may see. What they may not know of is answered like what does not exist.
"""

from dataclasses import dataclass, field
from functools import cached_property
from typing import TypeVar

from django.core.exceptions import ObjectDoesNotExist, ValidationError
from django.db import DataError
from django.db.models import Model, Q, QuerySet

from marketplace.accounts.models import CostCenter, Membership, Organization, Team, User
from marketplace.core.errors import NotAllowed, NotFound

Role = Membership.Role
M = TypeVar("M", bound=Model)
NOT_A_KEY = (ObjectDoesNotExist, ValidationError, ValueError, TypeError, OverflowError, DataError)
PLATFORM_ROLES = frozenset({Role.APPROVER, Role.FINANCE, Role.OPERATOR})


@dataclass(frozen=True)
class Actor:
    """A signed-in person with their roles; made once a request."""

    user: User
    memberships: tuple[Membership, ...] = field(default=())

    @cached_property
    def organization_ids(self) -> frozenset[int]:
        return frozenset(m.organization_id for m in self.memberships)

    @cached_property
    def team_ids(self) -> frozenset[int]:
        """Teams the person belongs to in any role."""
        return frozenset(m.team_id for m in self.memberships if m.team_id is not None)

    @cached_property
    def roles(self) -> frozenset[str]:
        return frozenset(m.role for m in self.memberships)

    @cached_property
    def platform_roles(self) -> frozenset[str]:
        """Roles of the organization that runs the marketplace; they act on every organization's things."""
        return frozenset(
            m.role for m in self.memberships if m.organization.is_platform and m.role in PLATFORM_ROLES
        )

    def teams_as(self, role: str) -> frozenset[int]:
        """Return ids of the teams in which the person has this role."""
        return frozenset(m.team_id for m in self.memberships if m.role == role and m.team_id is not None)

    def organizations_as(self, *roles: str) -> frozenset[int]:
        """Return ids of the organizations in which the person has one of these roles (in any team or overall)."""
        return frozenset(m.organization_id for m in self.memberships if m.role in roles)

    def is_platform(self, *roles: str) -> bool:
        """Tell whether the person has one of these roles for the whole marketplace."""
        return bool(self.platform_roles.intersection(roles)) or self.user.is_superuser


def actor_for(user: User) -> Actor:
    """Load a person's roles (one query)."""
    return Actor(user, tuple(user.memberships.select_related("organization", "team")))


def get(queryset: QuerySet[M], /, **lookup: object) -> M:
    """Return exactly one object of an already narrowed queryset; raises NotFound.

    So it does for what cannot be a key at all: a damaged UUID, a number too large, a character no text may hold.
    """
    try:
        return queryset.get(**lookup)
    except NOT_A_KEY as error:
        key = ", ".join(str(value) for value in lookup.values())
        raise NotFound(str(queryset.model._meta.verbose_name), key) from error


def require(condition: bool, *, message: str) -> None:
    """Raise NotAllowed with a message for the person unless the condition holds."""
    if not condition:
        raise NotAllowed(message)


def require_platform(actor: Actor, *roles: str) -> None:
    """Raise NotAllowed unless the actor has one of these roles for the whole marketplace."""
    require(actor.is_platform(*roles), message=f"This is for {' or '.join(str(r) for r in roles)} only.")


def teams(actor: Actor) -> QuerySet[Team]:
    """Teams the person belongs to, or all of the organizations they serve as approver, finance or operator."""
    queryset = Team.objects.select_related("organization", "cost_center")
    if actor.is_platform(*PLATFORM_ROLES):
        return queryset
    served = actor.organizations_as(*PLATFORM_ROLES)
    return queryset.filter(Q(pk__in=actor.team_ids) | Q(organization__in=served))


def own_teams(actor: Actor, *, role: str) -> QuerySet[Team]:
    """Teams in which the person has this role and may act for."""
    return Team.objects.select_related("organization", "cost_center").filter(pk__in=actor.teams_as(role))


def cost_centers(actor: Actor) -> QuerySet[CostCenter]:
    """Cost centers of the person's teams, those they own, or all they serve as finance or operator."""
    queryset = CostCenter.objects.select_related("organization", "owner")
    if actor.is_platform(Role.FINANCE, Role.OPERATOR):
        return queryset
    served = actor.organizations_as(Role.FINANCE, Role.OPERATOR)
    return queryset.filter(
        Q(teams__in=actor.team_ids) | Q(owner=actor.user) | Q(organization__in=served)
    ).distinct()


def organizations(actor: Actor) -> QuerySet[Organization]:
    """Organizations the person belongs to, or all for the platform's own roles."""
    if actor.is_platform(*PLATFORM_ROLES):
        return Organization.objects.all()
    return Organization.objects.filter(pk__in=actor.organization_ids)


def platform_people(*roles: str) -> QuerySet[User]:
    """People who have one of these roles for the whole marketplace: whom to tell of its affairs."""
    of_platform = Membership.objects.filter(organization__is_platform=True, role__in=roles)
    return User.objects.filter(pk__in=of_platform.values("user"), is_active=True)
