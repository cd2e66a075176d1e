"""Events by month: one partition of the table of events for each, made ahead of the time that needs it.

What finds no month of its own goes into the default partition, so nothing is refused when the job that makes months
has not run; once its month is made, it moves there.

To attach or drop a partition, recording stops for a moment. Who reads events meanwhile (a dump, say) would prolong that:
nobody is waited for longer than LOCK_TIMEOUT, and the caller comes back later.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime

from django.db import OperationalError, connection, migrations, transaction
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.state import ProjectState
from psycopg import sql
from psycopg.errors import LockNotAvailable

from marketplace.core.errors import Conflict, Unavailable
from metering.models import ArchivedPeriod
from metering.periods import RECORDING_LOCK, bounds, month, next_month

TABLE = "metering_usageevent"
DEFAULT = f"{TABLE}_default"
MONTHS_AHEAD = 3
MONTHS_BACK = 2
LOCK_TIMEOUT = "2s"


class EventsBusy(Unavailable):
    """The table of events could not be changed, because somebody reads it or records into it for long."""

    code = "events_busy"

    def __init__(self) -> None:
        super().__init__(
            "The table of events is in use by a long transaction; try again later.", retry_after_s=60
        )


class PeriodArchived(Conflict):
    """The events of a month are in the archive."""

    code = "period_archived"

    def __init__(self, period: date) -> None:
        self.period = period
        super().__init__(f"The events of {period:%Y-%m} are archived; restore them first.")


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
    """Make the partitions that events of now and of the next months need, and those of months whose events stand in
    the default one; returns those that were missing. Raises EventsBusy."""
    now = month(at)
    around = {next_month(now, by=step) for step in range(-MONTHS_BACK, MONTHS_AHEAD + 1)}
    return make((around | set(stray_months())) - archived())


def make(periods: Iterable[date]) -> list[date]:
    """Make the partitions of these months, each in a transaction of its own; returns those that were missing.

    Raises EventsBusy, and PeriodArchived.
    """
    made = []
    for period in sorted(set(periods)):
        with transaction.atomic():
            if _make_one(period):
                made.append(period)
    return made


def existing() -> list[date]:
    """Return the months that have a partition, in order."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid "
            "WHERE i.inhparent = %s::regclass AND c.relname <> %s ORDER BY 1",
            [TABLE, DEFAULT],
        )
        names = [name.removeprefix(f"{TABLE}_") for (name,) in cursor.fetchall()]
    return [datetime.strptime(name, "%Y_%m").replace(tzinfo=UTC).date() for name in names]


def stray_months() -> list[date]:
    """Return the months of events that stand in the default partition, in order."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT DISTINCT date_trunc('month', occurred_at AT TIME ZONE 'UTC')::date FROM {DEFAULT} ORDER BY 1"  # noqa: S608
        )
        return [period for (period,) in cursor.fetchall()]


def archived() -> set[date]:
    """Return the months whose events are in the archive."""
    return set(ArchivedPeriod.objects.archived().values_list("period", flat=True))


def count(period: date) -> int:
    """Return how many events stand in a month's partition."""
    with connection.cursor() as cursor:
        cursor.execute(sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(name_of(period))))
        return int(cursor.fetchone()[0])


def hints(*, at: datetime) -> list[str]:
    """Say what somebody should look at, although every event is recorded all the same; empty when all is well."""
    found = []
    upcoming = next_month(month(at))
    if upcoming not in existing():
        found.append(f"Events of {upcoming:%Y-%m} have no partition yet: is beat running?")
    strays = set(stray_months())
    in_archive = strays & archived()
    for periods, then in (
        (strays - in_archive, "The next run of metering.make_partitions moves them."),
        (in_archive, "Restore these months and archive them again."),
    ):
        if periods:
            names = ", ".join(f"{period:%Y-%m}" for period in sorted(periods))
            found.append(f"Events of {names} stand in the default partition. {then}")
    return found


def create_apart(period: date) -> None:
    """Create the table of a month with constraints and index, not yet a partition. Must run inside a transaction."""
    _execute(
        period,
        "CREATE TABLE {partition} (LIKE {parent} INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING INDEXES)",
        # Attaching then needs not look at every row while recording waits.
        "ALTER TABLE {partition} ADD CONSTRAINT of_month CHECK (occurred_at >= {starts_at} AND occurred_at < {ends_at})",
    )


def attach(period: date) -> None:
    """Make a month's table a partition; events of the month that stand in the default one move there.

    Must run inside a transaction, until whose end recording waits: an event that came into the default partition
    meanwhile would forbid the new one. Raises EventsBusy, with nothing changed in the transaction.
    """
    with transaction.atomic(), impatiently():
        lock_recording()
        _execute(
            period,
            # Events are append-only by trigger; moving one to its month changes nothing about it.
            "ALTER TABLE {rest} DISABLE TRIGGER USER",
            "WITH moved AS (DELETE FROM {rest} WHERE occurred_at >= {starts_at} AND occurred_at < {ends_at} "
            "RETURNING *) INSERT INTO {partition} SELECT * FROM moved",
            "ALTER TABLE {rest} ENABLE TRIGGER USER",
            "ALTER TABLE {parent} ATTACH PARTITION {partition} FOR VALUES FROM ({starts_at}) TO ({ends_at})",
            "ALTER TABLE {partition} DROP CONSTRAINT of_month",
        )


def drop(period: date) -> None:
    """Drop a month's partition with all its events. Must run inside a transaction and under the recording lock."""
    _execute(period, "ALTER TABLE {parent} DETACH PARTITION {partition}", "DROP TABLE {partition}")


def lock_recording() -> None:
    """Wait for all recording under way; none begins until this transaction ends."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [RECORDING_LOCK])


@contextmanager
def impatiently() -> Iterator[None]:
    """Wait for locks no longer than LOCK_TIMEOUT; raises EventsBusy then. Must run inside a transaction."""
    with connection.cursor() as cursor:
        cursor.execute(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'")
        try:
            yield
        except OperationalError as error:
            if isinstance(error.__cause__, LockNotAvailable):
                raise EventsBusy from error
            raise
        cursor.execute("SET LOCAL lock_timeout TO DEFAULT")


def _make_one(period: date) -> bool:
    if period in existing():
        return False
    with impatiently():
        lock_recording()
    if period in existing():
        return False
    if period in archived():
        raise PeriodArchived(period)
    create_apart(period)
    attach(period)
    return True


def _execute(period: date, *statements: str) -> None:
    starts_at, ends_at = bounds(period)
    names = {
        "partition": sql.Identifier(name_of(period)),
        "parent": sql.Identifier(TABLE),
        "rest": sql.Identifier(DEFAULT),
        "starts_at": sql.Literal(starts_at.isoformat()),
        "ends_at": sql.Literal(ends_at.isoformat()),
    }
    with connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(sql.SQL(statement).format(**names))
