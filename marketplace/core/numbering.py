"""Gapless numbers: given inside the transaction that uses them, so a rollback gives the number back."""

from django.db import connection


def next_number(series: str) -> int:
    """Return the next number of a series, starting at 1. Locks the series until the transaction ends.

    Must run inside ``transaction.atomic``; numbers handed out in autocommit could be lost and leave a gap.
    """
    if not connection.in_atomic_block:
        raise RuntimeError("next_number must run inside a transaction")
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO core_numbersequence (series, last_number) VALUES (%s, 1) "
            "ON CONFLICT (series) DO UPDATE SET last_number = core_numbersequence.last_number + 1 "
            "RETURNING last_number",
            [series],
        )
        return cursor.fetchone()[0]
