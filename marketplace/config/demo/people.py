"""The company, its cost centers, teams and people; a customer from outside; and a stranger who has nothing."""

from dataclasses import dataclass, field

from django.contrib.auth.hashers import make_password

from marketplace.accounts.models import CostCenter, Membership, Organization, Team, User
from marketplace.config.demo.timeline import Timeline

FOUNDED_DAYS_AGO = 420
PASSWORD = "demo-halfpenny"
STAFF_ROLES = ("approver", "finance", "operator")

ORGANIZATIONS = (
    {
        "slug": "demo",
        "name": "Meridian Group",
        "is_platform": True,
        "billing": "chargeback",
        "legal_name": "Meridian Group Inc.",
        "address": "200 Harbor Street\nBoston, MA 02210\nUnited States",
        "vat_id": "",
    },
    {
        "slug": "blue-harbor",
        "name": "Blue Harbor Hotels",
        "billing": "invoice",
        "legal_name": "Blue Harbor Hotels GmbH",
        "address": "Am Sandtorkai 12\n20457 Hamburg\nGermany",
        "vat_id": "DE123456788",
    },
    {
        "slug": "liffey-books",
        "name": "Liffey Books",
        "billing": "invoice",
        "legal_name": "Liffey Books Ltd.",
        "address": "3 Bachelors Walk\nDublin D01 LB33\nIreland",
        "vat_id": "",
    },
    {
        "slug": "other",
        "name": "Kestrel Studio",
        "billing": "invoice",
        "legal_name": "Kestrel Studio Ltd.",
        "address": "4 Mill Lane\nBristol BS1 4DJ\nUnited Kingdom",
        "vat_id": "",
    },
)

# mail address (its domain says the organization) and name
PEOPLE = {
    "creator@demo.example": "Carla Mendes",
    "consumer@demo.example": "Jonas Weber",
    "approver@demo.example": "Amara Okafor",
    "finance@demo.example": "Fiona Lindqvist",
    "operator@demo.example": "Owen Tanaka",
    "priya.nair@demo.example": "Priya Nair",
    "luis.ortega@demo.example": "Luis Ortega",
    "hannah.cole@demo.example": "Hannah Cole",
    "mateo.rossi@demo.example": "Mateo Rossi",
    "ines.moreau@demo.example": "Inès Moreau",
    "david.kim@demo.example": "David Kim",
    "sofia.berg@demo.example": "Sofia Berg",
    "tom.adeyemi@demo.example": "Tom Adeyemi",
    "nora.haddad@demo.example": "Nora Haddad",
    "elena.petrova@demo.example": "Elena Petrova",
    "marcus.bell@demo.example": "Marcus Bell",
    "greta.vogt@blueharbor.example": "Greta Vogt",
    "stranger@other.example": "Sam Stranger",
    "aoife.byrne@liffeybooks.example": "Aoife Byrne",
}

# organization, code, name, owner, mode of cost recovery
COST_CENTERS = (
    ("demo", "CC-100", "Product and design", "marcus.bell@demo.example", "chargeback"),
    ("demo", "CC-200", "Workplace operations", "elena.petrova@demo.example", "chargeback"),
    ("demo", "CC-300", "Customer service", "hannah.cole@demo.example", "parallel"),
    ("demo", "CC-400", "Sales and marketing", "mateo.rossi@demo.example", "chargeback"),
    ("demo", "CC-500", "Finance and legal", "finance@demo.example", "showback"),
    ("demo", "CC-600", "Technology and data", "david.kim@demo.example", "parallel"),
    ("blue-harbor", "MAIN", "Guest experience", "greta.vogt@blueharbor.example", "chargeback"),
    ("other", "MAIN", "Studio", "stranger@other.example", "showback"),
    ("liffey-books", "MAIN", "Shop", "aoife.byrne@liffeybooks.example", "chargeback"),
)

# organization, slug, name, cost center
TEAMS = (
    ("demo", "team-ux", "Product design", "CC-100"),
    ("demo", "team-ops", "Workplace operations", "CC-200"),
    ("demo", "team-support", "Customer support", "CC-300"),
    ("demo", "team-sales", "Sales and marketing", "CC-400"),
    ("demo", "team-finance", "Accounting", "CC-500"),
    ("demo", "team-legal", "Legal and compliance", "CC-500"),
    ("demo", "team-data", "Data and platform", "CC-600"),
    ("demo", "team-people", "People and culture", "CC-200"),
    ("blue-harbor", "guest-services", "Guest services", "MAIN"),
    ("other", "studio", "Studio", "MAIN"),
    ("liffey-books", "booksellers", "Booksellers", "MAIN"),
)

# mail address, team, role
MEMBERS = (
    ("creator@demo.example", "team-ux", "creator"),
    ("marcus.bell@demo.example", "team-ux", "creator"),
    ("marcus.bell@demo.example", "team-ux", "consumer"),
    ("consumer@demo.example", "team-ops", "consumer"),
    ("elena.petrova@demo.example", "team-ops", "consumer"),
    ("hannah.cole@demo.example", "team-support", "creator"),
    ("luis.ortega@demo.example", "team-support", "consumer"),
    ("mateo.rossi@demo.example", "team-sales", "creator"),
    ("ines.moreau@demo.example", "team-sales", "consumer"),
    ("sofia.berg@demo.example", "team-finance", "creator"),
    ("sofia.berg@demo.example", "team-finance", "consumer"),
    ("nora.haddad@demo.example", "team-legal", "creator"),
    ("nora.haddad@demo.example", "team-legal", "consumer"),
    ("david.kim@demo.example", "team-data", "creator"),
    ("priya.nair@demo.example", "team-data", "consumer"),
    ("tom.adeyemi@demo.example", "team-people", "creator"),
    ("tom.adeyemi@demo.example", "team-people", "consumer"),
    ("greta.vogt@blueharbor.example", "guest-services", "consumer"),
    ("stranger@other.example", "studio", "creator"),
    ("stranger@other.example", "studio", "consumer"),
    ("aoife.byrne@liffeybooks.example", "booksellers", "consumer"),
)


@dataclass
class Cast:
    """Everybody, by mail address; everything else by its slug or its organization and code."""

    organizations: dict[str, Organization] = field(default_factory=dict)
    people: dict[str, User] = field(default_factory=dict)
    cost_centers: dict[tuple[str, str], CostCenter] = field(default_factory=dict)
    teams: dict[str, Team] = field(default_factory=dict)

    def person(self, name: str) -> User:
        """Return somebody of the company by the part before the @."""
        return self.people[f"{name}@demo.example"]

    def subscriber(self, team: str) -> User:
        """Return who subscribes for a team: its first consumer, else its first member."""
        members = sorted((role != "consumer", mail) for mail, slug, role in MEMBERS if slug == team)
        return self.people[members[0][1]]

    def creator(self, team: str) -> User:
        """Return who makes a team's apps."""
        return self.people[next(mail for mail, slug, role in MEMBERS if slug == team and role == "creator")]


def found(timeline: Timeline, *, password: str | None) -> Cast:
    """Write organizations, people, cost centers and teams; without a password nobody can sign in by form."""
    cast = Cast()
    founded = timeline.ago(FOUNDED_DAYS_AGO)
    for facts in ORGANIZATIONS:
        cast.organizations[str(facts["slug"])] = Organization.objects.create(**facts, created_at=founded)
    cast.people = _register(timeline, password=password)
    for organization, code, name, owner, mode in COST_CENTERS:
        cast.cost_centers[organization, code] = CostCenter.objects.create(
            organization=cast.organizations[organization],
            code=code,
            name=name,
            owner=cast.people[owner],
            mode=mode,
            created_at=founded,
        )
    for organization, slug, name, code in TEAMS:
        cast.teams[slug] = Team.objects.create(
            organization=cast.organizations[organization],
            slug=slug,
            name=name,
            cost_center=cast.cost_centers[organization, code],
            created_at=founded,
        )
    _join(cast, timeline)
    return cast


def _register(timeline: Timeline, *, password: str | None) -> dict[str, User]:
    # One hash for all: it is slow on purpose, and the password is no secret.
    hashed = make_password(password)
    users = [
        User(
            email=mail,
            first_name=name.split(" ", 1)[0],
            last_name=name.split(" ", 1)[1],
            password=hashed,
            date_joined=timeline.ago(FOUNDED_DAYS_AGO),
        )
        for mail, name in PEOPLE.items()
    ]
    return {user.email: user for user in User.objects.bulk_create(users)}


def _join(cast: Cast, timeline: Timeline) -> None:
    joined = timeline.ago(FOUNDED_DAYS_AGO)
    company = cast.organizations["demo"]
    staff = [
        Membership(user=cast.person(role), organization=company, role=role, created_at=joined)
        for role in STAFF_ROLES
    ]
    members = [
        Membership(
            user=cast.people[mail],
            organization=cast.teams[team].organization,
            team=cast.teams[team],
            role=role,
            created_at=joined,
        )
        for mail, team, role in MEMBERS
    ]
    # What one of finance proposes, another one decides on.
    staff.append(
        Membership(
            user=cast.people["ines.moreau@demo.example"],
            organization=company,
            role="finance",
            created_at=joined,
        )
    )
    owners = [
        Membership(
            user=cast.people[mail], organization=cast.organizations[slug], role="finance", created_at=joined
        )
        for slug, mail in (
            ("blue-harbor", "greta.vogt@blueharbor.example"),
            ("other", "stranger@other.example"),
            ("liffey-books", "aoife.byrne@liffeybooks.example"),
        )
    ]
    Membership.objects.bulk_create(staff + members + owners)
