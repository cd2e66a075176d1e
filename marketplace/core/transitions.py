"""State changes: one conditional UPDATE decides who won, and the audit entry shares its transaction."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import Model

from marketplace.core import audit
from marketplace.core.errors import Conflict

Transitions = Mapping[str, frozenset[str]]


class IllegalTransition(Conflict):
    """The thing is not in a state from which it can go there (any more)."""

    code = "illegal_transition"

    def __init__(self, subject: Model, *, current: str, to: str) -> None:
        self.subject, self.current, self.to = subject, current, to
        name = subject._meta.verbose_name
        super().__init__(
            f"This {name} is {current.replace('_', ' ')} and cannot become {to.replace('_', ' ')}."
        )


def move(
    instance: Model,
    transitions: Transitions,
    *,
    to: str,
    action: str,
    at: datetime,
    by: Any = None,
    acting_for: Any = None,
    reason: str = "",
    changes: Mapping[str, Any] | None = None,
    field: str = "state",
) -> None:
    """Move ``instance`` to state ``to`` when the database still has it in a state that allows this.

    ``transitions`` maps each state to the states it may go to; ``changes`` are further columns set by the same
    UPDATE. Raises IllegalTransition when another process was faster or the table does not allow the step.
    Updates the instance in memory only after the database agreed.
    """
    allowed_from = [state for state, targets in transitions.items() if to in targets]
    model = type(instance)
    before = getattr(instance, field)
    with transaction.atomic():
        updated = model._default_manager.filter(pk=instance.pk, **{f"{field}__in": allowed_from}).update(
            **{field: to}, **(changes or {})
        )
        if not updated:
            current = model._default_manager.values_list(field, flat=True).get(pk=instance.pk)
            raise IllegalTransition(instance, current=current, to=to)
        audit.record(
            action,
            subject=instance,
            at=at,
            by=by,
            acting_for=acting_for,
            old={field: before},
            new={field: to},
            reason=reason,
        )
    setattr(instance, field, to)
    for name, value in (changes or {}).items():
        setattr(instance, name, value)
