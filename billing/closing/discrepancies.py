"""Totals that differ: an incident, explained by a person, over when they agree again."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from django.db import transaction

from billing.models import TotalsIncident
from marketplace.accounts import access
from marketplace.accounts.access import Actor, Role
from marketplace.core.proposing import require_reason
from marketplace.core.transitions import move

State = TotalsIncident.State
MOST_KEPT = 20


def judge(verdicts: Iterable[Mapping[str, Any]], *, at: datetime) -> TotalsIncident | None:
    """Open an incident when verdicts (as JSON) differ, or close the one there is when all agree. Safe to run twice.

    Who is told of what differs is told by ``billing.ledger.differing``.
    """
    wrong = [
        {"check": one["name"], "what": finding["what"]}
        for one in verdicts
        for finding in one["findings"]
        if not finding["is_ok"]
    ]
    with transaction.atomic():
        there = TotalsIncident.objects.select_for_update().exclude(state=State.CLOSED).first()
        if wrong and there is None:
            return _open(wrong, at=at)
        if there is not None and not wrong:
            _close(there, at=at)
        return there


def _open(wrong: list[dict[str, str]], *, at: datetime) -> TotalsIncident:
    return TotalsIncident.objects.create(found=wrong[:MOST_KEPT], opened_at=at)


def _close(incident: TotalsIncident, *, at: datetime) -> None:
    move(
        incident,
        TotalsIncident.TRANSITIONS,
        to=State.CLOSED,
        action="billing.totals_incident.closed",
        at=at,
        changes={"closed_at": at},
    )


def acknowledge(incident: TotalsIncident, *, note: str, by: Actor, at: datetime) -> None:
    """Say that somebody looks at it, and what it is. Raises NotAllowed, InvalidInput, IllegalTransition."""
    access.require_platform(by, Role.FINANCE)
    note = require_reason(note, field="note")[:300]
    move(
        incident,
        TotalsIncident.TRANSITIONS,
        to=State.ACKNOWLEDGED,
        action="billing.totals_incident.acknowledged",
        at=at,
        by=by.user,
        reason=note,
        changes={"acknowledged_by": by.user, "acknowledged_at": at, "note": note},
    )


def current() -> TotalsIncident | None:
    """Return the incident that is not over."""
    found = TotalsIncident.objects.select_related("acknowledged_by").exclude(state=State.CLOSED)
    return found.first()
