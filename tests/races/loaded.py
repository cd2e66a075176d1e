"""Django and what the races use, loaded once by the process from which the others are forked."""

import os

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "marketplace.config.settings")
django.setup()

from django.db import connections  # noqa: E402  # Django's settings must be up first

from tests.races import calls, killing, recording, working  # noqa: E402

__all__ = ["calls", "killing", "recording", "use", "working"]


def use(database: str) -> None:
    """Make this process work in the test database, before it has opened any connection."""
    connections.settings["default"]["NAME"] = database
