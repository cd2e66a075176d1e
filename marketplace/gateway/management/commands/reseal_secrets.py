"""manage.py reseal_secrets: seal stored keys and addresses with the secret key of now."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from marketplace.gateway.resealing import reseal
from marketplace.gateway.sealing import CannotOpen


class Command(BaseCommand):
    """After a new SECRET_KEY with the old one in SECRET_KEY_FALLBACKS, and before the old one is dropped."""

    help = "Seal stored keys of providers, and addresses and secrets of channels, with the SECRET_KEY of now."

    def handle(self, *args: Any, **options: Any) -> None:
        """Seal all anew, or none."""
        try:
            done = reseal()
        except CannotOpen as error:
            raise CommandError(
                "A stored secret was sealed under a SECRET_KEY that is not among SECRET_KEY and "
                "SECRET_KEY_FALLBACKS; nothing was changed."
            ) from error
        self.stdout.write(
            f"Sealed {done.provider_keys} keys of providers, {done.channel_secrets} of channels."
        )
