import pytest
from django.db import DataError, connection, transaction

from marketplace.core import prepared

DOUBLE = "SELECT n * 2 FROM unnest(%s::int[]) AS n"


def planned() -> list[str]:
    """Return the statements that this connection has planned."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT statement FROM pg_prepared_statements")
        return [statement for (statement,) in cursor.fetchall()]


@pytest.mark.django_db
class TestRun:
    def test_returns_the_rows(self) -> None:
        assert prepared.run(DOUBLE, [[1, 2]]) == [(2,), (4,)]

    def test_returns_nothing_for_what_gives_no_rows(self) -> None:
        assert prepared.run("UPDATE core_epoch SET value = value") == []

    def test_plans_a_statement_once(self) -> None:
        prepared.run(DOUBLE, [[1, 2]])
        prepared.run(DOUBLE, [[3]])

        assert len([one for one in planned() if "n * 2" in one]) == 1

    def test_plans_nothing_for_a_pooler_that_knows_no_plans(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(connection.connection, "prepare_threshold", None)

        assert prepared.run("SELECT %s::int + 7", [1]) == [(8,)]
        assert not [one for one in planned() if "+ 7" in one]

    def test_is_part_of_the_transaction(self) -> None:
        with pytest.raises(ZeroDivisionError), transaction.atomic():
            prepared.run("INSERT INTO core_epoch (name, value) VALUES ('tried', 1)")
            raise ZeroDivisionError

        assert prepared.run("SELECT name FROM core_epoch WHERE name = 'tried'") == []

    def test_raises_errors_of_django(self) -> None:
        with pytest.raises(DataError), transaction.atomic():
            prepared.run("SELECT 1 / %s::int", [0])


@pytest.mark.django_db
class TestRunInOneTrip:
    def test_returns_the_rows_of_each_and_lets_each_see_what_was_before_it(self) -> None:
        with transaction.atomic():
            found = prepared.run_in_one_trip(
                ("INSERT INTO core_epoch (name, value) VALUES (%s, 3) RETURNING value", ["tried"]),
                ("SELECT value + 1 FROM core_epoch WHERE name = %s", ["tried"]),
            )

        assert found == [[(3,)], [(4,)]]

    def test_raises_errors_of_django_and_leaves_the_connection_usable(self) -> None:
        with pytest.raises(DataError), transaction.atomic():
            prepared.run_in_one_trip(("SELECT 1 / %s::int", [0]), ("SELECT 1", []))

        assert prepared.run("SELECT 1") == [(1,)]
