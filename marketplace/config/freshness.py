"""Whether anything changed since the last start: if not, `up` saves the seconds that loading Django would
take."""

import hashlib
from datetime import UTC, datetime
from pathlib import Path

import psycopg

from marketplace.config import paths

MIGRATIONS = ("*/migrations/*.py", "marketplace/*/migrations/*.py")
STATIC = ("static/**/*", "*/static/**/*", "marketplace/*/static/**/*")


def is_current(data: Path, database_url: str, *, provider_url: str, needs_organization: bool) -> bool:
    """Say whether code, database and demo provider are as they were when `remember` was called, this month."""
    stamp = _stamp(data)
    has_static_files = (paths.static_dir(data) / "staticfiles.json").exists()
    if not has_static_files or not stamp.exists() or stamp.read_text() != _state(database_url, provider_url):
        return False
    return not needs_organization or has_organization(database_url)


def remember(data: Path, database_url: str, *, provider_url: str) -> None:
    """Remember that database and static files fit the code."""
    _stamp(data).write_text(_state(database_url, provider_url))


def of_static_files() -> str:
    """Return a digest of our static files and of the lock, which stands for those of the packages."""
    return _digest(STATIC)


def of_migrations() -> str:
    """Return a digest of our migrations and of the lock, which stands for those of the packages."""
    return _digest(MIGRATIONS)


def _state(database_url: str, provider_url: str) -> str:
    # A new month needs partitions for those after it.
    month = f"{datetime.now(UTC):%Y-%m}"
    return f"{month} {provider_url} {of_static_files()} {of_migrations()} {_applied_migrations(database_url)}"


def _applied_migrations(database_url: str) -> str:
    try:
        with psycopg.connect(database_url, connect_timeout=10) as connection:
            found = connection.execute(
                "SELECT string_agg(app || '.' || name, ',' ORDER BY id) FROM django_migrations"
            ).fetchone()
    except psycopg.errors.UndefinedTable:
        return "none"
    return hashlib.sha256(repr(found).encode()).hexdigest()


def has_organization(database_url: str) -> bool:
    """Say whether the database holds an organization: without one nobody can do anything."""
    with psycopg.connect(database_url, connect_timeout=10) as connection:
        return bool(connection.execute("SELECT 1 FROM accounts_organization LIMIT 1").fetchone())


def _stamp(data: Path) -> Path:
    return data / ".prepared"


def _digest(patterns: tuple[str, ...]) -> str:
    digest = hashlib.sha256((paths.CHECKOUT / "run.lock").read_bytes())
    for pattern in patterns:
        for file in sorted(paths.CHECKOUT.glob(pattern)):
            status = file.stat()
            digest.update(f"{file}:{status.st_size}:{status.st_mtime_ns}\n".encode())
    return digest.hexdigest()
