"""How an organization begins and grows: a cost center, a team, one person who can do everything in it, then more.

The first organization of an installation is the platform's own, so its person can approve, close months and operate.
"""

from dataclasses import dataclass
from datetime import datetime

from allauth.account.models import EmailAddress
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import IntegrityError, transaction
from django.utils.text import slugify

from marketplace.accounts.models import CostCenter, Membership, Organization, Team, User
from marketplace.core import audit
from marketplace.core.errors import Conflict, InvalidInput, NotFound

Role = Membership.Role
TEAM_ROLES = (Role.CREATOR, Role.CONSUMER)
OFFICER_ROLES = (Role.APPROVER, Role.FINANCE, Role.OPERATOR)
MAX_SLUG, MAX_NAME = 60, 120
FIRST_COST_CENTER = ("CC-1", "General")


class OrganizationExists(Conflict):
    """Another organization has this name or slug."""

    code = "organization_exists"

    def __init__(self, slug: str) -> None:
        self.slug = slug
        super().__init__(f"There is an organization {slug!r} already: choose another name or another --slug.")


@dataclass(frozen=True)
class Founding:
    """What is asked for; an empty slug is made from the name."""

    name: str
    admin_email: str
    team_name: str = "First team"
    slug: str = ""
    currency: str = "USD"
    billing: str = Organization.Billing.CHARGEBACK


@dataclass(frozen=True)
class Founded:
    """What was made. ``is_new_person`` is false when the mail address was known before."""

    organization: Organization
    cost_center: CostCenter
    team: Team
    person: User
    is_new_person: bool


@transaction.atomic
def create_organization(asked: Founding, *, at: datetime) -> Founded:
    """Make an organization with its first cost center, team and person; the first one ever is the platform's.

    The person has every role in it and cannot sign in until they set a password. Raises InvalidInput,
    OrganizationExists.
    """
    slug = _slug(asked)
    person, is_new = _person(asked.admin_email, at=at)
    organization = _organization(asked, slug, at=at)
    code, name = FIRST_COST_CENTER
    cost_center = CostCenter.objects.create(
        organization=organization, code=code, name=name, owner=person, created_at=at
    )
    team = Team.objects.create(
        organization=organization,
        slug=slugify(asked.team_name)[:MAX_SLUG] or "team",
        name=asked.team_name,
        cost_center=cost_center,
        created_at=at,
    )
    Membership.objects.bulk_create(
        [
            *(
                Membership(user=person, organization=organization, role=role, created_at=at)
                for role in OFFICER_ROLES
            ),
            *(
                Membership(user=person, organization=organization, team=team, role=role, created_at=at)
                for role in TEAM_ROLES
            ),
        ]
    )
    audit.record(
        "accounts.organization.created",
        subject=organization,
        at=at,
        new={"slug": slug, "is_platform": organization.is_platform, "admin": person.email},
    )
    return Founded(organization, cost_center, team, person, is_new)


@dataclass(frozen=True)
class Place:
    """Where a role is held: in a team, or (none) in the whole organization."""

    organization: Organization
    team: Team | None


@dataclass(frozen=True)
class Joined:
    """A role that somebody has now; ``is_new_person`` when they had no account before."""

    membership: Membership
    is_new_person: bool


def find_place(organization: str, *, team: str = "") -> Place:
    """Look up an organization and one of its teams by their slugs; raises NotFound."""
    found = Organization.objects.filter(slug=organization).first()
    if found is None:
        raise NotFound("organization", organization)
    if not team:
        return Place(found, None)
    found_team = found.teams.filter(slug=team).first()
    if found_team is None:
        raise NotFound("team", team)
    return Place(found, found_team)


@transaction.atomic
def add_member(email: str, *, place: Place, role: str, at: datetime) -> Joined:
    """Give the person with this mail address a role, and an account if they have none. Raises InvalidInput.

    Creators and consumers act for a team; the other roles are for a team or a whole organization.
    """
    if role in TEAM_ROLES and place.team is None:
        raise InvalidInput("team", f"is missing: a {role} acts for a team")
    person, is_new = _person(email, at=at)
    membership, is_new_role = Membership.objects.get_or_create(
        user=person,
        organization=place.organization,
        team=place.team,
        role=role,
        defaults={"created_at": at},
    )
    if is_new_role:
        audit.record(
            "accounts.membership.added",
            subject=membership,
            at=at,
            new={
                "person": person.email,
                "role": role,
                "in": str(place.team or place.organization),
            },
        )
    return Joined(membership, is_new)


def _slug(asked: Founding) -> str:
    name = asked.name.strip()
    if not name or len(name) > MAX_NAME:
        raise InvalidInput("name", f"must have 1 to {MAX_NAME} characters")
    if asked.slug and slugify(asked.slug) != asked.slug:
        raise InvalidInput("slug", "may have small letters, digits and hyphens only")
    slug = asked.slug or slugify(name)[:MAX_SLUG].strip("-")
    if not slug or len(slug) > MAX_SLUG:
        raise InvalidInput("slug", "cannot be made from this name: say one")
    return slug


def _organization(asked: Founding, slug: str, *, at: datetime) -> Organization:
    is_first = not Organization.objects.filter(is_platform=True).exists()
    try:
        with transaction.atomic():
            return Organization.objects.create(
                slug=slug,
                name=asked.name.strip(),
                is_platform=is_first,
                billing=asked.billing,
                currency=asked.currency,
                created_at=at,
            )
    except IntegrityError as error:
        # Or another one became the platform's between the two statements; then the next try makes an ordinary one.
        raise OrganizationExists(slug) from error


def _person(email: str, *, at: datetime) -> tuple[User, bool]:
    address = email.strip().lower()
    try:
        validate_email(address)
    except ValidationError as error:
        raise InvalidInput("admin_email", f"{email!r} is not a mail address") from error
    known = User.objects.filter(email__iexact=address).first()
    if known is not None:
        return known, False
    person = User.objects.create_user(address, date_joined=at)
    # Whoever may run commands here vouches for the address.
    EmailAddress.objects.create(user=person, email=address, verified=True, primary=True)
    return person, True
