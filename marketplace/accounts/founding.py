"""How an organization begins: with a cost center, a team and one person who can do everything in it.

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
from marketplace.core.errors import Conflict, InvalidInput

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
