"""`manage.py seed_prices`: models with their dated public prices, from the snapshot that is installed."""

from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from marketplace.config.price_list import Seeded, seed_prices
from marketplace.core.errors import InvalidInput

SHOWN = 20


class Command(BaseCommand):
    help = "Add models that are missing, with all their dated public prices. Changes nothing that is there."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--provider",
            action="append",
            default=[],
            help="all models of this provider, such as openai; may be given several times. Else the well-known models",
        )
        parser.add_argument("--dry-run", action="store_true", help="say what would be added, and add nothing")

    def handle(self, *args: Any, **options: Any) -> None:
        if settings.CURRENCY != "USD":
            raise CommandError(
                f"Public prices are in USD, and this marketplace rates in {settings.CURRENCY}."
            )
        try:
            seeded = seed_prices(providers=options["provider"], is_dry_run=options["dry_run"])
        except InvalidInput as error:
            raise CommandError(error.message) from error
        self._tell(seeded, is_dry_run=options["dry_run"])

    def _tell(self, seeded: Seeded, *, is_dry_run: bool) -> None:
        would = "would be added" if is_dry_run else "added"
        self.stdout.write(
            f"{len(seeded.added)} models with {seeded.cards} prices {would}{_names(seeded.added)}."
        )
        self.stdout.write(f"{len(seeded.known)} were there already and stay as they are.")
        if seeded.changed:
            self.stdout.write(
                f"{len(seeded.changed)} of them cost something else in the snapshot{_names(seeded.changed)}: "
                "propose a price where you want to follow it."
            )
        if seeded.left_out:
            self.stdout.write(
                f"{len(seeded.left_out)} left out, without a price for tokens{_names(seeded.left_out)}."
            )


def _names(names: list[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return f": {', '.join(names[:SHOWN])}{more}" if names else ""
