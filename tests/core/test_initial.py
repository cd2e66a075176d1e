import pytest
from django.db import connection, migrations, models
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.state import ProjectState

from marketplace.core.initial import InitialMigration

OURS = ("accounts", "billing", "catalog", "core", "gateway", "metering", "quotas")


class Shelves(InitialMigration):
    """Two tables that refer to each other, made in the pieces that `makemigrations` writes."""

    operations = (
        migrations.CreateModel("Book", [("id", models.BigAutoField(primary_key=True)), ("pages", models.IntegerField())]),
        migrations.CreateModel(
            "Shelf",
            [
                ("id", models.BigAutoField(primary_key=True)),
                ("newest", models.ForeignKey("shelves.book", models.CASCADE, null=True, related_name="+")),
            ],
        ),
        migrations.AddField("Book", "shelf", models.ForeignKey("shelves.shelf", models.CASCADE)),
        migrations.AddIndex("Book", models.Index(fields=["pages"], name="books_by_pages")),
        migrations.AddConstraint(
            "Book", models.CheckConstraint(condition=models.Q(pages__gt=0), name="book_has_pages")
        ),
    )  # fmt: skip


class Renaming(InitialMigration):
    """More than a first migration does."""

    operations = (*Shelves.operations, migrations.RenameField("Book", "pages", "leaves"))


@pytest.mark.django_db
class TestInitialMigration:
    def test_makes_what_its_operations_describe_together(self) -> None:
        state = ProjectState()

        with connection.schema_editor() as editor:
            state = Shelves("0001_initial", "shelves").apply(state, editor)

        with connection.cursor() as cursor:
            found = connection.introspection.get_constraints(cursor, "shelves_book")
        assert {"books_by_pages", "book_has_pages"} <= set(found)
        assert ("shelves_shelf", "id") in [one["foreign_key"] for one in found.values()]
        assert {name for name, _ in state.models["shelves", "book"].fields.items()} == {
            "id",
            "pages",
            "shelf",
        }

    def test_refuses_to_change_what_it_made(self) -> None:
        with connection.schema_editor() as editor, pytest.raises(TypeError, match="Rename field pages"):
            Renaming("0001_initial", "shelves").apply(ProjectState(), editor)


class TestFirstMigrations:
    def test_of_ours_are_made_at_once(self) -> None:
        first = {
            app: type(one)
            for (app, name), one in MigrationLoader(None).disk_migrations.items()
            if app in OURS and name == "0001_initial"
        }

        assert set(first) == set(OURS)
        assert [app for app, kind in first.items() if not issubclass(kind, InitialMigration)] == []
