"""`manage.py create_organization`: an organization with its first team and person, and their link to sign in."""

from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError
from django.utils import timezone

from marketplace.accounts.founding import Founded, Founding, create_organization
from marketplace.accounts.invitations import password_path
from marketplace.accounts.models import Organization
from marketplace.core.errors import HalfpennyError


class Command(BaseCommand):
    help = (
        "Make an organization with its first cost center, team and person, and print the link by which that person "
        "sets a password. The first organization of an installation runs it."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--name", required=True, help="such as 'Example Inc.'")
        parser.add_argument("--admin-email", required=True, help="mail address of its first person")
        parser.add_argument("--team", default="First team", help="name of its first team")
        parser.add_argument(
            "--slug", default="", help="its short name in addresses; made from the name if left out"
        )
        parser.add_argument(
            "--billing",
            choices=Organization.Billing.values,
            default=Organization.Billing.CHARGEBACK,
            help="statements per cost center (chargeback), or an invoice to the organization",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        asked = Founding(
            name=options["name"],
            admin_email=options["admin_email"],
            team_name=options["team"],
            slug=options["slug"],
            currency=settings.CURRENCY,
            billing=options["billing"],
        )
        try:
            founded = create_organization(asked, at=timezone.now())
        except HalfpennyError as error:
            raise CommandError(error.message) from error
        except DatabaseError as error:
            raise CommandError(f"The database cannot be used: {str(error).splitlines()[0]}.") from error
        self._tell(founded)

    def _tell(self, founded: Founded) -> None:
        kind = ", which runs this marketplace" if founded.organization.is_platform else ""
        self.stdout.write(
            f"{founded.organization.name} ({founded.organization.slug}){kind}, with the team {founded.team.name} "
            f"and the cost center {founded.cost_center.code}."
        )
        if not founded.is_new_person:
            self.stdout.write(f"{founded.person.email} was known already and signs in as before.")
            return
        self.stdout.write(
            f"{founded.person.email} sets a password here; the link works once, for three days:\n"
            f"{settings.PUBLIC_URL.rstrip('/')}{password_path(founded.person)}"
        )
