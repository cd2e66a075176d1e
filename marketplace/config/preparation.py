"""Bring database and static files to the state that this code needs.

Usage: `python -m marketplace.config.preparation ANSWER`. A process of its own, so that the supervisor never
loads Django. Writes one JSON object to the file ANSWER; on a refusal, a sentence on standard error.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any

import django
from django.apps import apps
from django.conf import settings
from django.contrib.staticfiles.management.commands.collectstatic import Command
from django.contrib.staticfiles.storage import ManifestStaticFilesStorage
from django.core.checks import run_checks
from django.core.management import call_command
from django.db import connection
from django.db.migrations.loader import MigrationLoader
from django.utils import timezone

from marketplace.config import freshness
from marketplace.config.refusals import Refused
from marketplace.core.errors import Unavailable

# Any number will do, as long as every machine that shares a database uses the same.
MIGRATION_LOCK = 7_301_184


def main() -> int:
    """Check, migrate, make partitions ahead, collect static files if they changed, fill what is new, follow the demo
    provider, report."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "marketplace.config.settings")
    django.setup()
    try:
        require_sound_configuration()
        missing = migrate()
    except Refused as refusal:
        print(refusal, file=sys.stderr)
        return 1
    make_partitions()
    collect_static_files(Path(settings.STATIC_ROOT))
    if settings.DEMO:
        follow_demo_provider()
    found_empty = is_empty()
    if found_empty:
        seed_prices()
    Path(sys.argv[1]).write_text(json.dumps({"migrations": missing, "is_empty": found_empty}))
    return 0


def require_sound_configuration() -> None:
    """Run the system checks, once for all programs that are about to start; raise Refused with what they find."""
    found = [message for message in run_checks() if message.is_serious()]
    if found:
        raise Refused("\n".join(str(message) for message in found))


def migrate() -> int:
    """Apply what is missing and return how many migrations that were. Raise Refused for a newer database."""
    with connection.cursor() as cursor:
        # Several machines may start on one database at once.
        cursor.execute("SELECT pg_advisory_lock(%s)", [MIGRATION_LOCK])
        try:
            loader = MigrationLoader(connection)
            _refuse_newer_database(loader)
            missing = len(loader.disk_migrations.keys() - loader.applied_migrations.keys())
            if missing:
                call_command("migrate", interactive=False, verbosity=0)
        finally:
            cursor.execute("SELECT pg_advisory_unlock(%s)", [MIGRATION_LOCK])
    return missing


def _refuse_newer_database(loader: MigrationLoader) -> None:
    replaced = {key for migration in loader.disk_migrations.values() for key in migration.replaces}
    unknown = {
        (app, name)
        for app, name in loader.applied_migrations.keys() - loader.disk_migrations.keys() - replaced
        if app in loader.migrated_apps
    }
    if unknown:
        app, name = min(unknown)
        raise Refused(
            f"The database was made by a newer version of this program (it has {app}.{name}, "
            "which this version does not know): update the program, or choose another folder with --data."
        )


def make_partitions() -> None:
    """Give events of this month and the next ones their partitions, before the first of them comes in."""
    from metering import partitions  # noqa: PLC0415 (models can be imported only after setup)

    try:
        partitions.make_around(timezone.now())
    except Unavailable as busy:
        # Another machine is recording or dumping. Nothing is refused meanwhile, and beat tries again.
        print(busy, file=sys.stderr)


def collect_static_files(target: Path) -> None:
    """Collect the static files under hashed names unless that was done for the same files.

    They are not compressed: that takes half a minute and gains nothing on one machine. Behind a real network
    `manage.py collectstatic` does it.
    """
    stamp = target / ".collected"
    fingerprint = freshness.of_static_files()
    if not stamp.exists() or stamp.read_text() != fingerprint:
        command = Command()
        command.storage = ManifestStaticFilesStorage()
        call_command(command, interactive=False, verbosity=0)
        stamp.write_text(fingerprint)


def follow_demo_provider() -> None:
    """Tell the demo world at which port its provider listens this time."""
    from marketplace.config.demo import provider_address  # noqa: PLC0415 (models can be imported only after setup)

    provider_address.follow(provider_url=settings.DEMO_PROVIDER_URL)


def seed_prices() -> None:
    """Give a new installation the well-known models and prices, so that nothing stands between it and a call."""
    from marketplace.config.price_list import seed_catalogue  # noqa: PLC0415 (models, as above)

    seed_catalogue()


def is_empty() -> bool:
    """Say whether the database holds no organization yet."""
    organizations: Any = apps.get_model("accounts", "Organization")
    return not organizations.objects.exists()


if __name__ == "__main__":
    sys.exit(main())
