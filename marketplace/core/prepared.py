"""Statements of hot paths, which a connection plans once and then only runs.

Django sends its statements with their values written in, so PostgreSQL plans each anew; for one that writes six tables that is
more work than the writing. Poolers that hand out connections by transaction may not know of plans: see
``HALFPENNY_DB_PLANS`` in docs/guides/settings.md.
"""

from collections.abc import Sequence
from typing import Any

import psycopg
from django.db import connection

Row = tuple[Any, ...]
Statement = tuple[str, Sequence[Any]]


def run(statement: str, values: Sequence[Any] = ()) -> list[Row]:
    """Run a statement on Django's connection, in its transaction if there is one; returns the rows it gives."""
    with connection.wrap_database_errors:
        return _run(_connection(), statement, values)


def run_in_one_trip(*statements: Statement) -> list[list[Row]]:
    """Run statements one after the other without waiting for each; returns the rows of each.

    Each sees what was committed before it began, as if it had been sent alone.
    """
    with connection.wrap_database_errors, _connection().pipeline():
        cursors = [_send(connection.connection, *one) for one in statements]
        return [cursor.fetchall() for cursor in cursors]


def _connection() -> "psycopg.Connection[Row]":
    connection.ensure_connection()
    return connection.connection


def _send(raw: "psycopg.Connection[Row]", statement: str, values: Sequence[Any]) -> "psycopg.Cursor[Row]":
    # Django's own cursors write the values into the statement.
    return psycopg.Cursor(raw).execute(statement, values or None, prepare=True)


def _run(raw: "psycopg.Connection[Row]", statement: str, values: Sequence[Any]) -> list[Row]:
    cursor = _send(raw, statement, values)
    return cursor.fetchall() if cursor.description else []
