"""Who and what usage belongs to. Each combination of dimensions has one row; processes remember its id."""

import threading
from collections.abc import Iterable
from typing import Any, NamedTuple
from uuid import UUID

from django.db import connection

COLUMNS = (
    "app_id", "owner_team_id", "organization_id", "team_id", "cost_center_id", "subscription_id", "plan_id",
    "key_id", "environment", "model_id", "model_asked", "instance_type", "feature",
)  # fmt: skip


class Dimensions(NamedTuple):
    """The dimensions of usage in the order of COLUMNS; the payer is organization and cost center."""

    app_id: int
    owner_team_id: int
    organization_id: int
    team_id: int
    cost_center_id: int
    subscription_id: UUID | None
    plan_id: int | None
    key_id: UUID | None
    environment: str
    model_id: int | None
    model_asked: str
    instance_type: str
    feature: str


_ids: dict[Dimensions, int] = {}
_lock = threading.Lock()
MOST_REMEMBERED = 200_000


def resolve(wanted: Iterable[Dimensions]) -> dict[Dimensions, int]:
    """Return the row id of every combination, making rows that are missing.

    Outside a transaction, ids are remembered for the life of the process; inside one they are not, since the
    transaction may yet be rolled back.
    """
    known: dict[Dimensions, int] = {}
    missing: set[Dimensions] = set()
    for dimensions in set(wanted):
        row_id = _ids.get(dimensions)
        if row_id is None:
            missing.add(dimensions)
        else:
            known[dimensions] = row_id
    if not missing:
        return known
    found = _insert_and_read(sorted(missing, key=str))
    if not connection.in_atomic_block:
        with _lock:
            if len(_ids) > MOST_REMEMBERED:
                _ids.clear()
            _ids.update(found)
    return known | found


def forget() -> None:
    """Drop all remembered ids (another database, or a test that emptied this one)."""
    with _lock:
        _ids.clear()


def _insert_and_read(missing: list[Dimensions]) -> dict[Dimensions, int]:
    columns = ", ".join(COLUMNS)
    row = "(" + ", ".join(["%s"] * len(COLUMNS)) + ")"
    found: dict[Dimensions, int] = {}
    with connection.cursor() as cursor:
        for start in range(0, len(missing), 500):
            part = missing[start : start + 500]
            values: list[Any] = [value for dimensions in part for value in dimensions]
            cursor.execute(
                f"INSERT INTO metering_attribution ({columns}) VALUES {', '.join([row] * len(part))} "  # noqa: S608
                "ON CONFLICT DO NOTHING",
                values,
            )
            for dimensions in part:
                cursor.execute(
                    f"SELECT id FROM metering_attribution WHERE ({columns}) IS NOT DISTINCT FROM {row} "  # noqa: S608
                    "AND app_id = %s",
                    [*dimensions, dimensions.app_id],
                )
                found[dimensions] = cursor.fetchone()[0]
    return found
