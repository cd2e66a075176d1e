"""`manage.py issue_key`: make an API key for scripts and print it, and nothing else."""

from argparse import ArgumentParser
from datetime import datetime
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError
from django.utils import timezone

from marketplace.accounts import people
from marketplace.accounts.models import ApiKey
from marketplace.catalog import subscriptions
from marketplace.catalog.models import App, Environment, Subscription
from marketplace.core.errors import HalfpennyError

NAME = "made by issue_key"


class Command(BaseCommand):
    help = "Make an API key and print it: of a person (pat), an app (app) or a subscription (sub)."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--kind", choices=ApiKey.Kind.values, required=True)
        parser.add_argument("--user", help="mail address; for --kind pat")
        parser.add_argument("--app", help="slug; for --kind app")
        parser.add_argument("--environment", choices=Environment.values, default=Environment.PRODUCTION)
        parser.add_argument("--subscription", help="id; for --kind sub")

    def handle(self, *args: Any, **options: Any) -> None:
        issue = {"pat": _personal_key, "app": _app_key, "sub": _subscription_key}[options["kind"]]
        try:
            text = issue(options, timezone.now())
        except HalfpennyError as error:
            raise CommandError(error.message) from error
        except DatabaseError as error:
            raise CommandError(f"The database cannot be used: {str(error).splitlines()[0]}.") from error
        self.stdout.write(text)


def _personal_key(options: dict[str, Any], at: datetime) -> str:
    person = people.find_person(_needed(options, "user"))
    if person is None:
        raise CommandError(f"There is no person with the mail address {options['user']}.")
    return people.issue_personal_key(person, by=None, at=at, name=NAME)[1]


def _app_key(options: dict[str, Any], at: datetime) -> str:
    slug = _needed(options, "app")
    app = App.objects.select_related("owner_team__organization").filter(slug=slug).first()
    if app is None:
        raise CommandError(f"There is no app with the slug {slug}.")
    return subscriptions.issue_app_key(app, environment=options["environment"], by=None, at=at, name=NAME)[1]


def _subscription_key(options: dict[str, Any], at: datetime) -> str:
    wanted = _needed(options, "subscription")
    found = Subscription.objects.select_related("team__organization")
    try:
        subscription = found.get(pk=wanted)
    except (Subscription.DoesNotExist, ValidationError) as error:
        raise CommandError(f"There is no subscription with the id {wanted}.") from error
    return subscriptions.issue_subscription_key(subscription, by=None, at=at, name=NAME)[1]


def _needed(options: dict[str, Any], name: str) -> str:
    value = options[name]
    if not value:
        raise CommandError(f"--kind {options['kind']} needs --{name}.")
    return str(value)
