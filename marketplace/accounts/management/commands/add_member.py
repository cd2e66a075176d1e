"""`manage.py add_member`: give somebody a role, and an account with a link to sign in if they have none."""

from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError
from django.utils import timezone

from marketplace.accounts.founding import add_member, find_place
from marketplace.accounts.invitations import password_path
from marketplace.accounts.models import Membership
from marketplace.core.errors import HalfpennyError


class Command(BaseCommand):
    help = (
        "Give a person a role in a team, or without --team in the whole organization. Again changes nothing."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--email", required=True, help="mail address of the person")
        parser.add_argument("--organization", required=True, help="its short name (slug)")
        parser.add_argument("--team", default="", help="short name of a team; for creators and consumers")
        parser.add_argument("--role", choices=Membership.Role.values, required=True)

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            place = find_place(options["organization"], team=options["team"])
            joined = add_member(options["email"], place=place, role=options["role"], at=timezone.now())
        except HalfpennyError as error:
            raise CommandError(error.message) from error
        except DatabaseError as error:
            raise CommandError(f"The database cannot be used: {str(error).splitlines()[0]}.") from error
        self.stdout.write(f"{joined.membership}.")
        if joined.is_new_person:
            self.stdout.write(
                "They set a password here; the link works once, for three days:\n"
                f"{settings.PUBLIC_URL.rstrip('/')}{password_path(joined.membership.user)}"
            )
