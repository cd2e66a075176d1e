"""The first migration of an app, which makes all its tables at once."""

from django.contrib.postgres.operations import CreateExtension
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations import AddConstraint, AddField, AddIndex, CreateModel, Migration
from django.db.migrations.state import ProjectState
from pgtrigger.migrations import AddTrigger

EXECUTED = (CreateExtension, CreateModel, AddTrigger)
# Part of the table already when CreateModel makes it as it is in the end.
CONTAINED = (AddField, AddIndex, AddConstraint)


class InitialMigration(Migration):
    """Creates tables as they are after all operations, instead of step by step.

    Django builds the classes of all related models anew after each operation, and here nearly all are related: an
    empty database took more than a minute of that. The operations stay as `makemigrations` writes them.
    """

    initial = True

    def apply(
        self, project_state: ProjectState, schema_editor: BaseDatabaseSchemaEditor, collect_sql: bool = False
    ) -> ProjectState:
        """Move the state through all operations, then make what they describe. Raises TypeError for one that does more."""
        # Classes that were built are not updated operation by operation, but built once, when they are asked for.
        project_state.__dict__.pop("apps", None)
        for operation in self.operations:
            if not isinstance(operation, EXECUTED + CONTAINED):
                raise TypeError(f"{self} only creates, and {operation.describe()!r} does something else.")
            operation.state_forwards(self.app_label, project_state)
        for operation in self.operations:
            if isinstance(operation, EXECUTED):
                operation.database_forwards(self.app_label, schema_editor, project_state, project_state)
        return project_state
