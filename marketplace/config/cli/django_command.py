"""Django's management commands, with a sentence instead of a traceback when the database does not run."""

import os
from typing import NoReturn

import psycopg
from django.core.management import execute_from_command_line
from django.db import OperationalError
from django.db.backends.postgresql.base import DatabaseWrapper

from marketplace.config import paths
from marketplace.config.refusals import Refused
from marketplace.config.services import postgres

NOT_RUNNING = "Halfpenny is not running: start it with `python3 manage.py up`."


def main(command: str, arguments: list[str]) -> int:
    """Run one of Django's commands and return its exit code.

    Raise Refused when there is no database to ask.
    """
    if not _can_run():
        # A connection pool would knock for ten seconds at a door of which we know that nobody is behind it.
        DatabaseWrapper.get_new_connection = _refuse_connection  # type: ignore[method-assign, assignment]
    try:
        execute_from_command_line(["manage.py", command, *arguments])
    except OperationalError as error:
        if reason := _why_unreachable():
            raise Refused(reason) from error
        raise
    return 0


def _can_run() -> bool:
    return "DATABASE_URL" in os.environ or postgres.is_running(paths.data_dir())


def _refuse_connection(wrapper: DatabaseWrapper, parameters: object) -> NoReturn:
    raise OperationalError(NOT_RUNNING)


def _why_unreachable() -> str | None:
    """Return a sentence when the database does not answer; None when it does and the error was another."""
    if not _can_run():
        return NOT_RUNNING
    url = os.environ.get("DATABASE_URL") or paths.postgres_url(paths.data_dir())
    try:
        psycopg.connect(url, connect_timeout=5).close()
    except psycopg.OperationalError as error:
        reason = str(error).strip().splitlines()[0]
        return f"The database does not answer ({reason}): start it, or correct DATABASE_URL."
    return None
