"""The demo world, loaded once in a run of the tests and copied for each module that asks for it.

Loading takes half a minute, copying a database of its size a second.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from io import StringIO
from pathlib import Path

import psycopg
from django.conf import settings
from django.core.management import call_command
from django.db import connection
from psycopg import sql

# The demo world's story ends on this Monday at noon; the tests of pages look at it from there.
DAY = "2026-11-23"
EVENTS = "3000"

KEPT = "kept_world_"


def fill(run: str) -> None:
    """Make this process's test database the demo world, which the first process of the run loads."""
    own = str(connection.settings_dict["NAME"])
    assert own.startswith("test_"), "this is about to be replaced"
    kept = KEPT + run
    with _alone():
        if is_new := kept not in _worlds():
            _load()
        connection.close()
        connection.close_pool()
        with _maintenance() as server:
            if is_new:
                for old in _worlds():
                    server.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(old)))
                _copy(server, own, kept)
            else:
                server.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(own)))
                _copy(server, kept, own)
    if not is_new:
        # It finds the world there, and points it to this process's demo provider.
        _load()


def _load() -> None:
    call_command("load_demo", "--events", EVENTS, "--day", DAY, stdout=StringIO())


def _copy(server: psycopg.Connection, source: str, target: str) -> None:
    """Copy a database nobody is connected to; whoever still is, is thrown out."""
    server.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [source])
    server.execute(
        sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY file_copy").format(
            sql.Identifier(target), sql.Identifier(source)
        )
    )


def _worlds() -> set[str]:
    with _maintenance() as server:
        found = server.execute("SELECT datname FROM pg_database WHERE starts_with(datname, %s)", [KEPT])
        return {name for (name,) in found}


@contextmanager
def _maintenance() -> Iterator[psycopg.Connection]:
    """A connection of the same server to no test database."""
    parameters = {**connection.get_connection_params(), "dbname": "postgres"}
    with psycopg.connect(**_plain(parameters), autocommit=True) as server:
        yield server


def _plain(parameters: dict[str, object]) -> dict[str, str]:
    """What libpq knows of Django's parameters."""
    return {
        name: str(parameters[name])
        for name in ("dbname", "user", "password", "host", "port")
        if parameters.get(name)
    }


@contextmanager
def _alone() -> Iterator[None]:
    """One process of the run at a time."""
    with open(Path(settings.DATA_DIR) / "kept_world.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def name_of_run() -> str:
    """What pytest's processes of one run have in common."""
    return os.environ.get("PYTEST_XDIST_TESTRUNUID", str(os.getpid()))
