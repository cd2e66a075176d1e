"""Epoch triggers: data that processes cache raises a counter when it changes, in the same transaction."""

import pgtrigger

from marketplace.core import prepared

DIRECTORY = "directory"
LIMITS = "limits"


def raise_epoch(epoch: str, *, name: str, operation: pgtrigger.Operation | None = None) -> pgtrigger.Trigger:
    """Build the trigger that raises ``epoch`` once per statement on the model it is declared for."""
    return pgtrigger.Trigger(
        name=name,
        level=pgtrigger.Statement,
        when=pgtrigger.After,
        operation=operation or (pgtrigger.Insert | pgtrigger.Update | pgtrigger.Delete),
        func=(  # the name is one of the constants above, never input
            "INSERT INTO core_epoch (name, value) VALUES ('" + epoch + "', 1) "  # noqa: S608
            "ON CONFLICT (name) DO UPDATE SET value = core_epoch.value + 1; RETURN NULL;"
        ),
    )


def read_epochs() -> dict[str, int]:
    """Return the value of every epoch; one that was never raised is absent and counts as 0."""
    return dict(prepared.run("SELECT name, value FROM core_epoch"))
