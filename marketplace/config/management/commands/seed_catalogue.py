"""`manage.py seed_catalogue`: the models and prices that every installation starts with."""

from typing import Any

from django.core.management.base import BaseCommand

from marketplace.config.price_list import seed_catalogue


class Command(BaseCommand):
    help = "Add well-known models, their prices and instance rates that are missing. Changes nothing that is there."

    def handle(self, *args: Any, **options: Any) -> None:
        added = seed_catalogue()
        self.stdout.write(f"{added} models and instance types added.")
