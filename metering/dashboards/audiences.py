"""Who may look at the page of a team or cost center: those whose scope of usage holds all of it."""

from typing import TypeVar

from django.db.models import Model, Q, QuerySet

from marketplace.accounts.access import PLATFORM_ROLES, Actor, Role
from marketplace.accounts.models import CostCenter, Team
from marketplace.core.errors import NotFound

M = TypeVar("M", bound=Model)


def teams(actor: Actor) -> QuerySet[Team]:
    """Teams the person belongs to, those of organizations they serve as finance or operator, or all for the platform."""
    found = Team.objects.select_related("organization", "cost_center__organization")
    if actor.is_platform(*PLATFORM_ROLES):
        return found
    served = actor.organizations_as(Role.FINANCE, Role.OPERATOR)
    return found.filter(Q(pk__in=actor.team_ids) | Q(organization__in=served))


def cost_centers(actor: Actor) -> QuerySet[CostCenter]:
    """Cost centers the person owns, those of organizations they serve as finance or operator, or all for the platform."""
    found = CostCenter.objects.select_related("organization", "owner")
    if actor.is_platform(*PLATFORM_ROLES):
        return found
    served = actor.organizations_as(Role.FINANCE, Role.OPERATOR)
    return found.filter(Q(owner=actor.user) | Q(organization__in=served))


def find(visible: QuerySet[M], name: str, *, field: str) -> M:
    """Return the one thing of a name, or "organization/name"; raises NotFound, also when several have it."""
    # No name holds such a character, and the database would refuse to look for it.
    name = name.replace("\0", "\N{REPLACEMENT CHARACTER}")
    organization, slash, rest = name.partition("/")
    named = Q(**{field: name})
    if slash:
        named |= Q(**{field: rest, "organization__slug": organization})
    found = list(visible.filter(named)[:2])
    if len(found) != 1:
        raise NotFound(str(visible.model._meta.verbose_name), name)
    return found[0]


def name_of(one: Team | CostCenter) -> str:
    """Return the name that is unique over all organizations; the thing came with its organization."""
    return f"{one.organization.slug}/{one.slug if isinstance(one, Team) else one.code}"
