"""`manage.py test [quick] [pytest arguments]`: every check, then every test, on PostgreSQL and Valkey of their own.

The servers live in a folder beside the data folder that is kept between runs. With arguments for pytest, only
pytest runs. Its closing line is the last thing printed; the exit code is not 0 when anything failed.
"""

import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from psycopg import sql

from marketplace.config import freshness, paths, preflight
from marketplace.config.services import postgres, valkey

QUICK = "not slow and not browser and not crash and not race"
CHROMIUM = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")


def main(arguments: list[str]) -> int:
    """Run the checks and the tests, and return 0 when all of them passed."""
    is_quick = arguments[:1] == ["quick"]
    own = arguments[1:] if is_quick else arguments
    with _test_folder() as data:
        environment = {**os.environ, "HALFPENNY_DATA": str(data), "PYTHONUNBUFFERED": "1"}
        failed = [] if own else _run_checks(environment)
        if failed:
            print(f"\nFailed so far: {', '.join(failed)}", flush=True)
        code = _run("pytest", _pytest(own, is_quick=is_quick), environment, shows_time=False)
    return code or (1 if failed else 0)


def _run_checks(environment: dict[str, str]) -> list[str]:
    """Run everything but pytest and return the names of what failed."""
    manage = [sys.executable, str(paths.CHECKOUT / "manage.py")]
    checks = {
        "ruff check": [sys.executable, "-m", "ruff", "check", "."],
        "ruff format": [sys.executable, "-m", "ruff", "format", "--check", "."],
        "mypy": [sys.executable, "-m", "mypy"],
        "import-linter": [str(Path(sys.executable).with_name("lint-imports")), "--no-logo"],
        "migrations": [*manage, "makemigrations", "--check", "--dry-run"],
    }
    return [name for name, command in checks.items() if _run(name, command, environment)]


def _run(name: str, command: list[str], environment: dict[str, str], *, shows_time: bool = True) -> int:
    began = time.monotonic()
    print(f"\n== {name}", flush=True)
    code = subprocess.run(command, cwd=paths.CHECKOUT, env=environment, stdin=subprocess.DEVNULL).returncode
    if shows_time:
        print(f"== {name} {'FAILED' if code else 'passed'} in {time.monotonic() - began:.1f} s", flush=True)
    return code


def _pytest(own: list[str], *, is_quick: bool) -> list[str]:
    command = [sys.executable, "-m", "pytest"]
    left_out = [QUICK] if is_quick else []
    if not own:
        # Two processes are worth their start only for the whole suite.
        command += ["-n", str(min(os.cpu_count() or 1, 4)), "--dist", "loadfile", "--no-loadscope-reorder"]
    if not is_quick and find_chromium() is None:
        print("No Chromium found: browser tests are left out (Debian, Ubuntu: apt-get install chromium).")
        left_out.append("not browser")
    if os.environ.get("DATABASE_URL"):
        # Of a server from outside nobody knows by which migrations its test database was made.
        command.append("--create-db")
    if left_out and "-m" not in own:
        command += ["-m", " and ".join(left_out)]
    return [*command, *own]


def find_chromium() -> Path | None:
    """Return the browser for the tests: the first of the usual names that is on the path."""
    return next((Path(one) for one in map(shutil.which, CHROMIUM) if one), None)


def _forget_outdated_databases(data: Path) -> None:
    """Drop the test databases that pytest would keep, when they may have been made by other migrations."""
    stamp = data / ".migrations"
    digest = freshness.of_migrations()
    if stamp.exists() and stamp.read_text() == digest:
        return
    with psycopg.connect(paths.postgres_url(data), autocommit=True) as connection:
        found = connection.execute("SELECT datname FROM pg_database WHERE starts_with(datname, 'test_')")
        for (name,) in found.fetchall():
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))
    stamp.write_text(digest)


@contextmanager
def _test_folder() -> Iterator[Path]:
    """Yield the data folder in which the servers for the tests run, as far as none come from outside."""
    kept = paths.data_dir().with_name(f"{paths.data_dir().name}-test")
    preflight.require_writable(kept)
    with open(kept / ".test.lock", "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            # Another test run has it; two in one database would be in each other's way.
            with (
                tempfile.TemporaryDirectory(prefix="halfpenny-test-") as temporary,
                _servers(Path(temporary)),
            ):
                yield Path(temporary)
        else:
            with _servers(kept):
                yield kept


@contextmanager
def _servers(data: Path) -> Iterator[None]:
    try:
        if not os.environ.get("DATABASE_URL"):
            postgres.start(data, durable=False)
            _forget_outdated_databases(data)
        if not os.environ.get("REDIS_URL"):
            valkey.start(data)
        yield
    finally:
        valkey.stop(data)
        postgres.stop(data)
