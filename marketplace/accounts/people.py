"""What concerns a person: their own keys, and in the demo world who stands for which role."""

from datetime import datetime

from marketplace.accounts import keys
from marketplace.accounts.models import ApiKey, Membership, User
from marketplace.core.errors import NotAllowed, NotFound

DEMO_DOMAIN = "demo.example"


class NoOrganization(NotAllowed):
    """The person belongs to no organization, so there is nothing that a key of theirs could reach."""

    code = "no_organization"

    def __init__(self, person: User) -> None:
        self.person = person
        super().__init__(f"{person.email} belongs to no organization yet.")


def find_person(email: str) -> User | None:
    """Return the active person with this mail address."""
    return User.objects.filter(email__iexact=email, is_active=True).first()


def issue_personal_key(
    person: User, *, by: User | None, at: datetime, name: str = "", expires_at: datetime | None = None
) -> tuple[ApiKey, str]:
    """Make a key with the rights of a person; its text cannot be had again. Raises NoOrganization."""
    membership = person.memberships.select_related("organization").order_by("pk").first()
    if membership is None:
        raise NoOrganization(person)
    return keys.issue(
        kind=ApiKey.Kind.PAT,
        organization=membership.organization,
        user=person,
        at=at,
        by=by,
        name=name,
        expires_at=expires_at,
    )


def demo_person(role: str) -> User:
    """Return who plays a role in the demo world; raises NotFound. Only to be called in a demo."""
    person = find_person(f"{role}@{DEMO_DOMAIN}") if role in Membership.Role.values else None
    if person is None:
        raise NotFound("demo role", role)
    return person
