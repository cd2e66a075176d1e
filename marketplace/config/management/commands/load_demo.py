"""`manage.py load_demo`: fill an empty database with the demo world."""

import time
from argparse import ArgumentParser
from datetime import date
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand
from django.utils import timezone

from billing.house import house_terms
from marketplace.config.demo import provider_address
from marketplace.config.demo.people import PASSWORD
from marketplace.config.demo.progress import Told
from marketplace.config.demo.timeline import until_noon_of, until_now
from marketplace.config.demo.usage import EVENTS
from marketplace.config.demo.world import Installation, load

MOVED = "The demo world was loaded before; its provider has another address now."


class Command(BaseCommand):
    help = "Load the demo world into an empty database: one company, its apps, and 90 days of usage."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--seed", type=int, default=1, help="another seed, another story (default 1)")
        parser.add_argument(
            "--events", type=int, default=EVENTS, help=f"about so many events (default {EVENTS})"
        )
        parser.add_argument(
            "--day",
            type=date.fromisoformat,
            help="last day of the story, which then ends at noon UTC; default: today, up to this minute",
        )

    def handle(self, *args: Any, seed: int, events: int, day: date | None, **options: Any) -> None:
        began = time.monotonic()
        now = timezone.now()
        timeline = until_noon_of(day, now=now, seed=seed) if day else until_now(now=now, seed=seed)
        installation = Installation(
            terms=house_terms(),
            provider_url=settings.DEMO_PROVIDER_URL,
            # Outside of demo mode people of the story cannot sign in.
            password=PASSWORD if settings.DEMO else None,
            public_url=settings.PUBLIC_URL,
        )
        with Told(self._say, is_terminal=self.stdout.isatty()) as told:
            loaded = load(timeline, installation=installation, events=max(events, 0), told=told)
        if loaded is None:
            has_moved = settings.DEMO and provider_address.follow(provider_url=settings.DEMO_PROVIDER_URL)
            self.stdout.write(
                MOVED if has_moved else "The database is not empty: the demo world is left out."
            )
            return
        self.stdout.write(
            f"Demo world loaded: {loaded.events:,} events, {loaded.rollups:,} roll-ups, "
            f"{loaded.closed_months} closed months, in {time.monotonic() - began:.1f} s"
        )

    def _say(self, line: str) -> None:
        self.stdout.write(line)
        # A step takes seconds: whoever reads a pipe wants its line now.
        self.stdout.flush()
