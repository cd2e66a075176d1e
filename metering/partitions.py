"""Events by month: one partition of the table of events for each, made ahead of the time that needs it.

What finds no month of its own goes into the default partition, so nothing is refused when the job that makes months
has not run; once its month is made, it moves there.
"""

from collections.abc import Iterable
from datetime import UTC, date, datetime

from django.db import connection, migrations, transaction
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.state import ProjectState
from psycopg import sql

from metering.periods import RECORDING_LOCK, month, next_month

TABLE = "metering_usageevent"
DEFAULT = f"{TABLE}_default"
MONTHS_AHEAD = 3
MONTHS_BACK = 2


class CreatePartitionedModel(migrations.CreateModel):
    """Create the table of a model partitioned by ranges of a column, with a default partition."""

    def __init__(self, *args: object, partition_by: str, **kwargs: object) -> None:
        self.partition_by = partition_by
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]

    def database_forwards(
        self,
        app_label: str,
        schema_editor: BaseDatabaseSchemaEditor,
        from_state: ProjectState,
        to_state: ProjectState,
    ) -> None:
        plain = schema_editor.sql_create_table
        schema_editor.sql_create_table = f"{plain} PARTITION BY RANGE ({self.partition_by})"
        try:
            super().database_forwards(app_label, schema_editor, from_state, to_state)
        finally:
            schema_editor.sql_create_table = plain
        table = to_state.apps.get_model(app_label, self.name)._meta.db_table
        schema_editor.execute(f'CREATE TABLE "{table}_default" PARTITION OF "{table}" DEFAULT')


def name_of(period: date) -> str:
    """Return the name of a month's partition."""
    return f"{TABLE}_{period:%Y_%m}"


def make_around(at: datetime) -> list[date]:
    """Make the partitions that events of now and of the next months need; returns those that were missing."""
    now = month(at)
    return make(next_month(now, by=step) for step in range(-MONTHS_BACK, MONTHS_AHEAD + 1))


def make(periods: Iterable[date]) -> list[date]:
    """Make the partitions of these months, each in a transaction of its own; returns those that were missing."""
    made = []
    for period in sorted(set(periods)):
        with transaction.atomic():
            if _make_one(period):
                made.append(period)
    return made


def existing() -> list[str]:
    """Return the names of all partitions but the default one, in order of time."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid "
            "WHERE i.inhparent = %s::regclass AND c.relname <> %s ORDER BY 1",
            [TABLE, DEFAULT],
        )
        return [name for (name,) in cursor.fetchall()]


def _make_one(period: date) -> bool:
    """Make a month's partition and move there what stands in the default one.

    Recording waits: an event that came into the default partition meanwhile would forbid the new one.
    """
    starts_at = datetime(period.year, period.month, 1, tzinfo=UTC)
    after = next_month(period)
    ends_at = datetime(after.year, after.month, 1, tzinfo=UTC)
    names = {
        "partition": sql.Identifier(name_of(period)),
        "parent": sql.Identifier(TABLE),
        "rest": sql.Identifier(DEFAULT),
        "starts_at": sql.Literal(starts_at.isoformat()),
        "ends_at": sql.Literal(ends_at.isoformat()),
    }
    with connection.cursor() as cursor:
        if name_of(period) in existing():
            return False
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [RECORDING_LOCK])
        if name_of(period) in existing():
            return False
        for statement in (
            "CREATE TABLE {partition} (LIKE {parent} INCLUDING DEFAULTS INCLUDING CONSTRAINTS)",
            # Events are append-only by trigger; moving one to its month changes nothing about it.
            "ALTER TABLE {rest} DISABLE TRIGGER USER",
            "WITH moved AS (DELETE FROM {rest} WHERE occurred_at >= {starts_at} AND occurred_at < {ends_at} "
            "RETURNING *) INSERT INTO {partition} SELECT * FROM moved",
            "ALTER TABLE {rest} ENABLE TRIGGER USER",
            "ALTER TABLE {parent} ATTACH PARTITION {partition} FOR VALUES FROM ({starts_at}) TO ({ends_at})",
        ):
            cursor.execute(sql.SQL(statement).format(**names))
    return True
