"""What a person may read about themselves and their organizations."""

from collections import defaultdict
from dataclasses import dataclass, field

from django.db.models import Prefetch, QuerySet

from marketplace.accounts import access
from marketplace.accounts.access import Actor
from marketplace.accounts.models import ApiKey, CostCenter, Membership, Organization, Team, User
from marketplace.core.models import KeptMail, Notice


@dataclass
class OrganizationView:
    """An organization with what of it the actor may see; ``teams`` carry their ``members``."""

    organization: Organization
    teams: list[Team] = field(default_factory=list)
    cost_centers: list[CostCenter] = field(default_factory=list)
    officers: list[Membership] = field(default_factory=list)


def organization_views(actor: Actor) -> list[OrganizationView]:
    """Show every organization the actor belongs to or serves, by name (five queries)."""
    views = {
        organization.pk: OrganizationView(organization)
        for organization in access.organizations(actor).order_by("name")
    }
    members = Membership.objects.select_related("user").order_by("user__email", "role")
    teams = access.teams(actor).prefetch_related(Prefetch("memberships", members, to_attr="members"))
    for team in teams.order_by("name"):
        views[team.organization_id].teams.append(team)
    for cost_center in access.cost_centers(actor).order_by("code"):
        # Somebody may own a cost center of an organization they do not belong to.
        if view := views.get(cost_center.organization_id):
            view.cost_centers.append(cost_center)
    for membership in members.filter(organization__in=views, team=None):
        views[membership.organization_id].officers.append(membership)
    return list(views.values())


def people_of(team: Team) -> list[tuple[User, list[str]]]:
    """Group the memberships of a team that was loaded by ``organization_views``: each person with their roles."""
    roles: dict[User, list[str]] = defaultdict(list)
    for membership in team.members:  # type: ignore[attr-defined]
        roles[membership.user].append(membership.role)
    return list(roles.items())


def personal_keys(person: User) -> QuerySet[ApiKey]:
    """Keys of a person, newest first, ended ones included."""
    return ApiKey.objects.filter(user=person, kind=ApiKey.Kind.PAT).order_by("-created_at", "-pk")


def notices_of(
    person: User, *, kind: str = "", is_read: bool | None = None, text: str = ""
) -> QuerySet[Notice]:
    """What a person has been told, newest first: all of it, of one kind, new or read, with these words."""
    found = Notice.objects.filter(recipient=person)
    if kind:
        found = found.filter(kind=kind)
    if is_read is not None:
        found = found.filter(read_at__isnull=not is_read)
    for word in text.split():
        found = found.filter(text__icontains=word)
    return found.order_by("-created_at", "-pk")


def kept_mails_of(person: User) -> QuerySet[KeptMail]:
    """Mails that a person would have got in the demo world, newest first."""
    return KeptMail.objects.filter(address=person.email.lower()).order_by("-sent_at", "-pk")


def unread_notices(person: User) -> int:
    """Count what a person has been told and not yet marked as read."""
    return Notice.objects.filter(recipient=person, read_at=None).count()
